# ps-weights: full models, and what others make of what it exports.

PYTHON=${PYTHON:-python3}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    out=$BATS_TEST_TMPDIR
}

# make_model BACKBONE OPTION...: a model with the parameters of the golden files, and its export.
make_model() {
    "$PYTHON" -c 'import numpy, onnxruntime' 2>/dev/null || skip "$PYTHON has no onnxruntime"
    "$PYTHON" tests/cli/onnx.py weights "$1" "$out/weights.safetensors"
    ps-weights import "$out/weights.safetensors" "${@:2}" -o "$out/model.safetensors"
    ps-weights export -m "$out/model.safetensors" -o "$out/model.onnx"
}

@test "onnxruntime gives the golden embedding of resnet18" {
    make_model resnet18 --input-size 64
    "$PYTHON" tests/cli/onnx.py golden "$out/model.onnx" \
        tests/golden/net/resnet18_s64_b3_gap_frozen.safetensors
}

@test "onnxruntime gives the golden embedding of bninception, average and maximum pooled" {
    make_model bninception --pooling GAP,GMP
    "$PYTHON" tests/cli/onnx.py golden "$out/model.onnx" \
        tests/golden/net/bninception_s224_b2_gap+gmp_frozen.safetensors
}

@test "onnxruntime and ps-embed agree on images" {
    make_model bninception --input-size 64 --resize 64
    "$PYTHON" tests/cli/onnx.py photos "$out/photos/train"
    ps-prepare folder "$out/photos" -o "$out/list.tsv"
    ps-pack "$out/list.tsv" -o "$out/photos.mdb"
    ps-embed --device cpu -m "$out/model.safetensors" -o "$out/e.emb.zst" "$out/photos.mdb"
    zstd -dqc "$out/e.emb.zst" >"$out/e.safetensors"
    "$PYTHON" tests/cli/onnx.py images "$out/model.onnx" "$out/photos/train" \
        "$out/e.safetensors"
}

@test "what is no full model is not exported" {
    run ps-weights export -m tests/golden/pth/expected.safetensors -o "$out/x.onnx"
    [ "$status" -eq 1 ]
    [[ $output == *expected.safetensors* ]]
    [ ! -e "$out/x.onnx" ]
    run ps-weights export -m tests/golden/pth/expected.safetensors
    [ "$status" -eq 2 ]
}

@test "a backbone that the tensors are not for is an error that names one" {
    run ps-weights import tests/golden/pth/zip.pth --backbone resnet18 -o "$out/x.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *"conv1.weight"*"4"*"64"* ]]
    [ ! -e "$out/x.safetensors" ]
    run ps-weights import tests/golden/pth/zip.pth --backbone alexnet -o "$out/x.safetensors"
    [ "$status" -eq 2 ]
}
