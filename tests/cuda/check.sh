#!/usr/bin/env bash
# check.sh FOLDER [quick]: runs the programs of `make check-cuda` in FOLDER, whose output is TAP, and
# prints "N passed, N failed". quick: only what the stand-in for a GPU does in seconds.
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=$1 cases=40 gradient_cases=40 steps=60
golden=(tests/golden/loss/*.safetensors tests/golden/net/*.safetensors)
if [ "${2-}" = quick ]; then
    cases=8 gradient_cases=2 steps=5
    golden=(tests/golden/loss/*_b6_*.safetensors tests/golden/net/resnet18_s64_b3_gap_batch.safetensors
        tests/golden/net/efficientnet-lite0_s64_b2_gap_frozen.safetensors)
fi
passed=0 failed=0

# run NAME COMMAND...: prints its lines and counts them; a failure without a failed test counts as one.
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
        echo "not ok - $name failed"
        failed=$((failed + 1))
    fi
}

run "against the reference" "$folder/compare" test cuda 1 "$cases"
run "gradients against central differences" "$folder/gradients" cuda "$gradient_cases"
run "golden networks and losses" "$folder/golden" cuda "${golden[@]}"
run "a training run" "$folder/train" cuda "$steps"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
