# Pictures as they lie, embedded without a manifest or a shard.
bats_require_minimum_version 1.5.0
load images

setup_file() {
    cd "$BATS_FILE_TMPDIR"
    export OMP_NUM_THREADS=2
    make_shards .
    mkdir photos
    mv images/class[4-7] photos
    ps-train -q --device cpu --data train.mdb --backbone resnet18 --input-size 32 --dim 8 \
        --epochs 0 --seed 3 -o run
    embed -o test.tsv test.mdb
}

setup() {
    cd "$BATS_FILE_TMPDIR"
}

embed() {
    ps-embed -q -m run/last.safetensors --format tsv "$@"
}

# values FILE: what the network said, a row an image.
values() {
    cut -f 5- "$1"
}

@test "a folder gives the bytes of prepare and pack, with classes, ids and paths" {
    embed -o folder.tsv photos
    diff <(cut -f 1-3 test.tsv) <(cut -f 1-3 folder.tsv)
    diff <(values test.tsv) <(values folder.tsv)
    [ "$(cut -f 4 folder.tsv | sed -n 2p)" = photos/class4/0.ppm ]
    embed -b 20 -o test-12.tsv test.mdb # in passes of 12
    embed -b 20 -o folder-12.tsv photos
    diff <(values test-12.tsv) <(values folder-12.tsv)
}

@test "more pictures than are worked on at a time" {
    mkdir many
    for i in {1000..1299}; do printf 'P2 2 1 255 %d %d\n' $((i % 250)) $((i / 7)) >many/$i.pgm; done
    printf 'P2 2 1' >many/1270.pgm
    ps-embed -q --raw-pixels 2 --format tsv -b 290 --quarantine bad.tsv -o many.tsv many
    [ "$(wc -l <many.tsv)" -eq 300 ]
    [ "$(tail -1 many.tsv | cut -f 2,3)" = $'298\tmany/1299.pgm' ]
    ps-embed -q --raw-pixels 2 --format tsv -o last.tsv many/1299.pgm
    diff <(tail -1 many.tsv | cut -f 4-) <(tail -1 last.tsv | cut -f 4-)
}

@test "an archive, a list, a shard and files give the same" {
    tar cf photos.tar photos
    (cd photos && python3 -m zipfile -c ../photos.zip class*)
    tar cf - photos | gzip >renamed.bin
    { printf 'path\tclass\n' && find photos -name '*.ppm' | sort |
        awk -F/ '{ print $0 "\t" $2 }'; } >list.txt
    local from
    for from in photos.tar photos.zip renamed.bin list.txt; do
        embed -o other.tsv "$from"
        diff <(sort -k 2,2 -k 5 test.tsv | cut -f 1,2,5-) \
            <(sort -k 2,2 -k 5 other.tsv | cut -f 1,2,5-)
    done
    embed -o other.tsv test.mdb photos/class4/0.ppm
    [ "$(wc -l <other.tsv)" -eq 26 ]
    find photos -name '*.ppm' | sort | xargs ps-embed -q -m run/last.safetensors --format tsv \
        -o files.tsv
    head -1 files.tsv | grep -q "^label$(printf '\t')id$(printf '\t')name"
    diff <(values test.tsv) <(cut -f 4- files.tsv)
}

@test "names come from a file or a pipe, and may hold anything but NUL" {
    odd=$'photos/class4/odd\n name.ppm'
    cp photos/class4/0.ppm "$odd"
    printf 'photos/class4/1.ppm\0%s' "$odd" >names
    embed -o names.tsv --files0-from names
    embed -o pipe.tsv --files0-from - <names
    rm "$odd"
    cmp names.tsv pipe.tsv
    [ "$(wc -l <names.tsv)" -eq 3 ]
    printf 'photos/class4/1.ppm\0\0' >names
    run -1 --separate-stderr embed -o x.tsv --files0-from names
    [[ $stderr == *"names: name 2 is empty"* ]]
    head -c 10000 /dev/zero | tr '\0' a >names
    run -1 --separate-stderr embed -o x.tsv --files0-from names
    [[ $stderr == *"longer than 4096 bytes"* ]]
    run -1 embed -o x.tsv --files0-from /dev/null
    [ ! -e x.tsv ]
}

@test "broken pictures are named, and skipped with --quarantine only" {
    mkdir broken
    cp photos/class4/?.ppm broken
    head -c 100 photos/class4/1.ppm >broken/cut.ppm
    echo 'no picture' >broken/text.jpg
    run -1 --separate-stderr ps-embed -q -m run/last.safetensors -o x.emb.zst broken
    [[ $stderr == *"2 of 8 images cannot be read (ps-embed --quarantine"* ]]
    [ ! -e x.emb.zst ]
    run -0 --separate-stderr ps-embed -m run/last.safetensors -o x.tsv --format tsv \
        --quarantine bad.tsv broken absent.jpg
    [[ $stderr == *broken/cut.ppm* && $stderr == *"absent.jpg: cannot open"* ]]
    diff <(cut -f 1 bad.tsv) <(printf 'path\nbroken/cut.ppm\nbroken/text.jpg\nabsent.jpg\n')
    embed -o good.tsv broken/?.ppm
    diff x.tsv good.tsv
    rm x.tsv
    run -1 embed -o x.tsv broken/cut.ppm
    mkdir -p empty
    run -1 embed -o x.tsv empty
    [ ! -e x.tsv ]
}

@test "what is no picture is told from what is" {
    run -1 --separate-stderr embed -o x.tsv m.tsv.gz run/log.jsonl
    [[ $stderr == *"run/log.jsonl"* ]]
    printf 'a.jpg\nb.jpg\n' >plain.txt
    run -1 --separate-stderr embed -o x.tsv plain.txt
    [[ $stderr == *"plain.txt:1: no column 'path'"*"--files0-from"* ]]
    run -1 --separate-stderr embed -o x.tsv run/last.safetensors
    [[ $stderr == *last.safetensors* ]]
    [ ! -e x.tsv ]
}

@test "without a class there is nothing to evaluate, but tables keep the classes there are" {
    ps-embed -q -m run/last.safetensors -o some.emb.zst photos photos/class4/0.ppm
    run -1 --separate-stderr ps-eval some.emb.zst
    [[ $stderr == *"some.emb.zst: row 24 (photos/class4/0.ppm) has no class"* ]]
    embed -o some.tsv photos photos/class4/0.ppm
    [ "$(tail -1 some.tsv | cut -f 1,2)" = $'-1\t' ]
    run -1 --separate-stderr ps-eval some.tsv
    [[ $stderr == *"some.tsv: row 24"* ]]
    head -n -1 some.tsv >all.tsv
    diff <(ps-eval all.tsv | tail -1 | cut -f 2-) <(ps-eval test.tsv | tail -1 | cut -f 2-)
}

@test "raw pixels of pictures are those of shards" {
    ps-embed -q --raw-pixels 8 --format tsv -o a.tsv test.mdb
    ps-embed -q --raw-pixels 8 --format tsv -o b.tsv photos
    diff <(values a.tsv) <(values b.tsv)
}

@test "the manual's example writes what COPY reads" {
    sed -n '/^    awk -F/,/|$/p' "$BATS_TEST_DIRNAME/../../man/ps-embed.1" |
        sed 's/\\e/\\/g; s/|$//' >copy.sh
    cp photos/class4/0.ppm $'odd\ttab.ppm'
    embed -o - photos/class4/1.ppm $'odd\ttab.ppm' | sh copy.sh >copied
    [ "$(cut -f 1,2 copied)" = "$(printf '0\tphotos/class4/1.ppm\n1\todd\\ttab.ppm')" ]
    cut -f 3 copied | grep -Ecx '\[(-?[0-9.]+(e[-+][0-9]+)?,){7}-?[0-9.]+(e[-+][0-9]+)?\]' | grep -x 2
}
