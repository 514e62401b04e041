# ps-train on several ranks: the bytes of one, whatever their number; killed, stopped, refused.
bats_require_minimum_version 1.5.0
load checks
load images

setup_file() {
    command -v mpirun >/dev/null || skip "needs mpirun (make setup)"
    cd "$BATS_FILE_TMPDIR"
    make_shards .
    train -o one
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

teardown() {
    rm -rf "$BATS_FILE_TMPDIR/run" "$BATS_FILE_TMPDIR/other"
}

options=(-q --device cpu --data train.mdb --eval test.mdb --backbone resnet18 --input-size 32
    --dim 8 --batch-size 8 --epochs 2 --check-epoch 1 --ps-mu 1 --seed 1 --eps 1e-4 --micro-batches 4)

train() {
    ps-train "${options[@]}" "$@"
}

# on N COMMAND...: it on so many ranks. Open MPI 5 reads PRTE's variables.
on() {
    local ranks=$1
    shift
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 \
        PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_orte_execute_quiet=1 timeout 240 mpirun -n "$ranks" "$@"
}

@test "any number of ranks that divides the micro-batches gives the bytes of one" {
    for ranks in 1 4; do
        on "$ranks" ps-train "${options[@]}" -o run
        same one run
        rm -r run
    done
}

@test "so do mixup, held-out classes, accumulation, averaged weights, m per class, frozen BN" {
    local more=(--regularizer mixup --val-classes 0.3 --accumulate 2 --ema 0.9 --freeze-bn)
    train "${more[@]}" -o run
    on 2 ps-train "${options[@]}" "${more[@]}" -o other
    same run other
    rm -r run other
    more=(--regularizer manifold-mixup --n-instance 2 --warmup 1)
    train "${more[@]}" -o run
    on 2 ps-train "${options[@]}" "${more[@]}" -o other
    same run other
}

@test "so does bf16, where there is AMX; elsewhere it is refused" {
    if ! train --precision bf16 -o run 2>/dev/null; then
        run -1 on 2 ps-train "${options[@]}" --precision bf16 -o run
        [ "$(grep -c '^ps-train: error' <<<"$output")" -eq 1 ]
        [[ $output == *"computes in float32 only, without AMX"* ]]
        return
    fi
    on 2 ps-train "${options[@]}" --precision bf16 -o other
    same run other
}

@test "so do augmented images" {
    local more=(--color-jitter 0.4,0.4,0.4,0.1 --random-erasing 0.5)
    train "${more[@]}" -o run
    on 2 ps-train "${options[@]}" "${more[@]}" -j 2 -o other
    same run other
    run ! cmp run/last.safetensors one/last.safetensors
}

@test "a last batch smaller than the number of pieces leaves some ranks without images" {
    local more=(--freeze-bn --batch-size 7 --micro-batches 6 --epochs 1)
    train "${more[@]}" -o run
    on 3 ps-train "${options[@]}" "${more[@]}" -o other
    same run other
}

@test "under mpirun the number of micro-batches is that of the ranks" {
    train --micro-batches 2 -o run
    on 2 ps-train "${options[@]}" --micro-batches 0 -o other
    same run other
}

@test "micro-batches change the sums' order and nothing else" {
    train --freeze-bn --epochs 1 --modellr 1e-5 -o run
    train --freeze-bn --epochs 1 --modellr 1e-5 --micro-batches 1 -o other
    ps-weights diff --tolerance 1e-3 run/last.safetensors other/last.safetensors
    run ! cmp run/last.safetensors other/last.safetensors
}

# wait_for FILE: until it has something in it, or job $! has ended.
wait_for() {
    until [ -s "$1" ] || ! kill -0 $!; do sleep 0.05; done
}

@test "one rank killed ends all; the run resumes with another number of ranks, in the same bytes" {
    local kills=${TEST_ALL:+20} killed=0 ended=0
    for ((i = 0; i < ${kills:-2}; i++)); do
        on $((2 << i % 2)) ps-train "${options[@]}" --checkpoint-steps 1 -o run 2>/dev/null &
        wait_for run/log.jsonl
        sleep "$((RANDOM % 4)).$((RANDOM % 10))"
        pgrep -f "^ps-train.*--checkpoint-steps 1 -o run$" | shuf -n 1 | xargs -r kill -9
        status=0
        wait $! || status=$?
        [ "$status" -ne 124 ]
        if [ "$status" -ne 0 ]; then
            killed=$((killed + 1))
            continue
        fi
        same one run
        rm -r run
        ended=$((ended + 1))
    done
    echo "$killed killed, $ended ended before"
    train -o run
    same one run
}

@test "SIGTERM to mpirun saves and ends; one process goes on" {
    export OMPI_MCA_odls_base_sigkill_timeout=10 # what mpirun waits, always
    on 2 ps-train "${options[@]}" --epochs 40 --check-epoch 40 -o run 2>/dev/null &
    wait_for run/log.jsonl
    sleep 1
    pkill -TERM -f "^[^ ]*(mpirun|prterun) .*ps-train.*--epochs 40"
    wait $! || true
    [ -s run/checkpoint.safetensors ]
    epochs=$(grep -c '"kind":"epoch"' run/log.jsonl || true)
    train --epochs $((epochs + 2)) --check-epoch 40 -o run
    train --epochs $((epochs + 2)) --check-epoch 40 -o other
    cmp run/last.safetensors other/last.safetensors
}

@test "ps-embed shares out the batches of shards" {
    ps-embed -q --device cpu --threads 1 -b 5 -m one/last.safetensors train.mdb test.mdb -o one.emb.zst
    for ranks in 2 3; do
        on $ranks ps-embed -q --device cpu --threads 1 -b 5 -m one/last.safetensors train.mdb test.mdb \
            -o run.emb.zst
        cmp one.emb.zst run.emb.zst
    done
    ps-embed -q --raw-pixels 8 train.mdb test.mdb -o one.emb.zst
    on 3 ps-embed -q --raw-pixels 8 train.mdb test.mdb -o run.emb.zst
    cmp one.emb.zst run.emb.zst
    run -1 on 2 ps-embed -q -m one/last.safetensors none.mdb -o run2.emb.zst
    [ "$(grep -c '^ps-embed: error' <<<"$output")" -eq 1 ]
    [ ! -e run2.emb.zst ]
}

@test "ps-eval shares out the queries" {
    awk 'BEGIN {
        srand(1)
        print "label\tx0\tx1\tx2\tx3\tx4\tx5"
        for (i = 0; i < 13000; i++) {
            printf "%d", i % 4 ? i % 300 : int(300 * rand())
            for (j = 0; j < 6; j++) printf "\t%.2f", rand() + (i % 300 * (j + 1) % 7) / 7 - 1
            print ""
        }
    }' >many.tsv
    local options=(--threads 1 --metrics recall,rp,map@r,precision,map,nmi --bootstrap 20 --index IVF8,Flat)
    ps-eval "${options[@]}" many.tsv >one.tsv
    for ranks in 2 3; do
        on $ranks ps-eval "${options[@]}" many.tsv >several.tsv
        cmp one.tsv several.tsv
    done
    ps-eval --threads 1 --per-class --gallery many.tsv many.tsv -o one.tsv
    on 5 ps-eval --threads 1 --per-class --gallery many.tsv many.tsv -o several.tsv
    cmp one.tsv several.tsv
    run -1 on 2 ps-eval none.tsv
    [ "$(grep -c '^ps-eval: error' <<<"$output")" -eq 1 ]
    run -1 on 2 ps-eval - <many.tsv
    [[ $output == *"ranks cannot share standard input"* ]]
}

@test "errors are printed once, and exit with their status" {
    run -2 on 2 ps-train "${options[@]}" --micro-batches 3 -o run
    [ "$(grep -c '^ps-train: error' <<<"$output")" -eq 1 ]
    [[ $output == *"--micro-batches: 3 is not a multiple of the 2 ranks"* ]]
    run -1 on 2 ps-train "${options[@]}" --data none.mdb -o run
    [ "$(grep -c '^ps-train: error' <<<"$output")" -eq 1 ]
    run -2 on 2 ps-train "${options[@]}" --micro-batches 8 --batch-size 9 -o run
    [[ $output == *"a batch of 9 is too small for 8 pieces"* ]]
    run -2 on 2 ps-train "${options[@]}" --tune dir -o run
    [[ $output == *"--tune"* ]]
    [ ! -e run ]
}
