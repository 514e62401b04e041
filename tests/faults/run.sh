#!/usr/bin/env bash
# Makes system calls and allocations of every program fail, one in each run, on a small chain from
# images to pictures, and kills ps-train.
#
#     run.sh all                 every call and allocation once, and 100 kills (hours)
#     run.sh calls|eintr|allocations SECONDS [PROGRAM...]   as many of them, evenly chosen, as fit the time
#     run.sh kills NUMBER
#
# Expected of a run: status 0 and the right output, or status 1, one line that says what failed and an
# output that is whole, old or absent; no temporary file; no hang. Where memory runs out in a library
# that ends the process for it (GLib, C++), that is accepted, with the same demands on the output.
# shellcheck disable=SC2086 # commands are split into words
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=$here/../../build}"
export PATH=$BUILD/bin:$PATH OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 LC_ALL=C
export G_SLICE=always-malloc VIPS_CONCURRENCY=1 HOME=/nonexistent
work=$(mktemp -d) || exit 1
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/data" "$work/run"
cd "$work/data" || exit 1

# shellcheck source=/dev/null
. "$here/../cli/images.bash"
net=(--backbone resnet18 --input-size 32 --dim 4 --batch-size 4 --threads 1 -j 1 --device cpu)
{
    make_images images 4 3
    ps-prepare -q folder images --test-classes 0.5 -o m.tsv
    ps-pack -q -s train m.tsv -o train.mdb
    ps-pack -q -s test m.tsv -o test.mdb
    ps-embed -q --raw-pixels 4 test.mdb -o t.emb.zst
    ps-train -q --data train.mdb --eval test.mdb -o log "${net[@]}" --epochs 1 --check-epoch 1 --no-tensorboard
    for seed in 1 2; do ps-eval -q t.emb.zst --tag "setting=a,seed=$seed" -o "$seed.tsv"; done
    ps-search -q --build t.faiss t.emb.zst
    ps-embed -q -m log/last.safetensors test.mdb -o n.emb.zst
    cp "$here/../golden/pth/zip.pth" .
    mkdir tar && cp images/class0/0.ppm tar/a.ppm && echo 1 >tar/a.cls && echo '{"class": 2}' >tar/b.json
    cp images/class1/0.ppm tar/b.ppm && tar cf set-train.tar -C tar .
    printf 'path\tclass\n%s\tant\n' images/class0/0.ppm >list.tsv
} 2>"$work/setup" || { cat "$work/setup" && exit 1; }

# name, outputs, command; what a run in the folder `run` needs lies in ../data
scenarios=(
    "prepare|m.tsv|ps-prepare -q folder ../data/images --test-classes 0.5 -o m.tsv"
    "prepare-tars|m.tsv|ps-prepare -q webdataset ../data/set-train.tar -o m.tsv"
    "pack|x.mdb|ps-pack -q -s test ../data/m.tsv -o x.mdb -j 1"
    "extract|x|ps-pack -q --extract x ../data/test.mdb"
    "verify||ps-pack -q --verify ../data/test.mdb -j 1"
    "train|r/last.safetensors r/log.jsonl|ps-train -q --data ../data/train.mdb --eval ../data/test.mdb -o r ${net[*]} --epochs 1"
    "embed|e.emb.zst|ps-embed -q --raw-pixels 4 ../data/test.mdb -o e.emb.zst -j 1"
    "embed-model|e.emb.zst|ps-embed -q -m ../data/log/last.safetensors ../data/test.mdb -o e.emb.zst -j 1 --threads 1"
    "embed-npy|e.npy e.labels.tsv|ps-embed -q --raw-pixels 4 --format npy ../data/test.mdb -o e.npy -j 1"
    "embed-tsv|e.tsv|ps-embed -q --raw-pixels 4 --format tsv ../data/test.mdb -o e.tsv -j 1"
    "embed-npz|e.npz|ps-embed -q --raw-pixels 4 --format npz ../data/test.mdb -o e.npz -j 1"
    "embed-pictures|e.emb.zst bad.tsv|ps-embed -q --raw-pixels 4 ../data/images/class1 ../data/set-train.tar ../data/list.tsv ../data/test.mdb ../data/zip.pth.ppm --quarantine bad.tsv -o e.emb.zst -j 1"
    "eval|e.tsv|ps-eval -q --bootstrap 10 --metrics all ../data/t.emb.zst --threads 1 -o e.tsv"
    "eval-json|e.json|ps-eval -q --json --index HNSW4 ../data/t.emb.zst --threads 1 -o e.json"
    "search|s.tsv s.html|ps-search -q --gallery ../data/t.emb.zst ../data/t.emb.zst --threads 1 -o s.tsv --sheet s.html --shard ../data/test.mdb -k 2"
    "search-index|s.tsv|ps-search -q --index ../data/t.faiss ../data/t.emb.zst --threads 1 --vote -o s.tsv"
    "search-picture|s.json|ps-search -q --gallery ../data/n.emb.zst -m ../data/log/last.safetensors ../data/images/class3/0.ppm --threads 1 --device cpu --json -o s.json"
    "index|i.faiss i.faiss.tsv|ps-search -q --build i.faiss --factory Flat ../data/t.emb.zst --threads 1"
    "table|t.md|ps-table ../data/1.tsv ../data/2.tsv -o t.md"
    "curves|c.svg|ps-view -q curves ../data/log --metric loss -o c.svg"
    "histogram|h.png|ps-view -q histogram ../data/t.emb.zst -o h.png"
    "neighbours|n.png|ps-view -q neighbours ../data/t.emb.zst --shard ../data/test.mdb --cell 16 -o n.png"
    "map|m.svg|ps-view -q map ../data/t.emb.zst --shard ../data/test.mdb -o m.svg"
    "projector|x/vectors.tsv x/metadata.tsv x/sprite.png|ps-view -q projector ../data/t.emb.zst --shard ../data/test.mdb --cell 16 -o x"
    "report|r.html|ps-view -q report ../data/1.tsv -o r.html"
    "import|w.safetensors|ps-weights -q import --backbone none ../data/zip.pth -o w.safetensors"
    "export|m.onnx|ps-weights -q export -m ../data/log/last.safetensors -o m.onnx"
)

# fresh OUTPUT...: the folder `run`, with an old file under the name of each output
fresh() {
    rm -rf "$work/run" && mkdir "$work/run" && cd "$work/run" || exit 1
    local output
    for output; do [[ $output == */* || $output == x ]] || echo old >"$output"; done
}

# digest OUTPUT: of a file or of all files of a folder
digest() {
    if [ -d "$1" ]; then
        find "$1" -type f -exec cksum {} + | sort
    else
        cksum <"$1"
    fi
}

# once KIND N COMMAND...: leaves status, report and messages in $work
once() {
    local kind=$1 n=$2
    shift 2
    case $kind in
    calls) timeout -k 1 60 "$BUILD/tests/inject" -n "$n" -r "$work/report" "$work" "$@" ;;
    eintr) timeout -k 1 60 "$BUILD/tests/inject" -n "$n" -e EINTR -r "$work/report" "$work" "$@" ;;
    allocations)
        rm -f "$work/report"
        timeout -k 1 60 env LD_PRELOAD="$BUILD/tests/failmalloc.so" FAIL_MALLOC="$n" \
            FAIL_MALLOC_COUNT="$work/report" "$@"
        ;;
    esac >"$work/out" 2>"$work/err" </dev/null
    status=$?
}

# What is wrong with the run that ended with `status`; empty if nothing.
judge() {
    local kind=$1 program=$2 output left errors failed=''
    shift 2
    [ -f "$work/report" ] && failed=$(cut -d' ' -f2- "$work/report")
    errors=$(grep -c "^$program: error: " "$work/err")
    case $status in
    0) ;;
    1)
        [ "$errors" -eq 1 ] || { [ "$kind" = allocations ] && grep -q '^[^ ]*: *Out of memory\|^Out of memory\|^Fatal Internal Error in libarchive' "$work/err"; } || echo "status 1 with $errors error lines: $(tail -n 2 "$work/err" | tr '\n' '/')"
        if [ "$kind" = calls ] && ! grep "^$program: error: " "$work/err" | grep -qE '[a-z0-9]\.(tsv|mdb|zst|faiss|np[yz]|tar|pbtxt|json|svg|png|html|md|onnx|pth|jsonl|safetensors|ppm)|: (\.\./data|r|x|images|\.)[:/]|standard (in|out)put'; then
            echo "names no file: $(cat "$work/err")"
        fi
        ;;
    133 | 134) [ "$kind" = allocations ] || echo "aborted" ;;
    *) echo "ended with status $status: $(tail -n 1 "$work/err")" ;;
    esac
    for output; do
        if [ "$status" -eq 0 ]; then
            [ "$(digest "$output" 2>&1)" = "${reference[$output]}" ] || echo "$output is wrong"
        elif [ -f "$output" ] && [[ $output != *log.jsonl ]] && [ "$(tr -d '\0' <"$output")" != old ]; then
            [ "$(digest "$output")" = "${reference[$output]}" ] || echo "$output is damaged"
        fi
    done
    left=$(find . -name '.*.tmp')
    [ -z "$left" ] || [[ $failed == unlink* || $status -gt 1 ]] || echo "left $left"
}

declare -A reference
bad=0 runs=0 aborts=0

# try KIND SECONDS|all SCENARIO
try() {
    local kind=$1 seconds=$2 name outputs command output total n started step problem
    IFS='|' read -r name outputs command <<<"$3"
    read -ra outputs <<<"$outputs"
    fresh "${outputs[@]}"
    started=$(date +%s%N)
    once "$kind" 0 $command
    [ "$status" -eq 77 ] && echo "skipped: this kernel does not allow it" && exit 77
    if [ "$status" -ne 0 ]; then
        echo "$name: status $status without a fault: $(cat "$work/err")"
        bad=$((bad + 1))
        return
    fi
    reference=()
    for output in "${outputs[@]}"; do reference[$output]=$(digest "$output"); done
    total=$(cut -d' ' -f1 "$work/report")
    step=1000
    if [ "$seconds" != all ]; then # in thousandths, so that the last is among them
        local each=$((($(date +%s%N) - started) / 1000000 + 20))
        local fits=$((seconds * 1000 / each))
        [ "$fits" -ge 2 ] || fits=2
        [ "$fits" -lt "$total" ] && step=$(((total - 1) * 1000 / (fits - 1)))
    fi
    local place
    for ((place = 1000; place <= total * 1000; place += step)); do
        n=$((place / 1000))
        fresh "${outputs[@]}"
        once "$kind" "$n" $command
        runs=$((runs + 1))
        [ "$status" -eq 133 ] || [ "$status" -eq 134 ] && aborts=$((aborts + 1))
        problem=$(judge "$kind" "${command%% *}" "${outputs[@]}")
        [ -z "$problem" ] && continue
        bad=$((bad + 1))
        echo "$name, $kind $n of $total ($(cut -d' ' -f2- "$work/report" 2>/dev/null)): $problem"
    done
}

# sweep KIND SECONDS|all [SCENARIO...]: the time is shared equally
sweep() {
    local kind=$1 seconds=$2 chosen=() scenario
    shift 2
    for scenario in "${scenarios[@]}"; do
        [ $# -gt 0 ] && [[ " $* " != *" ${scenario%%|*} "* ]] && continue
        chosen+=("$scenario")
    done
    [ "$seconds" = all ] || seconds=$((seconds / ${#chosen[@]} + 1))
    for scenario in "${chosen[@]}"; do try "$kind" "$seconds" "$scenario"; done
}

# kills NUMBER: ps-train is killed so often at random moments, and ends in the same bytes.
kills() {
    local train=(ps-train -q --data ../data/train.mdb --eval ../data/test.mdb -o r "${net[@]}" --epochs 3
        --check-epoch 1 --checkpoint-steps 1 --log-steps 1) left=$1 expected file whole
    fresh
    whole=$(date +%s%N)
    "${train[@]}" || exit 1
    whole=$((($(date +%s%N) - whole) / 1000000))
    expected=$(cd r && cksum -- *.safetensors log.jsonl settings)
    while [ "$left" -gt 0 ]; do
        fresh
        while [ "$left" -gt 0 ]; do
            "${train[@]}" 2>"$work/err" &
            sleep "0.$(printf %03d $((RANDOM % (whole < 1000 ? whole : 999))))"
            kill -KILL $! 2>/dev/null || break # it has ended
            wait $! 2>/dev/null
            left=$((left - 1)) runs=$((runs + 1))
        done
        wait
        "${train[@]}" 2>"$work/err" || cat "$work/err"
        file=$(find r -name '.*.tmp')
        if [ "$(cd r && cksum -- *.safetensors log.jsonl settings)" != "$expected" ] || [ -n "$file" ]; then
            echo "a killed run ended in other bytes $file"
            bad=$((bad + 1))
        fi
    done
}

case ${1:-} in
all)
    for kind in calls eintr allocations; do sweep $kind all; done
    kills 100
    ;;
calls | eintr | allocations) sweep "$@" ;;
kills) kills "$2" ;;
*)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac
echo "$runs runs, $bad bad, $aborts ended by a library"
[ "$bad" -eq 0 ] && [ "$runs" -gt 0 ]
