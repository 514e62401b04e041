# ps-train --recipe: the settings files that come with the programs.

bats_require_minimum_version 1.5.0

# settings OPTION...: what they come to.
settings() {
    ps-train "$@" --print-config
}

@test "a recipe is where the settings begin, wherever it stands, and options win over it" {
    settings --recipe proxy-synthesis >"$BATS_TEST_TMPDIR/plain"
    grep -qx 'backbone = bninception' "$BATS_TEST_TMPDIR/plain"
    grep -qx 'ps-mu = 1' "$BATS_TEST_TMPDIR/plain"
    settings --ps-mu 0.5 --recipe=proxy-synthesis >"$BATS_TEST_TMPDIR/other"
    run -1 diff "$BATS_TEST_TMPDIR/plain" "$BATS_TEST_TMPDIR/other"
    [ "${lines[1]}" = "< ps-mu = 1" ]
    [ "${lines[3]}" = "> ps-mu = 0.5" ]
}

@test "a settings file may begin with a recipe, and what is printed reads back" {
    printf 'recipe = proxy-synthesis\ndim = 64\n' >"$BATS_TEST_TMPDIR/own.conf"
    settings --config "$BATS_TEST_TMPDIR/own.conf" >"$BATS_TEST_TMPDIR/first"
    grep -qx 'dim = 64' "$BATS_TEST_TMPDIR/first"
    grep -qx 'epochs = 130' "$BATS_TEST_TMPDIR/first"
    settings --config "$BATS_TEST_TMPDIR/first" | diff "$BATS_TEST_TMPDIR/first" -
}

# prevails "LINES" "OPTION..." LINE...: of a file of the lines and the options, these are the settings.
prevails() {
    printf '%b' "$1" >"$BATS_TEST_TMPDIR/weak.conf"
    # shellcheck disable=SC2086
    settings --config "$BATS_TEST_TMPDIR/weak.conf" $2 >"$BATS_TEST_TMPDIR/both"
    for line in "${@:3}"; do
        grep -qx -- "$line" "$BATS_TEST_TMPDIR/both"
    done
    settings --config "$BATS_TEST_TMPDIR/both" | diff "$BATS_TEST_TMPDIR/both" -
}

@test "what is given later replaces another option for the same thing" {
    settings --recipe proxynca++ --temperature 0.05 >"$BATS_TEST_TMPDIR/first"
    grep -qx 'scale = 0' "$BATS_TEST_TMPDIR/first"
    grep -qx 'temperature = 0.05' "$BATS_TEST_TMPDIR/first"
    prevails 'recipe = proxynca++\ntemperature = 0.05\n' '' 'scale = 0' 'temperature = 0.05'
    prevails 'recipe = proxynca++\ntemperature = 0.05\n' '--scale 0' 'scale = 0' 'temperature = 0'
    prevails 'scale = 20\n' '--temperature 0.05' 'scale = 0' 'temperature = 0.05'
    prevails 'temperature = 0.05\n' '--scale 20' 'scale = 20' 'temperature = 0'
    prevails 'scale = 20\ntemperature = 0.05\n' '' 'scale = 20' 'temperature = 0.05'
    echo 'scale = 9' >"$BATS_TEST_TMPDIR/strong.conf"
    prevails 'temperature = 0.05\n' "--config $BATS_TEST_TMPDIR/strong.conf" 'scale = 9' 'temperature = 0'
    prevails 'folds = 4\nfold = 2\n' '--val-classes 0.25' 'folds = 0' 'fold = 0' 'val-classes = 0.25'
    prevails 'val-classes = 0.25\n' '--folds 4 --fold 2' 'folds = 4' 'fold = 2' 'val-classes = 0'
    prevails 'folds = 4\nfold = 2\n' '--fold 3' 'folds = 4' 'fold = 3'
    prevails 'recipe = proxynca++\n' '--sampler balanced' 'sampler = balanced' 'n-instance = 1'
    prevails 'sampler = balanced\n' '--n-instance 4' 'sampler = balanced' 'n-instance = 4'
    prevails 'use-amp = yes\n' '--precision fp16' 'use-amp = false' 'precision = fp16'
    prevails 'freeze = backbone\n' '--warmup 2' 'freeze = none' 'warmup = 2'
}

@test "a setting that goes with another one only is dropped where that is changed later" {
    prevails 'recipe = proxy-anchor\n' '--dim 0' 'dim = 0' 'embedding-init = default'
    prevails 'recipe = proxy-anchor\n' '--dim 64' 'dim = 64' 'embedding-init = kaiming-fan-out'
    prevails 'lr-warmup = 5\n' '--schedule one-cycle' 'schedule = one-cycle' 'lr-warmup = 0'
    prevails 'lr-warmup = 5\n' '--schedule cosine' 'schedule = cosine' 'lr-warmup = 5'
    prevails 'schedule = one-cycle\n' '--lr-warmup 5' 'schedule = one-cycle' 'lr-warmup = 5'
    prevails 'recipe = proxynca++\n' '--input-size 320' 'input-size = 320' 'resize = 0'
    prevails 'recipe = proxynca++\n' '--input-size 320 --resize 350' 'input-size = 320' 'resize = 350'
}

@test "every recipe is listed with what it is, is complete, and has its twin with Proxy Synthesis" {
    ps-train --help recipe >"$BATS_TEST_TMPDIR/list"
    grep -v '^ ' "$BATS_TEST_TMPDIR/list" >"$BATS_TEST_TMPDIR/names"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/names")" -ge 5 ]
    while read -r name; do
        grep -A 1 -Fx -- "$name" "$BATS_TEST_TMPDIR/list" | grep -q '^    [A-Z]'
        settings --recipe "$name" | grep -qx "recipe = $name"
        [[ $name == *+ps || $name == proxy-synthesis ]] && continue
        settings --recipe "$name" | grep -qx 'ps-mu = 0'
        run -1 diff <(settings --recipe "$name") <(settings --recipe "$name+ps")
        [ "$(grep -c '^[<>]' <<<"$output")" -le 6 ] # recipe, ps-mu, ps-alpha
    done <"$BATS_TEST_TMPDIR/names"
}

@test "a name that is none is refused, and those that there are are named" {
    for name in nix '' ../recipes/proxy-anchor; do
        run -2 settings --recipe "$name"
        [[ $output == "ps-train: error: --recipe: '$name' is not one of "*proxy-anchor* ]]
    done
    printf 'recipe = nix\n' >"$BATS_TEST_TMPDIR/own.conf"
    run -2 settings --config "$BATS_TEST_TMPDIR/own.conf"
    [[ $output == *"own.conf:1: --recipe: 'nix' is not one of "* ]]
    run -2 ps-train --recipe
    [[ $output == *"--recipe needs an argument"* ]]
}

@test "a recipe that names itself ends in an error" {
    mkdir -p "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/share/proxy-synthesis/recipes"
    cp "$(command -v ps-train)" "$BATS_TEST_TMPDIR/bin"
    echo 'recipe = loop' >"$BATS_TEST_TMPDIR/share/proxy-synthesis/recipes/loop.conf"
    run -2 "$BATS_TEST_TMPDIR/bin/ps-train" --recipe loop --print-config
    [[ $output == *"loop.conf: read by itself" ]]
    rm -r "$BATS_TEST_TMPDIR/share"
    run -1 "$BATS_TEST_TMPDIR/bin/ps-train" --recipe loop --print-config
    [[ $output == *"no folder ../share/proxy-synthesis/recipes"* ]]
}
