# Less than float32 on a CPU with AMX: operators, networks, training.
bats_require_minimum_version 1.5.0
load images
load losses

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
    if ! train --precision bf16 -o bf16 2>refusal; then
        grep -q "computes in float32 only, without AMX" refusal
        touch no-amx
    fi
}

setup() {
    cd "$BATS_FILE_TMPDIR"
    [ ! -e no-amx ] || skip "this processor has no AMX"
}

# Three steps, of batches that fill most of a sum of 32 images.
options=(--device cpu --data train.mdb --eval test.mdb --backbone resnet18 --input-size 32 --dim 8
    --batch-size 24 --loss norm-softmax --ps-mu 1 --seed 1 --log-steps 1 --freeze-bn --epochs 3
    --check-epoch 3 --checkpoint-steps 1)

train() {
    ps-train -q "${options[@]}" "$@"
}

@test "operators of every precision agree with ref" {
    for device in cpu/tf32 cpu/bf16; do
        run -0 "$BUILD/tests/compare" test "$device" 1 20
        [[ $output != *"not ok"* ]]
        [[ $output == *"conv: $device against ref"* ]]
    done
}

@test "networks of every precision are the golden ones, rounded" {
    mkdir -p nets
    for net in resnet18_s64_b3 resnet18_s224_b2 resnet34_s64_b2 resnet50_s64_b2; do
        cp "$BATS_TEST_DIRNAME/../golden/net/${net}_gap_frozen.safetensors" nets/
    done
    for device in cpu/tf32 cpu/bf16; do
        run -0 "$BUILD/tests/golden" --device "$device" nets
        [ "$(grep -c "^ok .* on $device" <<<"$output")" -eq 4 ]
    done
}

@test "losses are near those of float32, and not the same" {
    train -o fp32
    train --precision tf32 -o tf32
    [ "$(losses fp32 | wc -l)" -eq 3 ]
    near fp32 tf32 1e-3
    near fp32 bf16 3e-2
    run ! diff <(losses fp32) <(losses tf32)
    run ! diff <(losses tf32) <(losses bf16)
    grep -q "precision = bf16" bf16/log.jsonl
    run -1 --separate-stderr train -o bf16
    [[ $stderr == *"'precision = bf16', now 'precision = fp32'"* ]]
}

@test "the same bytes in every run, and after a resume" {
    train --precision bf16 -o again
    cmp bf16/last.safetensors again/last.safetensors
    ps-train -q "${options[@]}" --precision bf16 -o killed 3>&- &
    pid=$!
    until [ -s killed/checkpoint.safetensors ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" || true
    train --precision bf16 -o killed
    cmp bf16/last.safetensors killed/last.safetensors
    cmp bf16/log.jsonl killed/log.jsonl
}

@test "embeddings in bf16 are near those in float32" {
    ps-embed -q --device cpu -m bf16/last.safetensors --format tsv -o full.tsv test.mdb
    ps-embed -q --device cpu --precision bf16 -m bf16/last.safetensors --format tsv -o half.tsv test.mdb
    run ! cmp full.tsv half.tsv
    cmp <(cut -f1 full.tsv) <(cut -f1 half.tsv)
}
