#!/usr/bin/env bash
# run.sh FOLDER [SECONDS]: every fuzz target of `make fuzz`, in FOLDER, for that long (20), from a copy
# of its corpus. Speaks TAP and ends with the line "N passed, N failed"; inputs that were found stay in
# FOLDER/found, and FOLDER/fuzz-TARGET INPUT runs one again.
set -u
folder=$(realpath "$1") seconds=${2:-20}
cd "$(dirname "$0")" || exit 1
export found=$folder/found seconds folder
mkdir -p "$found"
corpus=$(mktemp -d)
trap 'rm -rf "$corpus"' EXIT
export corpus

fuzz() {
    local target=$1 log=$found/$1.log
    cp -r "corpus/$target" "$corpus/"
    if "$folder/fuzz-$target" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 \
        -artifact_prefix="$found/$target-" "$corpus/$target" >"$log" 2>&1; then
        echo "ok - $target: $(sed -n 's/^Done \(.*\)/\1/p' "$log")"
    else
        echo "not ok - $target (all of it: $log)"
        grep -Ev '^#[0-9]|^INFO' "$log" | tail -n 40 | sed 's/^/# /'
    fi
}
for source in *.c; do
    fuzz "${source%.c}" &
    [ "$(jobs -rp | wc -l)" -lt "$(nproc)" ] || wait -n
done | tee "$found/results"
passed=$(grep -c '^ok' "$found/results") failed=$(grep -c '^not ok' "$found/results")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
