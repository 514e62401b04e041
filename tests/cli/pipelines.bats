#!/usr/bin/env bats
# The pipelines, from raw data as it is downloaded to the table and the report.
bats_require_minimum_version 1.5.0
load raw

setup_file() {
    export PIPELINES=$BATS_TEST_DIRNAME/../../pipelines OMP_NUM_THREADS=2
    export BIN
    BIN=$(dirname "$(command -v ps-train)")
    raw_cub200 "$BATS_FILE_TMPDIR/cub200"
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return 1
}

teardown() { # models are large
    rm -rf "$BATS_FILE_TMPDIR/out" "$BATS_FILE_TMPDIR/out-table6"
}

# pipeline NAME [VARIABLE=VALUE...]: two steps of the smallest network on ./NAME, results in ./out.
pipeline() {
    local name=$1
    shift
    make -C "$PIPELINES" -f "$name.mk" BIN="$BIN" RAW="$PWD/$name" OUT="$PWD/out" MODEL=last \
        TRAIN_FLAGS="--backbone resnet18 --input-size 32 --dim 8 --batch-size 8 --no-freeze-bn \
            --epochs ${epochs:-1} --check-epoch 1000 --checkpoint-steps ${steps:-0}" "$@" 2>&1
}

# count TEXT: how many lines of $output begin with that program's call.
count() {
    grep -c "^[^ ]*/bin/$1 " <<<"$output" || true
}

# trainer_in FOLDER: the id of the process that trains there.
trainer_in() {
    local process
    for process in /proc/[0-9]*; do
        if grep -aqs "^$BIN/ps-train" "$process/cmdline" && grep -aqs "$PWD/$1/" "$process/cmdline"
        then echo "${process#/proc/}" && return; fi
    done
    return 1
}

# part NAME: what `make provenance` said about it.
part() {
    awk -v title="== $1" '$1 == "==" { on = $0 == title } on' <<<"$output"
}

# The table has a row for each of these, and numbers in it.
table_has() {
    local setting
    for setting; do
        grep -Eq "^\| $setting +\|( +[0-9]+\.[0-9]{2}( ± [0-9.]+)? \|)+$" out/table.md
    done
}

@test "cub200: archive to table and report; only what changed runs again; provenance" {
    cp -r "$PIPELINES/settings/cub200" settings
    pipeline cub200 CONF="$PWD/settings"
    table_has norm-softmax ps-norm-softmax
    [ "$(grep -Eo '<img alt=|<svg role=' out/report.html | wc -l)" -eq 5 ]
    run ! grep -Eq '(src|href)="[^d#]' out/report.html

    run pipeline cub200 CONF="$PWD/settings"
    [ "$status" -eq 0 ]
    [ "$(count 'ps-[a-z]*')" -eq 0 ]

    before=$(stat -c '%n %y %i' out/*/seed1/*.safetensors)
    run pipeline cub200 CONF="$PWD/settings" SEEDS="1 2"
    [ "$(count ps-train)" -eq 2 ]
    [[ $output == *"/norm-softmax/seed2 --seed 2"* ]]
    [ "$before" = "$(stat -c '%n %y %i' out/*/seed1/*.safetensors)" ]
    grep -q '^| ps-norm-softmax *| map@r' out/table.md

    run pipeline cub200 CONF="$PWD/settings" SEEDS="1 2" EVAL_FLAGS="--recall 3"
    [ "$(count ps-train)" -eq 0 ]
    [ "$(count ps-embed)" -eq 0 ]
    [ "$(count ps-eval)" -eq 4 ]
    grep -q 'recall@3' out/table.md

    # what is newer but the same, as after a copy or a checkout, is compared and kept
    make -q -C "$PIPELINES" -f cub200.mk BIN="$BIN" RAW="$PWD/cub200" OUT="$PWD/out" MODEL=last \
        CONF="$PWD/settings" SEEDS="1 2" EVAL_FLAGS="--recall 3" TRAIN_FLAGS="$(cat out/train.options)"
    before=$(stat -c '%n %i' out/*/seed*/checkpoint.safetensors)
    touch out/manifest.tsv settings/*.conf
    run pipeline cub200 CONF="$PWD/settings" SEEDS="1 2" EVAL_FLAGS="--recall 3"
    [ "$(grep -c 'is finished; nothing to do' <<<"$output")" -eq 4 ]
    [ "$before" = "$(stat -c '%n %i' out/*/seed*/checkpoint.safetensors)" ]
    [ ! -e out/norm-softmax/seed1/previous-1 ]

    sed -i 's/^ps-alpha = .*/ps-alpha = 0.9/' settings/ps-norm-softmax.conf
    old=$(sha256sum <out/ps-norm-softmax/seed1/last.safetensors)
    run pipeline cub200 CONF="$PWD/settings"
    [ "$(count ps-train)" -eq 1 ]
    grep -q 'ps-alpha.*0.9' out/ps-norm-softmax/seed1/settings
    [ "$old" = "$(sha256sum <out/ps-norm-softmax/seed1/previous-1/last.safetensors)" ]
    [ "$(grep -c '±' out/table.md)" -eq 0 ]

    run pipeline cub200 CONF="$PWD/settings" provenance
    [ "$status" -eq 0 ]
    # the ids that a table, a model and a shard name are those of the files
    model=$(part norm-softmax/seed1/last.safetensors | sed -n 's/^  id: //p')
    shard=$(part test.mdb | sed -n 's/.* id=\([0-9a-f]*\) .*/\1/p')
    manifest=$(part manifest.tsv | sed -n 's/^  id: //p')
    [[ $(part norm-softmax/seed1/metrics.tsv) == *"shard_id=$shard model_id=$model" ]]
    [[ $(part norm-softmax/seed1/last.safetensors) == *"eval_shard: $shard"* ]]
    [[ $(part test.mdb) == *"made-from: manifest=$manifest "* ]]
    [[ $output == *"== raw images"*"32 images, each with its hash"* ]]
}

@test "a run that was killed goes on, and ends in the bytes of one that was not" {
    export epochs=2 steps=1
    pipeline cub200 SETTINGS=norm-softmax
    mv out whole
    pipeline cub200 SETTINGS=norm-softmax &
    until trainer=$(trainer_in out); do sleep 0.05; done
    until [ -s out/norm-softmax/seed1/checkpoint.safetensors ]; do sleep 0.01; done
    kill -9 "$trainer"
    wait $! || true
    [ ! -e out/norm-softmax/seed1/last.safetensors ]
    run pipeline cub200 SETTINGS=norm-softmax
    [ "$status" -eq 0 ]
    cmp whole/norm-softmax/seed1/last.safetensors out/norm-softmax/seed1/last.safetensors
    cmp whole/table.md out/table.md
    rm -r whole
}

@test "sop, inshop and cars196 reach their tables" {
    for name in sop inshop cars196; do
        "raw_$name" $name
        run pipeline $name SETTINGS=ps-norm-softmax PREPARE_FLAGS=--allow-missing
        echo "$output"
        [ "$status" -eq 0 ]
        table_has ps-norm-softmax
        [ -s out/report.html ]
        rm -r out
    done
}

@test "table6: the losses with and without synthesis" {
    run pipeline cub200 -n table6 SEEDS="1 2"
    [ "$(grep -o -- 'ps-table --compare' <<<"$output" | wc -l)" -eq 8 ]
    [[ $output == *"--compare proxy-nca "*"/proxy-nca/seed1/"*"/ps-proxy-nca/seed2/"* ]]
    run pipeline cub200 -n table6
    [ "$(grep -c '^[^ ]*/ps-train --config settings/table6/' <<<"$output")" -eq 16 ]
    settings="proxy-anchor ps-softtriple"
    run pipeline cub200 table6 SETTINGS="$settings"
    echo "$output"
    [ "$status" -eq 0 ]
    mv out-table6 out
    # shellcheck disable=SC2086 # names
    table_has $settings
}

@test "sweep: a random search on held-out classes, which goes on with a larger budget" {
    printf 'option\tvalues\nscale\tlog 5 50\nweight-decay\tany 0 1e-3\neps\tlinear 1 2\n' >space.tsv
    run pipeline cub200 SPACE="$PWD/space.tsv" TRIALS=1 sweep
    [ "$status" -eq 0 ]
    [ "$(count ps-train)" -eq 2 ]
    [ "$(head -n 1 out/sweep/table.tsv)" = "$(printf 'trial\tscale\tweight-decay\teps\trecall@1\trp\tmap@r')" ]
    grep -q '"held_out"' out/sweep/trial1/log.jsonl
    cmp out/sweep/trial0.conf "$PIPELINES/settings/cub200/norm-softmax.conf"
    run pipeline cub200 SPACE="$PWD/space.tsv" TRIALS=2 sweep
    [ "$(count ps-train)" -eq 1 ]
    [ "$(wc -l <out/sweep/table.tsv)" -eq 4 ]
    best=$(sed -n 2p out/sweep/table.tsv | cut -f 1)
    cmp out/sweep/winner.conf "out/sweep/trial$best.conf"
    sort -c -k 7,7gr <(tail -n +2 out/sweep/table.tsv)
    awk -F '\t' 'NR > 1 && $1 && !($2 >= 5 && $2 <= 50 && ($3 == 0 || $3 == .001) && $4 >= 1 && $4 <= 2) { exit 1 }' \
        out/sweep/table.tsv
    [ -s out/sweep/map@r.svg ]
    printf 'option\tvalues\nscale\tgauss 5 50\n' >space.tsv
    run -2 pipeline cub200 SPACE="$PWD/space.tsv" sweep
    [[ $output == *"scale: log, linear or any, not gauss"* ]]
}

@test "folds: every class is held out once; separate and concatenated models have rows" {
    run pipeline cub200 FOLDS=2 SETTINGS=norm-softmax folds
    [ "$status" -eq 0 ]
    for i in 1 2; do
        jq -r 'select(.kind == "start").held_out[]' "out/folds/norm-softmax/seed1/fold$i/log.jsonl"
    done | sort >held
    ps-pack --list out/train.mdb | awk -F '\t' '/^#/ { next } !header { header = $0; for (i = 1; i <= NF; i++)
        if ($i == "class") at = i; next } { print $at }' | sort -u >classes
    diff held classes
    grep -q '^| norm-softmax separate *| recall@1' out/folds/table.md
    grep -q '^| norm-softmax concatenated *| recall@1' out/folds/table.md
    run pipeline cub200 FOLDS=2 SETTINGS=norm-softmax folds
    [ "$(count 'ps-[a-z]*')" -eq 0 ]
}

@test "demo: its package comes by its hash from the first mirror that has it; a path with a space" {
    for class in a b; do
        for i in 1 2; do
            picture "package/usr/share/freedroid/graphics/$class/portrait_$i.jpg" $((i + 5)) $i
        done
    done
    mkdir -p package/DEBIAN full/pool broken/pool "a b/build"
    printf '%s: x\n' Package Maintainer Description >package/DEBIAN/control
    printf 'Version: 1\nArchitecture: all\n' >>package/DEBIAN/control
    dpkg-deb --build package full/pool/x.deb
    head -c 500 full/pool/x.deb >broken/pool/x.deb
    cp -r "$PIPELINES" "a b/pipelines"
    ln -s "$BIN" "a b/build/bin"
    echo "$(sha256sum full/pool/x.deb | cut -d' ' -f 1)  pool/x.deb" >"a b/pipelines/demo.sha256"
    fetch() { env -u BIN make -C "a b/pipelines" -f demo.mk ../build/demo/test.mdb MIRRORS="$1"; }
    run -2 fetch "copy:$PWD/none copy:$PWD/broken"
    [ ! -e "a b/build/demo/raw/usr" ]
    run -0 fetch "copy:$PWD/none copy:$PWD/broken copy:$PWD/full"
    run -0 ps-pack --list "a b/build/demo/test.mdb"
    [ "$(grep -c portrait_ <<<"$output")" -eq 2 ]
}
