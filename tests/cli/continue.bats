# ps-train: more epochs for a run, a run's model as the start of another, a frozen backbone.
bats_require_minimum_version 1.5.0
load checks
load images

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
    train --epochs 2 -o two
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

teardown() {
    rm -rf "$BATS_FILE_TMPDIR/run" "$BATS_FILE_TMPDIR/other"
}

options=(-q --device cpu --data train.mdb --eval test.mdb --backbone resnet18 --input-size 32 \
    --dim 8 --batch-size 8 --check-epoch 2 --ps-mu 1 --decay-step 3 --seed 1)

train() {
    ps-train "${options[@]}" "$@"
}

@test "a finished run goes on to more epochs, with the bytes of one that was asked for them at once" {
    cp -r two run
    train --epochs 4 -o run
    train --epochs 4 -o other
    same run other
    grep -q '^epochs = 4$' run/settings
    run ! cmp two/last.safetensors run/last.safetensors
}

@test "so does one that is not finished, whether longer or shorter" {
    ps-train "${options[@]}" --epochs 3 --checkpoint-steps 1 -o run &
    until [ -s run/checkpoint.safetensors ] || ! kill -0 $!; do sleep 0.05; done
    kill -9 $!
    wait $! || true
    train --epochs 2 -o run
    same run two
}

@test "a run of a version that lacked an option goes on, with that option's default" {
    cp -r two run
    for option in freeze-bn folds micro-batches; do # none of them has this name any more
        sed -i "s/\\\\n$option = /\\\\nx${option#?} = /" run/checkpoint.safetensors
    done
    run ! grep -aq '\\nmicro-batches = ' run/checkpoint.safetensors
    train --epochs 3 -o run
    rm -r run
    cp -r two run
    sed -i 's/\\nfolds = /\\nxolds = /' run/checkpoint.safetensors
    run -1 train --epochs 3 --folds 2 --fold 1 -o run
    [[ $output == *"'folds = 0', now 'folds = 2'"* ]]
}

@test "fewer epochs than are trained are refused" {
    run -1 train --epochs 1 -o two
    [[ $output == *"ps-train: error: two has trained for 2 epochs, more than --epochs 1 (another --output, or --restart)" ]]
}

@test "a schedule that depends on its end needs --extend, and the log says so" {
    for schedule in cosine one-cycle; do
        train --schedule $schedule --epochs 2 -o run
        cp run/log.jsonl before
        run -1 train --schedule $schedule --epochs 4 -o run
        [[ $output == *"'epochs = 2', now 'epochs = 4'"*"--extend"* ]]
        cmp before run/log.jsonl
        train --schedule $schedule --epochs 4 --extend -o run
        jq -es 'map(select(.kind == "extend")) == [{kind: "extend", epoch: 2, epochs: 4}]' \
            run/log.jsonl
        jq -es '[.[] | select(.kind == "epoch").epoch] == [1, 2, 3, 4]' run/log.jsonl
        rm -r run
    done
}

@test "an interrupted extension ends in the same bytes" {
    train --schedule cosine --epochs 2 -o run
    cp -r run other
    ps-train "${options[@]}" --schedule cosine --epochs 4 --extend --checkpoint-steps 1 -o run &
    sleep 0.5
    kill -9 $! 2>/dev/null || true
    wait $! || true
    train --schedule cosine --epochs 4 --extend -o run
    train --schedule cosine --epochs 4 --extend -o other
    same run other
}

plateau=(--schedule plateau --val-classes 0.5 --decay-patience 0 --decay-rate 0.5 --log-steps 1)

# Do the learning rates follow the recall? Those of the last epochs have decayed.
follows_recall() {
    jq -es 'map(select(.kind == "eval" or .kind == "step")) |
        reduce .[] as $line ({best: -1, lr: 1e-4, good: true};
            if $line.kind == "step" then .good = (.good and ($line.lr - .lr | fabs) < 1e-15)
            elif $line["recall@1"] > .best * 1.0001 then .best = $line["recall@1"]
            else .lr *= 0.5 end) |
        .good and .lr < 1e-4' "$1/log.jsonl"
}

@test "a plateau run that was killed ends in the same bytes" {
    train "${plateau[@]}" --check-epoch 1 --epochs 6 -o other
    follows_recall other
    for evaluations in 2 3 5; do
        ps-train "${options[@]}" "${plateau[@]}" --check-epoch 1 --epochs 6 --checkpoint-steps 1 \
            -o run &
        until [ "$(grep -c '"kind":"eval"' run/log.jsonl)" -ge $evaluations ] || ! kill -0 $!; do
            sleep 0.05
        done
        kill -9 $! 2>/dev/null || true
        wait $! || true
    done
    train "${plateau[@]}" --check-epoch 1 --epochs 6 -o run
    same run other
}

@test "an evaluation made only because a run ended does not change a plateau's learning rates" {
    train "${plateau[@]}" --epochs 7 -o other
    follows_recall other
    for epochs in 3 5 7; do
        train "${plateau[@]}" --epochs $epochs -o run
    done
    [ "$(grep -c '"kind":"eval"' run/log.jsonl)" -eq 6 ]
    cmp run/last.safetensors other/last.safetensors
}

@test "a run that stopped early is not continued" {
    train --epochs 40 --check-epoch 1 --early-stop-epoch 1 --modellr 0 --centerlr 0 -o run
    epoch=$(jq -s 'map(.epoch // 0) | max' run/log.jsonl)
    [ "$epoch" -lt 40 ]
    cp run/log.jsonl before
    train --epochs 50 --check-epoch 1 --early-stop-epoch 1 --modellr 0 --centerlr 0 -o run
    cmp before run/log.jsonl
}

@test "evaluation settings stay as they were where a run goes on" {
    cp -r two run
    run -1 train --epochs 4 --k-list 1,3 -o run
    [[ $output == *"'k-list = 1,2,4,8', now 'k-list = 1,3'"* ]]
}

@test "--restart keeps the run that was refused and starts anew" {
    cp -r two run
    train --epochs 1 --check-epoch 1 --restart -o run
    cmp two/last.safetensors run/previous-1/last.safetensors
    train --epochs 1 --check-epoch 1 -o other
    same run other
}

@test "--init RUNDIR starts from the run's best model, proxies and all" {
    train --init two --epochs 0 -o run
    ps-weights diff --tolerance 0 two/best-recall@1.safetensors run/last.safetensors
    rm -r run
    cp -r two other
    rm other/best-*
    train --init other --epochs 0 -o run
    ps-weights diff --tolerance 0 two/last.safetensors run/last.safetensors
}

@test "trained on other classes, or with another width, a model lends its backbone" {
    run ps-train --device cpu --data test.mdb --backbone resnet18 --input-size 32 --dim 8 \
        --batch-size 8 --epochs 0 --init two -o run
    [ "$status" -eq 0 ]
    grep -q 'two/best-recall@1.safetensors was trained on other classes: the proxies are new' <<<"$output"
    ps-weights diff two/best-recall@1.safetensors run/last.safetensors >differences || true
    grep -qE '^proxy.weight.*different' differences
    run ! grep -E '^(conv1|embedding).weight.*different' differences
    rm -r run
    train --dim 4 --init two --epochs 0 -o run
    ps-weights diff two/best-recall@1.safetensors run/last.safetensors >differences || true
    run ! grep -E '^conv1.weight.*different' differences
}

@test "a folder without a model is refused" {
    mkdir other
    run -1 train --init other -o run
    [[ $output == *"ps-train: error: other: no model in it: "* ]]
    [ ! -e run ]
}

@test "--freeze backbone trains the embedding and the proxies alone" {
    train --epochs 2 --freeze backbone -o run
    train --epochs 0 --freeze backbone -o other
    ps-weights diff run/last.safetensors other/last.safetensors >differences || true
    [ "$(sed -n 's/^\([a-z]*\)\.[a-z]*\tdifferent.*/\1/p' differences | sort -u | tr '\n' ' ')" = \
        "embedding proxy " ]
}
