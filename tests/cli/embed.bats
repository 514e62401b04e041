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
    for format in safetensors npy npz tsv; do
        ps-embed -q -m run/last.safetensors --format "$format" -o "x.$format" test.mdb
        diff <(ps-eval test.emb.zst | grep -v '^#' | cut -f 2-) \
            <(ps-eval "x.$format" | grep -v '^#' | cut -f 2-)
    done
    run -2 ps-embed -q -m run/last.safetensors --format npy -o - test.mdb
}

@test "NumPy reads the arrays of .npz, whose bytes depend on nothing else" {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "there is no numpy"
    ps-embed -q -m run/last.safetensors --format npz -o a.npz test.mdb
    TZ=Asia/Tokyo ps-embed -q -m run/last.safetensors --format npz -o - test.mdb | cmp - a.npz
    ps-embed -q -m run/last.safetensors --format npz --type f16 -o half.npz test.mdb
    ps-embed -q -m run/last.safetensors --format tsv -o a.tsv test.mdb
    "$PYTHON" - <<'END'
import csv, numpy
arrays, half = numpy.load("a.npz"), numpy.load("half.npz")
rows = list(csv.DictReader(open("a.tsv"), delimiter="\t"))
assert (arrays["embedding"] == numpy.float32([[r[f"x{d}"] for d in range(8)] for r in rows])).all()
assert [str(n) for n in arrays["name"]] == [r["name"] for r in rows]
assert [str(arrays["class_names"][l]) for l in arrays["label"]] == [r["class"] for r in rows]
assert len(str(arrays["model_id"])) == len(str(arrays["shard_id"])) == 32
assert half["embedding"].dtype == numpy.float16
assert abs(half["embedding"] - arrays["embedding"]).max() < 1e-3
END
}

@test "an .npz of NumPy is read, a faulty one refused" {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "there is no numpy"
    "$PYTHON" - <<'END'
import numpy
x, label = numpy.eye(4, dtype="f8"), numpy.array([3, 3, 5, 5], "u2")
numpy.savez("good.npz", embedding=x, label=label, name=["a\u00e4", "b\udcff", "", "d"])
numpy.savez("unnamed.npz", x, label)
numpy.savez("unlabelled.npz", embedding=x)
numpy.savez("short.npz", embedding=x, label=label[:3])
numpy.savez("names.npz", embedding=x, label=label, name=["a"])
numpy.savez("bytes.npz", embedding=x, label=label, name=[b"a"] * 4)
numpy.savez("role.npz", embedding=x, label=label, role=[0, 1, 2, 3])
numpy.savez("unicode.npz", embedding=x, label=label, name=numpy.full(4, 0x110000, "u4").view("U1"))
numpy.savez("lines.npz", embedding=x, label=label, class_names=["a\nb"])
numpy.savez_compressed("packed.npz", embedding=x, label=label)
numpy.savez("nan.npz", embedding=x * numpy.nan, label=label)
END
    ps-eval good.npz
    printf 'label\n1\n1\n2\n2\n' >labels.tsv
    ps-eval --labels labels.tsv unlabelled.npz
    local file
    for file in unnamed:"no array 'embedding'" unlabelled:--labels short:'3 values for 4 rows' \
        names:'1 values for 4 rows' bytes:'save them as str' role:'row 3: invalid role 3' \
        unicode:'none of Unicode' lines:'line break' packed:'is compressed' nan:'row 0'; do
        run ps-eval "${file%%:*}.npz"
        echo "$output"
        [ "$status" -ne 0 ]
        [[ $output == "ps-eval: error: ${file%%:*}.npz: "*"${file#*:}"* ]]
    done
    head -c 500 good.npz >cut.npz
    run -1 ps-eval cut.npz
}

@test "raw pixels need no model" {
    ps-embed -q --raw-pixels 8 -o raw.emb.zst test.mdb
    echo 'model = absent.safetensors' >own.conf
    ps-embed -q --config own.conf --raw-pixels 8 -o same.emb.zst test.mdb
    cmp raw.emb.zst same.emb.zst
    echo 'raw-pixels = 8' >own.conf
    run -1 ps-embed --config own.conf --model absent.safetensors -o o.emb.zst test.mdb
    [[ $output == *absent.safetensors* ]]
    run -2 ps-embed --raw-pixels 8 --model absent.safetensors -o o.emb.zst test.mdb
    [[ $output == *"either --model FILE or --raw-pixels"* ]]
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
