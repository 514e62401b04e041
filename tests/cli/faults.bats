#!/usr/bin/env bats
# What the programs do when the system fails them. tests/faults/run.sh has all of it, this a sample.

bats_require_minimum_version 1.5.0
load checks
load images

setup_file() {
    export FAULTS="$BATS_TEST_DIRNAME/../faults/run.sh" OMP_NUM_THREADS=1
    : "${BUILD:=$BATS_TEST_DIRNAME/../../build}"
    export BUILD
    cd "$BATS_FILE_TMPDIR" || return 1
    make_shards .
    ps-embed -q --raw-pixels 4 test.mdb -o t.emb.zst
    ps-embed -q --raw-pixels 5 test.mdb -o u.emb.zst
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return 1
}

teardown() {
    ! mountpoint -q "$BATS_FILE_TMPDIR/full" || umount "$BATS_FILE_TMPDIR/full"
}

# ps-train on the shards, as small as it gets
train() {
    ps-train -q --data train.mdb --backbone resnet18 --input-size 32 --dim 4 --batch-size 8 --threads 1 --device cpu "$@"
}

# sample KIND SECONDS
sample() {
    run "$FAULTS" "$@"
    [ "$status" -eq 77 ] && skip "the kernel does not allow it"
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "system calls that fail" { sample calls 35; }

@test "system calls cut short by a signal" { sample eintr 15; }

@test "allocations that fail" { sample allocations 30; }

@test "ps-train killed at random moments" { sample kills 4; }

@test "a full disk: no program leaves a part of its output, and each names it" {
    mkdir -p full
    mount -t tmpfs -o size=4k tmpfs full 2>/dev/null || skip "cannot mount"
    dd if=/dev/zero of=full/filler bs=4k count=1 status=none
    ps-eval -q t.emb.zst -o 1.tsv
    mkdir -p log && echo '{"kind":"eval","epoch":1,"recall@1":0.5}' >log/log.jsonl
    refused 1 "full/o.tsv: cannot write: No space" ps-prepare -q folder images --test-classes 0.5 -o full/o.tsv
    refused 1 "full/o.svg: cannot write: No space" ps-view curves log -o full/o.svg
    refused 1 "full/o.png: cannot write: No space" ps-view histogram t.emb.zst -o full/o.png
    refused 1 "full/o.png: cannot write: No space" ps-view neighbours t.emb.zst --shard test.mdb -o full/o.png
    refused 1 "full/o.tsv: cannot write: No space" ps-eval t.emb.zst -o full/o.tsv
    refused 1 "full/o.st: no room for" ps-embed --raw-pixels 99 test.mdb --format safetensors -o full/o.st
    refused 1 "full/o.zst: cannot write: No space" ps-embed --raw-pixels 4 test.mdb -o full/o.zst
    refused 1 "full/run/checkpoint.safetensors: no room for" train -o full/run
    rmdir full/run
    [ "$(ls -A full)" = filler ]
}

@test "a limit of the size of files is an error" {
    limited() { (ulimit -f 1 && ps-embed -q --raw-pixels 40 test.mdb -o big.emb.zst); }
    refused 1 "big.emb.zst: cannot write: File too large" limited
    [ -z "$(find . -name '.*.tmp')" ]
}

@test "SIGTERM ends a program that waits for its input with 143" {
    mkfifo fifo
    for command in "ps-eval -" "ps-eval fifo" "ps-train --config fifo"; do
        $command < <(exec sleep 5 3>&-) 2>err 3>&- &
        pid=$!
        # 15 is among the signals it catches; then it goes on to read
        until grep -q '^SigCgt.*[4-7c-f]...$' /proc/$pid/status; do sleep 0.1; done
        sleep 0.3
        kill -TERM $pid
        status=0 && wait $pid || status=$?
        [ "$status" -eq 143 ]
        grep -q interrupted err
    done
}

@test "standard descriptors that are closed get no file" {
    train -o closed --epochs 1 --no-tensorboard --log-steps 1 >&- 2>&- <&-
    run ! grep -v '^{.*}$' closed/log.jsonl closed/timing.jsonl
    run ps-eval t.emb.zst >&-
    refused 1 "standard output" sh -c 'ps-eval t.emb.zst >&-'
    refused 1 "standard output" sh -c 'ps-train --help loss >/dev/full'
}

@test "empty names are wrong usage" {
    refused 2 "--output: '' is not the name of a file or folder" train -o ''
    refused 2 "an argument is empty" ps-eval ''
}

@test "an output that is also an input is wrong usage, and the input stays" {
    mkdir kept && cp m.tsv t.emb.zst test.mdb kept
    ps-eval -q t.emb.zst --tag setting=a,seed=1 -o in.tsv
    ln -s test.mdb link.mdb
    message="is also read: choose another name"
    refused 2 "--output: m.tsv $message" ps-pack m.tsv -o m.tsv
    refused 2 "--output: ./t.emb.zst $message" ps-eval t.emb.zst -o ./t.emb.zst
    refused 2 "--output: link.mdb $message" ps-embed --raw-pixels 4 test.mdb -o link.mdb
    refused 2 "--output: in.tsv $message" ps-table in.tsv -o in.tsv
    refused 2 "--output: test.mdb $message" ps-view neighbours t.emb.zst --shard test.mdb -o test.mdb
    for file in m.tsv t.emb.zst test.mdb; do cmp $file kept/$file; done
}

@test "names of 251 bytes, with line breaks and brackets" {
    long=$(printf 'x%.0s' $(seq 247)).tsv
    ps-eval -q t.emb.zst -o "$long"
    [ -s "$long" ]
    mkdir -p log && echo '{"kind":"eval","epoch":1,"recall@1":0.5}' >log/log.jsonl
    for name in $'a\nb.svg' $'a\nb.png' 'a[b].svg' "a'b.png"; do
        ps-view curves log -o "$name"
        [ -s "$name" ]
    done
    ps-view neighbours t.emb.zst --shard test.mdb -o 'n[1].png'
    [ -s 'n[1].png' ]
    [ -z "$(find . -name '.*.tmp')" ]
}

@test "a name of a descriptor is written, not replaced" { # /dev/stdout is a link to this one
    ps-eval -q t.emb.zst -o /proc/self/fd/1 >direct.tsv
    ps-eval -q t.emb.zst >piped.tsv
    cmp direct.tsv piped.tsv
}

@test "gnuplot that is missing, fails or hangs is named" {
    mkdir -p log bin && echo '{"kind":"eval","epoch":1,"recall@1":0.5}' >log/log.jsonl
    view() { PATH=$PWD/bin "$(command -v ps-view)" curves log -o g.svg; }
    refused 1 "cannot run gnuplot: No such file" view
    printf '#!/bin/sh\nexit 0\n' >bin/gnuplot && chmod +x bin/gnuplot
    refused 1 "g.svg: gnuplot wrote no complete image" view
    printf '#!/bin/sh\nkill -9 $$\n' >bin/gnuplot
    refused 1 "gnuplot was killed by signal 9" view
    printf '#!/bin/sh\nexec /bin/sleep 100\n' >bin/gnuplot
    PATH=$PWD/bin "$(command -v ps-view)" curves log -o g.svg 2>err 3>&- &
    pid=$!
    sleep 0.3
    kill -TERM $pid
    status=0 && wait $pid || status=$?
    [ "$status" -eq 143 ]
    [ ! -e g.svg ]
}

@test "ps-train removes only its own leftovers" {
    mkdir -p swept
    touch swept/.mine.txt.tmp swept/.x.emb.zst.123.tmp swept/.last.safetensors.123.tmp swept/.best-rp.safetensors.9.tmp
    train -o swept --epochs 0
    [ -e swept/.mine.txt.tmp ]
    [ -e swept/.x.emb.zst.123.tmp ]
    [ ! -e swept/.last.safetensors.123.tmp ]
    [ ! -e swept/.best-rp.safetensors.9.tmp ]
}

@test "a matrix and its labels are of one command" {
    ps-embed -q --raw-pixels 4 --format npy test.mdb -o pair.npy
    cp pair.labels.tsv before
    refused 1 "pair.npy" sh -c 'ulimit -f 2; ps-embed -q --raw-pixels 30 --format npy train.mdb -o pair.npy'
    cmp pair.labels.tsv before
}

@test "class names that cannot be stored are refused before training" {
    bad=$(printf 'bad\377name')
    cp -r images latin && mv latin/class0 "latin/$bad"
    refused 1 "not UTF-8" ps-prepare folder latin --test-classes 0.5 -o latin.tsv
    refused 1 "not UTF-8" ps-eval --json t.emb.zst --tag "a=$bad"
}

@test "outputs that cannot be written are refused before the work" {
    refused 1 "no/o.tsv: cannot create" ps-eval no.emb.zst -o no/o.tsv
    refused 1 "no/o.svg: cannot create" ps-view map no.emb.zst -o no/o.svg
    refused 2 "the suffix must be" ps-view map t.emb.zst -o o.gif
    refused 1 "at most 1048576" ps-embed --raw-pixels 800 test.mdb -o o.emb.zst
    refused 1 "no/o.zst: cannot create" ps-embed --raw-pixels 4 test.mdb -o no/o.zst
}

@test "a finished run accepts another evaluation, not other training" {
    train --eval test.mdb -o finished --epochs 1
    cksum finished/*.safetensors >before
    train --eval test.mdb -o finished --epochs 1 --k-list 1,3 --check-epoch 7
    train -o finished --epochs 1
    cksum finished/*.safetensors | cmp - before
    refused 1 "dim = 4" train --eval test.mdb -o finished --epochs 1 --dim 5
    train --eval test.mdb -o finished --epochs 1 --eval-best --k-list 3 | grep -q recall@3
}

@test "shards of different sizes are embedded together" {
    train -o net --epochs 0
    ps-prepare -q folder images -o all.tsv --test-classes 0.25
    ps-pack -q -s test all.tsv -o few.mdb
    ps-embed -q -m net/last.safetensors train.mdb few.mdb -o both.emb.zst
    ps-embed -q -m net/last.safetensors few.mdb train.mdb -o other.emb.zst
    [ "$(ps-eval both.emb.zst | tail -n 1 | cut -f9)" = "$(ps-eval other.emb.zst | tail -n 1 | cut -f9)" ]
}

@test "an index that FAISS crashes on is an error" {
    for factory in PQ0 HNSW0 HNSW1 NSG0 IVF2,PQ0 PQ4x0; do
        refused 1 "index '$factory'" ps-eval -q --index "$factory" t.emb.zst
    done
}
