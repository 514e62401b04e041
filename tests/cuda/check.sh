#!/usr/bin/env bash
# check.sh FOLDER [quick]: the programs of `make check-cuda` in FOLDER, which speak TAP, and the line
# "N passed, N failed". quick: as little as the stand-in for a GPU does in seconds.
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=$1 cases=40 slopes=40 steps=60
golden=(tests/golden/loss/*.safetensors tests/golden/net/*.safetensors)
if [ "${2-}" = quick ]; then
    cases=8 slopes=2 steps=5
    golden=(tests/golden/loss/*_b6_*.safetensors tests/golden/net/resnet18_s64_b3_gap_batch.safetensors)
fi
passed=0 failed=0

# run NAME COMMAND...: shows its lines and counts them; a bad end without a failed test is one.
run() {
    local name=$1 line wrong=0 ended=
    shift
    echo "# $name"
    while IFS= read -r line; do
        case $line in
        "not ok"*) failed=$((failed + 1)) wrong=1 ;;
        ok*) passed=$((passed + 1)) ;;
        "ended 0") ended=yes && continue ;;
        "ended "*) ended= && continue ;;
        esac
        echo "$line"
    done < <("$@" 2>&1; echo "ended $?")
    if [ -z "$ended" ] && [ $wrong -eq 0 ]; then
        echo "not ok - $name came to a bad end"
        failed=$((failed + 1))
    fi
}

run "against the reference" "$folder/compare" test cuda 1 "$cases"
run "gradients against slopes" "$folder/gradients" cuda "$slopes"
run "golden networks and losses" "$folder/golden" cuda "${golden[@]}"
run "a training run" "$folder/train" cuda "$steps"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
