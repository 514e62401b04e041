# ps-embed: from a model and shards to an embedding file.
bats_require_minimum_version 1.5.0
load images

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
    ps-train -q --device cpu --data train.mdb --backbone resnet18 --input-size 32 --dim 8 \
        --epochs 0 --seed 3 -o run
    ps-embed -q -m run/last.safetensors -o test.emb.zst test.mdb
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

@test "the file holds one row an image, with labels and names" {
    zstd -qdc test.emb.zst >test.safetensors
    header=$(tail -c +9 test.safetensors | head -c 2000)
    [[ $header == *'"embedding"'*'[24,8]'* ]]
    [[ $header == *model_id* && $header == *shard_id* && $header == *class_names* ]]
    ps-eval test.emb.zst | grep -q recall@1
}

@test "the same command gives the same bytes, whatever the threads" {
    ps-embed -q -m run/last.safetensors -j 1 -o again.emb.zst test.mdb
    cmp test.emb.zst again.emb.zst
}

@test "the batch size changes nothing but rounding" {
    ps-embed -q -m run/last.safetensors -b 5 -o other.emb.zst test.mdb
    diff <(ps-eval test.emb.zst | grep -v '^#' | cut -f 2-) \
        <(ps-eval other.emb.zst | grep -v '^#' | cut -f 2-)
}

@test "several shards go into one file; a pipe will do" {
    ps-embed -q -m run/last.safetensors -o - test.mdb train.mdb | ps-eval - | grep -w 48
}

@test "other formats hold the same embeddings" {
    local format
    for format in safetensors npy tsv; do
        ps-embed -q -m run/last.safetensors --format "$format" -o "x.$format" test.mdb
        diff <(ps-eval test.emb.zst | grep -v '^#' | cut -f 2-) \
            <(ps-eval "x.$format" | grep -v '^#' | cut -f 2-)
    done
    run -2 ps-embed -q -m run/last.safetensors --format npy -o - test.mdb
}

@test "raw pixels need no model" {
    ps-embed -q --raw-pixels 8 -o raw.emb.zst test.mdb
    zstd -qdc raw.emb.zst | head -c 2000 | grep -aq '\[24,192\]'
}

@test "bad input ends with 1, wrong use with 2, and no file is left" {
    run -1 ps-embed -q -m absent.safetensors -o x.emb.zst test.mdb
    run -1 ps-embed -q -m run/last.safetensors -o x.emb.zst absent.mdb
    head -c 100000 run/last.safetensors >cut.safetensors
    run -1 ps-embed -q -m cut.safetensors -o x.emb.zst test.mdb
    run -1 ps-embed -q -m m.tsv -o x.emb.zst test.mdb
    run -1 ps-embed -q -m run/last.safetensors -o /dev/full test.mdb
    run -2 ps-embed -q -o x.emb.zst test.mdb
    run -2 ps-embed -q -m run/last.safetensors -o x.emb.zst
    [ ! -e x.emb.zst ]
}

@test "half precision is half the size, and as good" {
    ps-embed -q -m run/last.safetensors --type f16 -o half.emb.zst test.mdb
    zstd -qdc half.emb.zst | head -c 2000 | grep -aq '"F16"'
    paste <(ps-eval test.emb.zst | tail -1 | cut -f 2-7 | tr '\t' '\n') \
        <(ps-eval half.emb.zst | tail -1 | cut -f 2-7 | tr '\t' '\n') |
        awk '{ d = $1 - $2; if (d * d > 0.01) exit 1 }'
}
