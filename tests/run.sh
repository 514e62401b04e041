#!/usr/bin/env bash
# Runs every test program under $BUILD/tests and every bats file, all of which speak TAP, shows what
# failed or was skipped, and ends with the line "N passed, N failed, N skipped".
# Arguments, if any, select by name: tests/run.sh cli/pack unit/tsv
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=$PWD/build}"
export BUILD CMOCKA_MESSAGE_OUTPUT=TAP OMP_WAIT_POLICY=passive
log=$BUILD/check.log
mkdir -p "$BUILD/tests"
: >"$log"
passed=0 failed=0 skipped=0

# run NAME SECONDS COMMAND...: one TAP producer; a plan that was not kept, or a non-zero exit without
# a failed test, counts as one failure.
run() {
    local name=$1 seconds=$2 out rc ok notok skip start
    shift 2
    out=$BUILD/tests/$(echo "$name" | tr / _).tap
    start=$SECONDS
    timeout "$seconds" "$@" >"$out" 2>"$out.err" </dev/null
    rc=$?
    sed -Ei 's/^not (ok .*# skip)/\1/I' "$out" # cmocka 1.1 calls a skipped test "not ok"
    ok=$(grep -Ec '^ok ' "$out")
    skip=$(grep -Eci '^ok .*# skip' "$out")
    notok=$(grep -Ec '^not ok ' "$out")
    if [ "$notok" -eq 0 ] && { { [ "$rc" -ne 0 ] && [ "$skip" -lt "$ok" ]; } || [ "$ok" -eq 0 ]; }; then
        notok=1
        echo "not ok - $name ended with status $rc" >>"$out"
    fi
    passed=$((passed + ok - skip)) skipped=$((skipped + skip)) failed=$((failed + notok))
    printf '%-28s %3d passed' "$name" $((ok - skip))
    [ "$skip" -gt 0 ] && printf ', %d skipped' "$skip"
    [ "$notok" -gt 0 ] && printf ', %d FAILED' "$notok"
    printf ' (%ds)\n' $((SECONDS - start))
    [ "$skip" -gt 0 ] && grep -Ei '^ok .*# skip' "$out" | sed -E 's/^ok [0-9]* ?-? ?/    skipped: /'
    if [ "$notok" -gt 0 ]; then
        grep -A12 '^not ok' "$out" | head -n 60 | sed 's/^/    /'
        tail -n 15 "$out.err" | sed 's/^/    stderr: /'
    fi
    cat "$out" "$out.err" >>"$log"
}

chosen() {
    local name=$1
    shift
    [ $# -eq 0 ] && return 0
    local word
    for word; do [[ $name == *"$word"* ]] && return 0; done
    return 1
}

for source in tests/unit/*.c tests/backend/*.c; do
    name=${source#tests/}
    name=${name%.c}
    chosen "$name" "$@" || continue
    program=$BUILD/tests/$(basename "$name")
    if [ "$(basename "$name")" = golden ]; then
        run "$name" 900 "$program" tests/golden
    else
        run "$name" 600 "$program"
    fi
done
for file in tests/cli/*.bats; do
    [ -e "$file" ] || continue
    name=${file#tests/}
    chosen "${name%.bats}" "$@" || continue
    run "${name%.bats}" 900 bats --formatter tap "$file"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
