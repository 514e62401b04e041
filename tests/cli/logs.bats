# ps-train: when it stops by itself, which models it keeps, and logs that others read.
bats_require_minimum_version 1.5.0
load images

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# Nothing can improve: all learning rates are 0 and the statistics of BN are kept.
still=(-q --device cpu --data train.mdb --eval test.mdb --backbone resnet18 --input-size 32 --dim 8
    --batch-size 16 --check-epoch 1 --freeze-bn --modellr 0 --centerlr 0)

evaluations() {
    grep -c '"kind":"eval"' "$1/log.jsonl"
}

@test "early stopping, in evaluations and in epochs" {
    ps-train "${still[@]}" --epochs 9 --early-stop-epoch 2 -o evaluations
    [ "$(evaluations evaluations)" -eq 3 ]
    ps-train "${still[@]}" --epochs 9 --check-epoch 2 --early-stop-after 4 -o epochs
    [ "$(grep -c '"kind":"epoch"' epochs/log.jsonl)" -eq 6 ]
    [ -s evaluations/last.safetensors ]
    ps-embed -q -m evaluations/best-recall@1.safetensors test.mdb -o x.emb.zst
}

@test "max-to-keep keeps the last models, never fewer than one" {
    ps-train "${still[@]}" --epochs 4 --max-to-keep 2 -o two
    run ls two
    [[ $output == *epoch-00003.safetensors* && $output == *epoch-00004.safetensors* ]]
    [[ $output != *epoch-00002.safetensors* ]]
    ps-train "${still[@]}" --epochs 3 --max-to-keep 0 -o all
    [ "$(ls all/epoch-*.safetensors | wc -l)" -eq 3 ]
    ps-train "${still[@]}" --epochs 3 -o one
    run ! ls one/epoch-*.safetensors
    [ -s one/last.safetensors ]
}

@test "tensorboard reads the event file" {
    : "${PYTHON:=python3}"
    "$PYTHON" -c 'import tensorboard' 2>/dev/null || skip "$PYTHON has no tensorboard"
    ps-train "${still[@]}" --epochs 2 --log-steps 1 -o board
    "$PYTHON" - board <<'PY'
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
tags = set(events.Tags()["scalars"])
wanted = {"train/loss", "train/learning_rate", "eval/Recall_1", "eval/RP", "eval/MAP", "eval/MAP@R",
          "eval/Recall_1_best", "eval/RP_best", "eval/MAP@R_best"}
assert wanted <= tags, (wanted - tags, tags)
assert len(events.Scalars("eval/Recall_1")) == 2
PY
}
