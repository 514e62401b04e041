# ps-train: files, determinism, resuming after being killed, refusals, the reference's commands.
bats_require_minimum_version 1.5.0
load checks
load images

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
    small "${whole[@]}" -o whole
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

teardown() {
    rm -rf "$BATS_FILE_TMPDIR/run" "$BATS_FILE_TMPDIR/other"
}

# The smallest run worth the name.
tiny=(--device cpu --data train.mdb --eval test.mdb --backbone resnet18 --input-size 32 --dim 8
    --batch-size 8 --epochs 2 --check-epoch 2)
# The options of the run in whole/.
whole=(--loss norm-softmax --ps-mu 1 --seed 1 --log-steps 1)

small() {
    ps-train -q "${tiny[@]}" "$@"
}

# Of activations, as the last epoch says.
bytes_of() {
    tail -1 "$1/timing.jsonl" | sed 's/.*"network_bytes":\([0-9]*\).*/\1/'
}

@test "a run leaves models, checkpoint, settings and logs" {
    for file in last.safetensors best-recall@1.safetensors best-rp.safetensors \
        best-map@r.safetensors checkpoint.safetensors settings log.jsonl timing.jsonl; do
        [ -s "whole/$file" ]
    done
    [ "$(grep -c '"kind":"step"' whole/log.jsonl)" -eq 6 ]
    [ "$(grep -c '"kind":"epoch"' whole/log.jsonl)" -eq 2 ]
    [ "$(grep -c '"kind":"eval"' whole/log.jsonl)" -eq 1 ]
    ls whole/events.out.tfevents.*
}

@test "training moves the embedding: the loss falls" {
    small --epochs 6 --check-epoch 6 --modellr 1e-3 --log-steps 1 -o run
    first=$(grep '"kind":"epoch"' run/log.jsonl | head -1 | sed 's/.*"loss":\([0-9.]*\).*/\1/')
    last=$(grep '"kind":"epoch"' run/log.jsonl | tail -1 | sed 's/.*"loss":\([0-9.]*\).*/\1/')
    awk -v a="$first" -v b="$last" 'BEGIN { exit !(b < 0.8 * a) }'
}

@test "any number of decoding threads gives the same bytes" {
    small "${whole[@]}" -j 1 -o run
    same whole run
    small --loss norm-softmax --ps-mu 1 --seed 2 --log-steps 1 -o other
    run ! cmp whole/last.safetensors other/last.safetensors
}

@test "killed at random moments and started again, a run ends in the same bytes" {
    for ((i = 0; i < 5; i++)); do
        ps-train -q "${tiny[@]}" "${whole[@]}" --checkpoint-steps 1 -o run &
        pid=$!
        until [ -s run/log.jsonl ] || ! kill -0 "$pid"; do sleep 0.05; done
        sleep "0.$((RANDOM % 10))"
        kill -9 "$pid" 2>/dev/null || break
        wait "$pid" || true
    done
    small "${whole[@]}" -o run
    same whole run
}

@test "a finished run whose last model was deleted writes it again" {
    cp -r whole run
    rm run/last.safetensors
    small "${whole[@]}" -o run
    same whole run
}

@test "SIGTERM and SIGHUP save and end with 128 + number; the same command goes on" {
    for signal in TERM:143 HUP:129; do
        rm -rf run
        ps-train -q "${tiny[@]}" "${whole[@]}" -o run &
        pid=$!
        until [ -s run/log.jsonl ] || ! kill -0 "$pid"; do sleep 0.05; done
        kill "-${signal%:*}" "$pid"
        status=0
        wait "$pid" || status=$?
        [ "$status" -eq "${signal#*:}" ]
        [ -s run/checkpoint.safetensors ]
        small "${whole[@]}" -o run
        same whole run
    done
}

@test "under nohup, SIGHUP does not end a run" {
    nohup ps-train -q "${tiny[@]}" "${whole[@]}" -o run >out 2>&1 &
    pid=$!
    until [ -s run/log.jsonl ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -HUP "$pid"
    wait "$pid"
    same whole run
}

@test "augmented runs differ from others, resume exactly, and the number of decoding threads is free" {
    options=(--color-jitter 0.4,0.4,0.4,0.1 --random-erasing 0.5 --input-size 40 --micro-batches 2
        --regularizer manifold-mixup --log-steps 1)
    small "${options[@]}" -o other
    ps-train -q "${tiny[@]}" "${options[@]}" -j 1 --checkpoint-steps 1 -o run &
    pid=$!
    until [ -s run/checkpoint.safetensors ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" || true
    small "${options[@]}" -j 3 -o run
    same other run
    refused 1 "random-erasing" small "${options[@]}" --random-erasing 0.4 -o run
    for one in "--color-jitter 0.4" "--color-jitter 0,0,0,0.1" "--random-erasing 1"; do
        rm -r run
        # shellcheck disable=SC2086
        small "${whole[@]}" $one -o run
        run ! cmp whole/last.safetensors run/last.safetensors
        ps-weights diff whole/last.safetensors run/last.safetensors >differences || true
        grep -q '^conv1.weight.*different' differences
    done
    rm -r run
    small "${whole[@]}" --color-jitter 0 --random-erasing 0 -o run
    ps-weights diff whole/last.safetensors run/last.safetensors
}

@test "a run is the same however its settings are spelt" {
    spelt=(--weight-decay 1e-4 --decay-step 20)
    small "${whole[@]}" --color-jitter 0.4 -o run
    before=$(stat -c %Y%s run/*)
    small "${whole[@]}" "${spelt[@]}" --color-jitter 0.40,.4,4e-1,0 --weight-decay-proxies 0.0001 -o run
    small "${whole[@]}" "${spelt[@]}" --color-jitter 0.4 --decay-first 20 --use-amp no -o run
    [ "$before" = "$(stat -c %Y%s run/*)" ]
    run -1 small "${whole[@]}" --color-jitter 0.4,0.4,0.4,0.1 -o run
    [[ $output == *"'color-jitter = 0.4,0.4,0.4,0', now 'color-jitter = 0.4,0.4,0.4,0.1'"* ]]
    before=$(stat -c %Y%s whole/*)
    small "${whole[@]}" --color-jitter 0,0,-0,0 -o whole
    [ "$before" = "$(stat -c %Y%s whole/*)" ]
}

@test "EMA, accumulation, mixup and held-out classes resume exactly, too" {
    options=(--ema 0.9 --accumulate 2 --regularizer manifold-mixup --val-classes 0.25 --log-steps 1
        --check-epoch 1)
    run ps-train "${tiny[@]}" "${options[@]}" -o other
    grep -Eq 'epoch 1: validation recall@1 ' <<<"$output"
    grep -Eq 'test, model of epoch [12]: recall@1 ' <<<"$output"
    grep -q '"kind":"test"' other/log.jsonl
    jq -es '.[0].held_out | length > 0' other/log.jsonl
    ps-train -q "${tiny[@]}" "${options[@]}" --checkpoint-steps 1 -o run &
    pid=$!
    until [ -s run/checkpoint.safetensors ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" || true
    small "${options[@]}" -o run
    same other run
}

@test "evaluating on the training shard is said" {
    run small --eval train.mdb --epochs 0 -o run
    [ "$status" -eq 0 ]
    grep -q 'warning: train.mdb and train.mdb hold the same images' <<<"$output"
}

@test "--tune keeps its choices: in the run to go on with, and for other runs" {
    small "${whole[@]}" --tune run/dir -o run
    cmp run/dir/*.tsv run/tuned/*.tsv
    echo "of the folder" >>"$(echo run/dir/*.tsv)"
    small "${whole[@]}" --tune run/dir -o run
    run ! grep -r "of the folder" run/tuned
    small "${whole[@]}" --tune run/dir -o other
    cmp run/dir/*.tsv other/tuned/*.tsv
    same run other
}

@test "a tuned run that was killed goes on with its choices" {
    small "${whole[@]}" --tune run/dir -o run/1
    mkdir run/2
    cp -r run/1/tuned run/2/
    rm -r run/dir
    ps-train -q "${tiny[@]}" "${whole[@]}" --tune run/dir --checkpoint-steps 1 -o run/2 &
    pid=$!
    until [ -s run/2/checkpoint.safetensors ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" || true
    small "${whole[@]}" --tune run/dir -o run/2
    same run/1 run/2
}

@test "--profile says where the time goes, and changes nothing" {
    ps-train "${tiny[@]}" "${whole[@]}" --profile -o run 2>profile
    grep -qE '^ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+ +[0-9]+  conv 3x32x32 -> 64x16x16 k7: .*jit' profile
    [ "$(grep -c 'operator$' profile)" -eq 1 ]
    same whole run
    rm profile
}

@test "--checkpoint-activations takes less memory and changes nothing" {
    small "${whole[@]}" --checkpoint-activations -o run
    same whole run
    [ "$(bytes_of run)" -lt "$(bytes_of whole)" ]
    frozen=(--backbone bninception --freeze-bn --epochs 1 --log-steps 1)
    small "${frozen[@]}" -o other
    rm -r run
    small "${frozen[@]}" --checkpoint-activations -o run
    same other run
    [ "$(bytes_of run)" -lt "$(bytes_of other)" ]
}

@test "where memory runs out, what can be done is said" {
    [[ $BUILD != */asan ]] || skip "the sanitizer reserves terabytes of addresses"
    (
        ulimit -v 3000000 # room for threads, not for activations
        run -1 --separate-stderr small --backbone bninception --input-size 512 --batch-size 24 -o run
        [[ $stderr == *"out of memory"*"(try --checkpoint-activations or a batch size of 12)"* ]]
    )
}

@test "threads that wait go to sleep soon, unless the environment says otherwise" {
    run env -u OMP_WAIT_POLICY OMP_DISPLAY_ENV=verbose ps-train "${tiny[@]}" --epochs 0 -o run
    [ "$status" -eq 0 ]
    grep -q "GOMP_SPINCOUNT = '2000'" <<<"$output"
    run env OMP_WAIT_POLICY=active OMP_DISPLAY_ENV=verbose ps-train "${tiny[@]}" --epochs 0 -o run
    run ! grep -q "GOMP_SPINCOUNT = '2000'" <<<"$output"
}

@test "a finished run does nothing" {
    before=$(stat -c %Y%s whole/*)
    touch whole/.last.safetensors.1.tmp
    small "${whole[@]}" -o whole
    [ "$before" = "$(stat -c %Y%s whole/*)" ]
    [ ! -e whole/.last.safetensors.1.tmp ]
}

@test "a checkpoint of other settings or data is refused, saying what differs" {
    run -1 small "${whole[@]}" --scale 12 -o whole
    [[ $output == *"'scale = 23', now 'scale = 12'"* ]]
    run -1 small "${whole[@]}" --data test.mdb -o whole
    [[ $output == *train_shard* ]]
}

@test "the settings file replays the run" {
    ps-train -q --config whole/settings -o run
    same whole run
    ps-train --print-config --config whole/settings -o whole | diff - whole/settings
}

@test "a loss that is not finite stops the run and names the checkpoint" {
    run -1 small --modellr 1e30 --optimizer sgd --checkpoint-steps 1 --epochs 9 -o run
    [[ $output == *"step "*"of epoch "*run/checkpoint.safetensors* ]]
}

@test "losses of every shape, and other regularisers, train" {
    small --loss softtriple --ps-mu 0.5 --epochs 1 --check-epoch 1 -o run
    small --loss proxy-anchor --n-instance 2 --epochs 1 -o run/2
    small --loss softmax --regularizer mixup --sampler balanced --epochs 1 -o run/3
    grep -q '"kind":"eval"' run/log.jsonl
}

@test "the reference's published commands run" {
    mkdir -p carDB
    ln -f train.mdb test.mdb carDB/
    common="--gpu=0 --data=./carDB --data_name=cars196 --dim=512 --batch_size=128 --epochs=130
        --freeze_BN --decay_step=50 --decay_stop=50 --n_instance=1 --check_epoch=5"
    cut="-q --epochs=1 --input_size=32 --backbone resnet18 --dim=8 --batch_size=8"
    # shellcheck disable=SC2086
    {
        ps-train $common --save_path=run/1 --loss=Norm_SoftMax --scale=23.0 $cut
        ps-train $common --save_path=run/2 --loss=Norm_SoftMax --scale=23.0 --ps_alpha=0.40 \
            --ps_mu=1.0 $cut
        ps-train $common --save_path=run/3 --loss=Proxy_NCA --scale=12.0 $cut
        ps-train $common --save_path=run/4 --loss=Proxy_NCA --scale=12.0 --ps_alpha=0.40 \
            --ps_mu=1.0 $cut
    }
    for i in 1 2 3 4; do [ -s "run/$i/last.safetensors" ]; done
    # shellcheck disable=SC2086
    ps-train $common --save_path=run/1 --loss=Norm_SoftMax --scale=23.0 $cut --eval_best |
        grep -q '^recall@1'
}

@test "every option of the reference is known" {
    ps-train --gpu 0 --save_path x --data d --data_name n --dim 8 --batch_size 8 --epochs 1 \
        --start_epoch 0 --freeze_BN --loss Norm_SoftMax --decay_rate .1 --decay_step 1 \
        --decay_stop 1 --n_instance 1 --scale 2 --check_epoch 1 --ps_alpha 1 --ps_mu 0.5 \
        --modellr 1 --centerlr 1 --weight_decay 0 --wd 0 --eps 1 -C 98 --backbone resnet18 \
        --pooling_type GAP,GMP --optimizer adamw --eval_best --k_list 1,2 --clip_grad 1 \
        --warmup 1 --input_size 64 --do_nmi --early_stop_epoch 1 --use_amp True \
        --deterministic True --max_to_keep 1 -j 5 --workers 5 --print-config >config
    grep -q 'use-amp = true' config
    rm config
}

@test "warm-up keeps the backbone, which then moves" {
    small --warmup 1 --epochs 1 --freeze-bn --max-to-keep 0 -o run
    small --epochs 0 --freeze-bn -o other
    ps-weights diff run/last.safetensors other/last.safetensors >differences || true
    run -1 grep -E '^conv1.weight.*different' differences
    grep -qE '^proxy.weight.*different' differences
    small --warmup 0 --epochs 1 --freeze-bn -o run/2
    ps-weights diff run/2/last.safetensors other/last.safetensors >differences || true
    grep -qE '^conv1.weight.*different' differences
}

@test "--drop-last: an epoch has whole batches only, and schedules count those" {
    small --batch-size 10 --drop-last --schedule cosine --log-steps 1 --accumulate 2 -o run
    jq -es 'map(select(.kind == "step")) | map(.gradient_norm != null) ==
        [false, true, false, true] and (.[1].lr / 1e-4 - 0.8535533905932737 | fabs) < 1e-9' \
        run/log.jsonl
    small --batch-size 10 --drop-last --micro-batches 5 --sampler balanced --epochs 1 -o run/2
    [ "$(jq -s 'map(.step // 0) | max' run/2/log.jsonl)" -eq 2 ]
    refused 1 "a batch of 25 is larger than the data set of 24 images, and incomplete batches are" \
        small --batch-size 25 --drop-last -o run/3
}

# relative RUN TENSOR: by how much of itself it differs from that of run/.
relative() {
    ps-weights diff run/last.safetensors "$1/last.safetensors" 2>/dev/null |
        awk -v name="$2" '$1 == name { print $4 }'
}

@test "--decay matrices and --weight-decay-proxies: three steps that do nothing but decay" {
    still=(--optimizer adamw --eps 1e30 --modellr 0.5 --centerlr 1 --weight-decay 0.5)
    small "${still[@]}" --epochs 0 -o run
    small "${still[@]}" --epochs 1 -o run/all
    small "${still[@]}" --epochs 1 --decay matrices --weight-decay-proxies 0.125 -o run/matrices
    for tensor in conv1.weight bn1.weight embedding.weight embedding.bias; do
        [ "$(relative run/all $tensor)" = 0.578125 ] # 1 - (3/4)^3
    done
    [ "$(relative run/all proxy.weight)" = 0.875 ]
    [ "$(relative run/matrices conv1.weight)" = 0.578125 ]
    [ "$(relative run/matrices embedding.weight)" = 0.578125 ]
    [ "$(relative run/matrices bn1.weight)" = 0 ]
    [ "$(relative run/matrices embedding.bias)" = 0 ]
    [ "$(relative run/matrices proxy.weight)" = 0.330078 ]
}

@test "--temperature is another name of a scale: the same run, the same bytes" {
    small --scale 20 --epochs 1 -o run
    before=$(stat -c %Y%s run/*)
    small --temperature 0.05 --epochs 1 -o run
    small --config <(echo scale = 10) --temperature 0.05 --epochs 1 -o run
    small --config <(echo temperature = 0.1) --scale 20 --epochs 1 -o run
    [ "$before" = "$(stat -c %Y%s run/*)" ]
    small --temperature 0.05 --epochs 1 -o other
    same run other
    grep -qx 'scale = 20' other/settings
    ps-train -q --config other/settings -o run/2
    same run run/2
    run -2 small --scale 20 --temperature 0.05 -o run/3
    [[ $output == *--temperature*--scale* ]]
    run -2 small --config <(printf 'temperature = 0.05\nscale = 20\n') -o run/3
    [[ $output == *--temperature*--scale* ]]
    run -2 small --temperature -1 -o run/3
    run -1 small --temperature 0.1 --epochs 1 -o run
    [[ $output == *"'scale = 20', now 'scale = 10'"* ]]
}

@test "label smoothing and other initial weights train, and are part of the run" {
    small --label-smoothing 0.1 --ps-mu 1 --epochs 1 -o run
    run -1 small --label-smoothing 0.2 --ps-mu 1 --epochs 1 -o run
    [[ $output == *"'label-smoothing = 0.1', now 'label-smoothing = 0.2'"* ]]
    run -2 small --label-smoothing 1 -o other
    run -2 small --label-smoothing 0.1 --loss proxy-anchor -o other
    [[ $output == *"--label-smoothing: proxy-anchor"* ]]
    run -2 small --dim 0 --embedding-init kaiming-fan-out -o other
    [[ $output == *--embedding-init* ]]
    small --loss softtriple --centers 3 --proxy-init kaiming-fan-out --proxy-init-scale 2 \
        --embedding-init kaiming-fan-out --epochs 1 -o other
    run -1 small --loss softtriple --centers 3 --proxy-init normal --proxy-init-scale 2 \
        --embedding-init kaiming-fan-out --epochs 1 -o other
    [[ $output == *"'proxy-init = kaiming-fan-out', now 'proxy-init = normal'"* ]]
}

@test "wrong use ends with 2, bad input with 1, and nothing is left" {
    run -2 ps-train -q -o run
    [[ $output == *--data* ]]
    run -2 small --ps-mu 1.5 -o run
    [[ $output == *--ps-mu* ]]
    run -2 small --backbone resnet19 -o run
    for folds in "--folds 1 --fold 1" "--folds 4" "--fold 1" "--folds 2 --fold 3" "--folds 999 --fold 1" \
        "--folds 2 --fold 1 --val-classes 0.5"; do
        # shellcheck disable=SC2086
        run -2 small $folds -o run
        [[ $output == *"--folds"* ]]
    done
    for jitter in '' x -0.1 0.4, 0.4,0.4,0.4 0.4,0.4,0.4,0.6 0.4,0.4,0.4,0.1,0 101 nan 0.4x; do
        refused 2 "--color-jitter: '$jitter'" small --color-jitter="$jitter" -o run
    done
    refused 2 --random-erasing small --random-erasing 1.1 -o run
    refused 2 --random-erasing small --random-erasing=-0.1 -o run
    run -2 small --schedule plateau -o run
    [[ $output == *"--val-classes or --folds"* ]]
    run -2 small --schedule plateau --val-classes 0.5 --decay-rate 1 -o run
    [[ $output == *"--decay-rate: 1 is no decay"* ]]
    run -2 small --optimiser adam -o run
    [[ $output == *"--optimizer"* ]]
    run -1 small --data absent.mdb -o run
    head -c 20000 train.mdb >cut.mdb
    run -1 small --data cut.mdb -o run
    run -1 small -C 5 -o run
    [[ $output == *"4 classes"* ]]
    run -1 small -o /dev/null/run
    [ ! -e run ]
}

@test "help, version, losses" {
    ps-train --help | grep -q -- --ps-mu
    ps-train --version
    ps-train --help loss | grep -q arcface
}

@test "class folders are packed into a cache, again when images change" {
    mkdir -p cars/train cars/test
    cp -r images/class[0-3] cars/train/
    cp -r images/class[4-7] cars/test/
    small --data cars --do-nmi --epochs 0 -o run
    [ -s cars.shards/train.mdb ]
    [ -s cars.shards/test.mdb ]
    grep -q '"nmi":0' run/log.jsonl
    before=$(stat -c %y cars.shards/train.mdb)
    small --data cars/ --do-nmi --epochs 0 -o run
    [ "$before" = "$(stat -c %y cars.shards/train.mdb)" ]
    rm cars/train/class0/5.ppm
    small --data cars --epochs 0 -o other
    grep -q '"images":23' other/log.jsonl
    run -1 small --data images -o run/3
    [[ $output == *"train/ and test/"* ]]
    rm -r cars cars.shards
}

@test "--restart keeps a run with other settings aside and gives the bytes of a new one" {
    small --epochs 1 -o again
    run small --epochs 1 --ps-mu 1 -o again
    [ "$status" -eq 1 ]
    [[ $output == *"--restart"* ]]
    cp again/last.safetensors old
    small --epochs 1 --ps-mu 1 -o again --restart
    cmp old again/previous-1/last.safetensors
    small --epochs 1 --ps-mu 1 -o fresh
    cmp again/last.safetensors fresh/last.safetensors
    before=$(stat -c %y again/last.safetensors)
    small --epochs 1 --ps-mu 1 -o again --restart
    [ "$before" = "$(stat -c %y again/last.safetensors)" ]
    [ ! -e again/previous-2 ]
}
