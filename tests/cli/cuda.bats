# The CUDA backend without a GPU: its host side and kernels on a stand-in (tests/cuda-emu), and what
# the programs say where there is no plugin or no GPU.
bats_require_minimum_version 1.5.0
load images
load losses

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
    # The plugin is looked for beside the program, so the program is copied to the stand-in.
    mkdir emulated bare
    cp "$(command -v ps-train)" "$(command -v ps-embed)" "$(command -v ps-eval)" bare/
    if [ -e "$BUILD/tests/ps-cuda.so" ]; then
        cp bare/* "$BUILD/tests/ps-cuda.so" emulated/
    fi
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

# The smallest run worth the name: three steps an epoch.
tiny=(--data train.mdb --eval test.mdb --backbone resnet18 --input-size 32 --dim 8 --batch-size 8
    --loss norm-softmax --ps-mu 1 --seed 1 --log-steps 1)

need_standin() {
    [ -e emulated/ps-cuda.so ] || skip "no nvcc with cuDNN when this was built"
}

# From the root of the sources, without the options of the make that runs the tests.
make_alone() {
    env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s -C "$BATS_TEST_DIRNAME/../.." "$@"
}

@test "stand-in: operators of every precision agree with ref" {
    need_standin
    for device in cuda/tf32 cuda/bf16 cuda/fp16; do
        run -0 "$BUILD/tests/compare" test "$device" 1 8
        [[ $output != *"not ok"* ]]
        [[ $output == *"conv: $device against ref"* ]]
    done
}

@test "every architecture that nvcc knows compiles without a warning" {
    command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || skip "there is no nvcc"
    run -0 make_alone BUILD="$BATS_FILE_TMPDIR/archs" "$BATS_FILE_TMPDIR/archs/cuda-all.fatbin"
    [ -s archs/cuda-all.fatbin ]
}

@test "stand-in: make check-cuda: operators, slopes, PyTorch's numbers, a training run" {
    need_standin
    run -0 "$BATS_TEST_DIRNAME/../cuda/check.sh" "$BUILD/check-cuda-emu/bin" quick
    [[ $output == *"conv: cuda against ref"* ]]
    [[ $output == *"resnet18_s64_b3_gap_batch.safetensors on cuda"* ]]
    [[ $output == *"efficientnet-lite0_s64_b2_gap_frozen.safetensors on cuda"* ]]
    [[ $output == *"ok 2 - a resumed run, the same losses"* ]]
    [[ $(tail -n 1 <<<"$output") == *" passed, 0 failed" ]]
    PS_CUDA_EMU_DEVICES=0 run -1 "$BATS_TEST_DIRNAME/../cuda/check.sh" "$BUILD/check-cuda-emu/bin" quick
    [[ $(tail -n 1 <<<"$output") == "0 passed, "*" failed" ]]
}

@test "stand-in: make bench-cuda" {
    need_standin
    run -0 "$BUILD/check-cuda-emu/bin/bench" 2 32 1
    for part in "resnet18           fp32 training" "resnet18           fp32 inference" \
        "depthwise 1152 x  7x7   k5 s1 bf16  forward" "when the next batch is staged" \
        "33 nearest of 500 x 512" "Norm-SoftMax with Proxy Synthesis"; do
        [[ $output == *"$part"* ]]
    done
}

@test "stand-in: a network in 16 bits is near PyTorch's numbers" {
    need_standin
    net=$BATS_TEST_DIRNAME/../golden/net/resnet18_s64_b3_gap_frozen.safetensors
    for precision in bf16 fp16; do
        run -0 "$BUILD/tests/golden" --device "cuda/$precision" "$net"
        [[ $output == *"on cuda/$precision"* ]]
    done
}

@test "stand-in: it ends the program where a GPU or its libraries would misbehave" {
    need_standin
    run -0 "$BUILD/tests/standin"
    [[ $output != *"not ok"* ]]
}

@test "stand-in: a network trains as on the CPU, batch and frozen statistics" {
    need_standin
    for bn in "" --freeze-bn; do
        rm -rf cpu cuda
        bare/ps-train -q --device cpu "${tiny[@]}" $bn --epochs 1 --check-epoch 1 -o cpu
        emulated/ps-train -q --device cuda "${tiny[@]}" $bn --epochs 1 --check-epoch 1 -o cuda
        [ "$(losses cuda | wc -l)" -eq 3 ]
        near cpu cuda 1e-3
    done
}

@test "stand-in: losses of every precision are near those of float32, and not the same" {
    need_standin
    options=("${tiny[@]}" --freeze-bn --loss-scale 1024 --epochs 1 --check-epoch 1)
    emulated/ps-train -q --device cuda "${options[@]}" -o fp32
    for precision in tf32 bf16 fp16; do
        emulated/ps-train -q --device cuda --precision "$precision" "${options[@]}" -o "$precision"
        near fp32 "$precision" 3e-2
        run ! diff <(losses fp32) <(losses "$precision")
        grep -q "precision = $precision" "$precision/log.jsonl"
        head -c 20000 "$precision/last.safetensors" | grep -aq "precision = $precision"
    done
    run -1 --separate-stderr emulated/ps-train -q --device cuda "${options[@]}" -o bf16
    [[ $stderr == *"'precision = bf16', now 'precision = fp32'"* ]]
    emulated/ps-embed -q --device cuda --precision bf16 -m fp32/last.safetensors -o half.emb.zst test.mdb
    emulated/ps-embed -q --device cuda -m fp32/last.safetensors -o full.emb.zst test.mdb
    run ! cmp half.emb.zst full.emb.zst
}

@test "stand-in: gradients that overflow in fp16 skip the step and halve the scale; resuming is exact" {
    need_standin
    options=("${tiny[@]}" --freeze-bn --precision fp16 --loss-scale 32768 --epochs 2 --check-epoch 2
        --checkpoint-steps 1)
    emulated/ps-train -q --device cuda "${options[@]}" -o scaled
    grep -q '"loss_scale":32768.0,"skipped":true' scaled/log.jsonl
    grep '"kind":"step"' scaled/log.jsonl | tail -1 | grep -v skipped | grep -q gradient_norm
    emulated/ps-train -q --device cuda "${options[@]}" -o killed 3>&- &
    pid=$!
    until [ -s killed/checkpoint.safetensors ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" || true
    emulated/ps-train -q --device cuda "${options[@]}" -o killed
    cmp scaled/last.safetensors killed/last.safetensors
    cmp scaled/checkpoint.safetensors killed/checkpoint.safetensors
    cmp scaled/log.jsonl killed/log.jsonl
}

@test "stand-in: algorithms are measured once, kept, and decide what is fused" {
    need_standin
    options=("${tiny[@]}" --freeze-bn --epochs 1 --check-epoch 1)
    emulated/ps-train --verbose --device cuda "${options[@]}" -o rule 2>started
    # Times on a stand-in mean nothing: the verdicts are the CPU's, turned in favour of measuring.
    bare/ps-train -q --device cpu "${options[@]}" --tune cpu -o judged
    version=$(grep -om1 'cuDNN [0-9.]*' started)
    table=choices/cudnn-${version#cuDNN }-stand-in-for-a-GPU--a-test-double-.tsv
    mkdir choices
    sed -nE 's/^(network fp32.*)\t(rule|measured)\t/\1\tmeasured\t/p' cpu/*.tsv >"$table"
    sed 's/fp32/bf16/' "$table" >verdict
    cat verdict >>"$table"
    emulated/ps-train -q --device cuda "${options[@]}" --tune choices -o tuned
    grep -qP '^forward fp32 n8 64x8x8 64x8x8 k3 s1 p1\t0\t3\t0\.5000 ms$' "$table"
    for pass in forward "backward data" "backward filter"; do
        grep -q "^$pass fp32" "$table"
    done
    near rule tuned 1e-4
    run ! cmp rule/last.safetensors tuned/last.safetensors # another algorithm rounds otherwise
    before=$(wc -l <"$table")
    sed -i 's/\t0\.5000 ms/\tkept/' "$table"
    emulated/ps-train -q --device cuda "${options[@]}" --tune choices -o again
    [ "$(wc -l <"$table")" -eq "$before" ]
    run ! grep "0.5000 ms" "$table"
    cmp tuned/last.safetensors again/last.safetensors
    emulated/ps-train -q --device cuda --precision bf16 "${options[@]}" --tune choices -o narrow
    grep -q '^forward bf16 ' "$table"
    [ "$(grep -c ^network "$table")" -eq 2 ]
}

@test "precisions that a device does not have are refused in one line" {
    run -1 --separate-stderr bare/ps-train --device cpu --precision fp16 "${tiny[@]}" -o refused
    [[ $stderr == *"device cpu: "*" (use --precision fp32, or a GPU by --device cuda)" ]]
    need_standin
    PS_CUDA_EMU_CAPABILITY=75 run -1 --separate-stderr emulated/ps-train --device cuda \
        --precision bf16 "${tiny[@]}" -o refused
    [[ $stderr == *"(compute capability 7.5) does not compute in bfloat16 (use --precision fp32)"* ]]
}

@test "stand-in: a run goes on on the other device" {
    need_standin
    options=("${tiny[@]}" --epochs 2 --check-epoch 2 --checkpoint-steps 1)
    bare/ps-train -q --device cpu "${options[@]}" -o whole
    bare/ps-train -q --device cpu "${options[@]}" -o moved 3>&- &
    pid=$!
    until [ -s moved/checkpoint.safetensors ] || ! kill -0 "$pid"; do sleep 0.05; done
    kill -9 "$pid"
    wait "$pid" || true
    emulated/ps-train -q --device cuda "${options[@]}" -o moved
    near whole moved 1e-2
}

# refused MIB COMMAND...: on a device of so much memory; one message, the batch size in it once.
refused() {
    local mib=$1
    shift
    PS_CUDA_EMU_MIB=$mib run -1 --separate-stderr "$@"
    [ "$(grep -c . <<<"$stderr")" -eq 1 ]
    [[ $stderr == *"out of device memory: "*" MiB wanted, "*" of $mib MiB are free (try "*"a batch size of 4)" ]]
}

@test "stand-in: out of device memory names the batch size to try, once" {
    need_standin
    for mib in 20 90 140 160 200; do # for parameters, optimiser, activations, weights of nodes
        refused "$mib" emulated/ps-train -q --device cuda "${tiny[@]}" --eps 1e-4 -o "x$mib"
    done
    bare/ps-train -q --device cpu "${tiny[@]}" --epochs 1 -o model
    refused 20 emulated/ps-embed -q --device cuda -m model/last.safetensors --batch-size 8 -o x.emb.zst test.mdb
    [ ! -e x.emb.zst ]
}

@test "stand-in: neighbours found on the device give the table of the CPU" {
    need_standin
    golden=$BATS_TEST_DIRNAME/../golden/eval
    # Many equal rows, and a class that is larger than the list of a query.
    awk 'BEGIN { print "label\tname\tx0\tx1\tx2"
        for (i = 0; i < 400; i++) print i % 9 "\t" i "\t" i % 5 "\t" i % 3 + 1 "\t" 1 }' >ties.tsv
    for file in ties.tsv "$golden/small.safetensors"; do
        for options in "" "--per-class" "--dims 2,3 --recall 1,10,100"; do
            # shellcheck disable=SC2086
            bare/ps-eval $options "$file" >cpu.tsv
            # shellcheck disable=SC2086
            emulated/ps-eval --device cuda $options "$file" >cuda.tsv
            cmp cpu.tsv cuda.tsv
        done
    done
    PS_CUDA_EMU_MIB=1 run -1 --separate-stderr emulated/ps-eval --device cuda "$golden/cars_like.safetensors"
    [[ $stderr == *"out of device memory"*"(use --device cpu)" ]]
    PS_CUDA_EMU_DEVICES=0 run -0 --separate-stderr emulated/ps-eval --device auto ties.tsv
    [[ $stderr == *"device cpu: "* ]]
    run -1 --separate-stderr bare/ps-eval --device cuda ties.tsv
    [[ $stderr == *"no ps-cuda.so beside the program"* ]]
}

@test "auto without a GPU takes the CPU and says so" {
    run -0 --separate-stderr bare/ps-train --device auto "${tiny[@]}" --epochs 1 -o auto
    [[ $stderr == *"device cpu: "* ]]
    if [ -e emulated/ps-cuda.so ]; then
        PS_CUDA_EMU_DEVICES=0 run -0 --separate-stderr emulated/ps-train --device auto \
            "${tiny[@]}" --epochs 1 -o auto2
        [[ $stderr == *"device cpu: "* ]]
    fi
}

@test "cuda without plugin or GPU is refused with the reason" {
    run -1 --separate-stderr bare/ps-train --device cuda "${tiny[@]}" -o refused
    [[ $stderr == *"no ps-cuda.so beside the program"*"--device cpu"* ]]
    [ ! -e refused/log.jsonl ]
    need_standin
    PS_CUDA_EMU_DEVICES=0 run -1 --separate-stderr emulated/ps-train --device cuda "${tiny[@]}" -o refused
    [[ $stderr == *"no usable GPU (no CUDA-capable device is detected)"* ]]
    run -1 --separate-stderr emulated/ps-train --device cuda:3 "${tiny[@]}" -o refused
    [[ $stderr == *"no GPU 3"* ]]
}
