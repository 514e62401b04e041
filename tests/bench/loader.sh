#!/usr/bin/env bash
# Loader and packing against Pillow and cp.
# usage: loader.sh FOLDER-OR-ARCHIVE-OF-IMAGES, with class folders or not; PYTHON names the peer's
# interpreter, SECONDS_EACH the length of a measurement.
set -eu
: "${BUILD:?}" "${PYTHON:=python3}" "${SECONDS_EACH:=4}"
source=$(realpath "$1")
peer=$(dirname "$(realpath "$0")")/loader_peer.py
work=$BUILD/bench
rm -rf "$work"
mkdir -p "$work/large/train/x"
cd "$work"
if [ -d "$source/devkit" ]; then
    ps-prepare -q cars196 "$source/cars_train.tar" "$source/devkit" -o m.tsv --allow-missing
else
    ps-prepare -q folder "$source" -o m.tsv
fi

seconds() {
    local start
    start=$(date +%s.%N)
    "$@" >&2
    echo "$start $(date +%s.%N)" | awk '{printf "%.2f\n", $2 - $1}'
}
pack=$(seconds ps-pack -q m.tsv -o small.mdb)
ps-pack -q --extract small small.mdb
copy=$(seconds cp -r small copy)
rm -r copy
check=$(seconds ps-pack -q --verify small.mdb)
echo "packing $(find small -type f | wc -l) images: $pack s; cp of the files: $copy s; decoding them" \
    "again (--verify): $check s"

find small -type f | sort | awk 'NR % 8 == 0' | head -n 400 >chosen
xargs -d '\n' mogrify -path large/train/x -resize '700x480!' -quality 90 <chosen
ps-prepare -q folder large -o large.tsv
ps-pack -q large.tsv -o large.mdb

for set in small large; do
    {
        for threads in 1 2; do
            "$BUILD/tests/bench-loader" "$set.mdb" 224 "$threads" "$SECONDS_EACH"
        done
        if "$PYTHON" -c 'import PIL, numpy' 2>/dev/null; then
            "$PYTHON" "$peer" "$set" 224 "$SECONDS_EACH"
        else
            echo "no Pillow and numpy for $PYTHON: only our own numbers" >&2
        fi
    } >"$set.tsv"
    echo "$set images:"
    awk -F'\t' -v OFS='\t' '
        BEGIN {print "", "who", "transform", "threads", "images/s", "images/s/core", "ratio"}
        {row[NR] = $0; if ($1 != "ours") base[$2] = $6}
        END {for (i = 1; i <= NR; i++) {
            split(row[i], f, "\t")
            ratio = base[f[2]] ? sprintf("%.2f", f[6] / base[f[2]]) : "-"
            print "", f[1], f[2], f[4], f[5], f[6], ratio}}' "$set.tsv"
done
