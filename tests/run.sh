#!/usr/bin/env bash
# Runs every test program under $BUILD/tests and every bats file, all of which speak TAP, shows what
# failed or was skipped, and ends with the line "N passed, N failed, N skipped".
# Arguments, if any, select by name: tests/run.sh cli/pack unit/zip. TEST_ALL=1 adds what is slow.
# PYTHON has the peers that some tests compare with; `make setup-peers` puts one into build/venv.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${BUILD:=$PWD/build}"
[ -x build/venv/bin/python ] && : "${PYTHON:=$PWD/build/venv/bin/python}"
: "${PYTHON:=python3}" "${TEST_SECONDS:=900}" "${TEST_JOBS:=$(nproc)}" # the limit of one file; at once
export BUILD PYTHON CMOCKA_MESSAGE_OUTPUT=TAP OMP_WAIT_POLICY=passive
log=$BUILD/check.log
mkdir -p "$BUILD/tests"
: >"$log"
trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM

# run NAME COMMAND...: one TAP producer. Tests that its plan names and that did not run, and a bad end
# without a failed test, are one failure. Prints a report, and leaves "passed failed skipped" in
# NAME.counts.
run() {
    local name=$1 out rc ok notok skip planned wrong='' start=$SECONDS child
    shift
    out=$BUILD/tests/${name//\//_}.tap
    # timeout(1) takes a program out of the process group, so that signals do not reach it.
    trap 'kill "$child" 2>/dev/null; exit 130' INT TERM
    timeout --kill-after=10 "$TEST_SECONDS" "$@" >"$out" 2>"$out.err" </dev/null &
    child=$!
    wait "$child"
    rc=$?
    sed -Ei 's/^not (ok .*# skip)/\1/I' "$out" # cmocka 1.1 calls a skipped test "not ok"
    ok=$(grep -c '^ok ' "$out") notok=$(grep -c '^not ok ' "$out") skip=$(grep -ci '^ok .*# skip' "$out")
    planned=$(awk -F'[. ]+' '/^1\.\.[0-9]+/ {n += $2} END {print n + 0}' "$out")
    if [ "$rc" -ge 124 ] && [ $((SECONDS - start)) -ge "$TEST_SECONDS" ]; then
        wrong="was stopped after $TEST_SECONDS s"
    elif [ $((ok + notok)) -lt "$planned" ]; then
        wrong="ended with status $rc after $((ok + notok)) of $planned tests"
    elif [ "$notok" -eq 0 ] && { [ "$rc" -ne 0 ] || [ "$ok" -eq 0 ]; }; then
        wrong="ended with status $rc after $ok tests"
    fi
    if [ -n "$wrong" ]; then
        notok=$((notok + 1))
        echo "not ok - $name $wrong" >>"$out"
    fi
    printf '%-28s %3d passed' "$name" $((ok - skip))
    [ "$skip" -gt 0 ] && printf ', %d skipped' "$skip"
    [ "$notok" -gt 0 ] && printf ', %d FAILED' "$notok"
    printf ' (%ds)\n' $((SECONDS - start))
    [ "$skip" -gt 0 ] && grep -i '^ok .*# skip' "$out" | sed -E 's/^ok [0-9]* ?-? ?/    skipped: /'
    if [ "$notok" -gt 0 ]; then
        grep -A12 '^not ok' "$out" | head -n 60 | sed 's/^/    /'
        tail -n 15 "$out.err" | sed 's/^/    stderr: /'
    fi
    echo "$((ok - skip)) $notok $skip" >"$out.counts"
}

# chosen NAME WORD...: is there no word, or one in the name?
chosen() {
    local name=$1 word
    shift
    [ $# -eq 0 ] && return 0
    for word; do [[ $name == *"$word"* ]] && return 0; done
    return 1
}

files=(tests/unit/*.c tests/backend/*.c tests/cli/*.bats)
for word; do
    if ! printf '%s\n' "${files[@]%.*}" | grep -qF -- "$word"; then
        echo "run.sh: no test is called '$word'" >&2
        exit 2
    fi
done
names=() first=()
for file in "${files[@]}"; do
    name=${file#tests/} name=${name%.*}
    chosen "$name" "$@" || continue
    # the longest does not begin last
    if [ "$name" = cli/cuda ]; then first=("$name"); else names+=("$name"); fi
done
names=("${first[@]}" "${names[@]}")
for name in "${names[@]}"; do
    rm -f "$BUILD/tests/${name//\//_}.tap.counts"
    case $name in
    cli/*) command=(bats --formatter tap "tests/$name.bats") ;;
    backend/golden) command=("$BUILD/tests/golden" ${TEST_ALL:+--all} tests/golden) ;;
    *) command=("$BUILD/tests/$(basename "$name")") ;;
    esac
    { report=$(run "$name" "${command[@]}") && printf '%s\n' "$report"; } &
    [ "$(jobs -rp | wc -l)" -lt "$TEST_JOBS" ] || wait -n
done
wait
passed=0 failed=0 skipped=0 failures=()
for name in "${names[@]}"; do
    out=$BUILD/tests/${name//\//_}.tap
    { echo "# $name" && cat "$out" "$out.err"; } >>"$log"
    read -r ok notok skip < <(cat "$out.counts" || echo 0 1 0)
    passed=$((passed + ok)) failed=$((failed + notok)) skipped=$((skipped + skip))
    [ "$notok" -gt 0 ] && failures+=("$name")
done
[ ${#failures[@]} -gt 0 ] && echo "failed: ${failures[*]} (all output: $log)"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
