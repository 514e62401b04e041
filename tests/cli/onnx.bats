# ps-weights: full models, and what others make of what it exports.

PYTHON=${PYTHON:-python3}

setup() {
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    out=$BATS_TEST_TMPDIR
}

# A model with the parameters of the golden files for inputs of 64 x 64.
make_model() {
    "$PYTHON" -c 'import numpy, onnxruntime' 2>/dev/null || skip "onnxruntime is not installed"
    "$PYTHON" tests/cli/onnx.py weights "$1" "$out/weights.safetensors"
    ps-weights import "$out/weights.safetensors" --input-size 64 -o "$out/model.safetensors"
    ps-weights export -m "$out/model.safetensors" -o "$out/model.onnx"
}

@test "onnxruntime gives the golden embedding of resnet18" {
    make_model resnet18
    "$PYTHON" tests/cli/onnx.py golden "$out/model.onnx" \
        tests/golden/net/resnet18_s64_b3_gap_frozen.safetensors
}

@test "onnxruntime gives the golden embedding of bninception" {
    make_model bninception
    "$PYTHON" tests/cli/onnx.py golden "$out/model.onnx" \
        tests/golden/net/bninception_s64_b2_gap_frozen.safetensors
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
