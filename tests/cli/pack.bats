# ps-pack: images to shards, and back.

# Two classes in each split; sizes from 20x30 to 60x45.
make_images() {
    local class i
    for class in ant bee; do
        for split in train test; do
            mkdir -p "$1/$split/$class"
            for i in 1 2 3; do
                convert -size $((10 + 10 * i))x$((25 + 5 * i)) "plasma:red-blue" -seed "$i" \
                    -quality 90 "$1/$split/$class/$i.jpg"
            done
        done
    done
}

setup_file() {
    make_images "$BATS_FILE_TMPDIR/images"
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    cp -r "$BATS_FILE_TMPDIR/images" images
    ps-prepare -q folder images -o m.tsv
}

# The table of records, without the lines that say what the shards were made from.
records() {
    ps-pack --list "$@" | grep -v '^#'
}

@test "packs both splits, lists, verifies and gives the original bytes back" {
    ps-pack -s train m.tsv -o train.mdb
    ps-pack -s test m.tsv -o test.mdb
    ps-pack --verify train.mdb test.mdb
    ps-pack --list train.mdb | grep -q "^# made-from: manifest=[0-9a-f]\{32\} dataset=folder split=train"
    records train.mdb >list.tsv
    [ "$(wc -l <list.tsv)" -eq 7 ]
    [ "$(cut -f 2,3 list.tsv | sort -u | grep -c -e $'^0\tant' -e $'^1\tbee')" -eq 2 ]
    [ "$(awk -F'\t' '$1 == 1 {print $5, $6}' list.tsv)" = "30 35" ]
    ps-pack --extract out train.mdb
    cmp out/ant/000000-1.jpg images/train/ant/1.jpg
    cmp out/bee/000005-3.jpg images/train/bee/3.jpg
    [ "$(ls -A | grep -c '^\.')" -eq 0 ]
}

@test "the bytes of a shard do not depend on the threads, nor on what was there before" {
    ps-pack -j 1 m.tsv -o a.mdb
    ps-pack -j 4 m.tsv -o b.mdb
    cmp a.mdb b.mdb
    run ps-pack m.tsv -o a.mdb
    [[ "$output" == *"6 of them reused from the existing shard"* ]]
    cmp a.mdb b.mdb
    convert -size 33x44 plasma: images/train/ant/0.jpg
    rm images/train/bee/2.jpg
    ps-prepare -q folder images -o m.tsv
    run ps-pack m.tsv -o a.mdb
    [[ "$output" == *"5 of them reused from the existing shard"* ]]
    rm b.mdb
    ps-pack m.tsv -o b.mdb
    cmp a.mdb b.mdb
    ps-pack m.tsv --short-side 25 -o a.mdb
    run ps-pack m.tsv -o a.mdb
    [[ "$output" != *"already"* ]]
    cmp a.mdb b.mdb
}

@test "--short-side and --max-side shrink, never enlarge" {
    ps-pack m.tsv --short-side 25 --quality 80 -o a.mdb
    records a.mdb >list.tsv
    [ "$(awk -F'\t' '$1 == 0 {print $5, $6}' list.tsv)" = "20 30" ]
    [ "$(awk -F'\t' '$1 == 2 {print $5, $6}' list.tsv)" = "25 25" ]
    ps-pack --extract out a.mdb
    cmp out/ant/000000-1.jpg images/train/ant/1.jpg
    ps-pack m.tsv --max-side 20 -o a.mdb
    [ "$(records a.mdb | awk -F'\t' '$1 == 0 {print $5, $6}')" = "13 20" ]
    ps-pack --verify a.mdb
}

@test "--crop-boxes keeps the object's box" {
    awk -F'\t' -v OFS='\t' '/^#/ {print; next} !head {print $0, "x0", "y0", "x1", "y1"; head = 1; next}
        {print $0, 2, 3, 14, 20}' m.tsv >boxes.tsv
    ps-pack --crop-boxes 0 boxes.tsv -o a.mdb
    [ "$(records a.mdb | awk -F'\t' 'NR > 1 {print $5, $6}' | sort -u)" = "12 17" ]
    sed 's/\t14\t20$/\t14\t99/' boxes.tsv >far.tsv
    run ps-pack --crop-boxes 0 far.tsv -o b.mdb
    [ "$status" -eq 1 ]
    [[ "$output" == *"box exceeds the 20 x 30 image"* ]]
    [ ! -e b.mdb ]
}

# objects: a list of the images, of which one has three objects, in two classes.
objects() {
    printf 'path\tclass\tsplit\tx0\ty0\tx1\ty1\n'
    printf 'images/train/ant/1.jpg\tant\ttrain\t2\t3\t14\t20\n'
    printf 'images/train/ant/1.jpg\tbee\ttrain\t2\t3\t15\t20\n'
    printf 'images/train/ant/1.jpg\tant\ttrain\t0\t0\t5\t5\n'
    printf 'images/train/ant/2.jpg\tant\ttrain\t\t\t\t\n'
}

@test "every object of an image becomes a record, with a name and a source of its own" {
    objects >list.tsv
    ps-prepare -q list list.tsv -o objects.tsv
    ps-pack objects.tsv --crop-boxes 0 -o a.mdb
    records a.mdb | tail -n +2 | cut -f 3,5,6,9 >found.tsv
    printf '%s\t%s\t%s\t%s\n' ant 5 5 'images/train/ant/1.jpg#0,0,5,5' \
        ant 12 17 'images/train/ant/1.jpg#2,3,14,20' \
        ant 30 35 images/train/ant/2.jpg \
        bee 13 17 'images/train/ant/1.jpg#2,3,15,20' >wanted.tsv
    diff wanted.tsv found.tsv
    ps-pack --verify a.mdb
    tar cf images.tar images
    ps-prepare -q list list.tsv images.tar -o archived.tsv
    ps-pack archived.tsv --crop-boxes 0 -o b.mdb
    diff <(records b.mdb) <(records a.mdb)
    cp a.mdb again.mdb
    ps-pack objects.tsv --crop-boxes 0 -o again.mdb 2>err
    grep -q '4 of them reused' err
    cmp a.mdb again.mdb
    run ps-pack objects.tsv -o c.mdb
    [ "$status" -eq 1 ]
    [[ "$output" == *"images/train/ant/1.jpg: is listed with several boxes (--crop-boxes MARGIN"* ]]
    [ ! -e c.mdb ]
}

@test "a margin is a fraction of the box, and ends with the image" {
    objects >list.tsv
    ps-prepare -q list list.tsv -o objects.tsv
    ps-pack objects.tsv --crop-boxes 0.25 -o a.mdb
    [ "$(records a.mdb | sed -n 2p | cut -f 5,6)" = "$(printf '6\t6')" ]
    [ "$(records a.mdb | sed -n 3p | cut -f 5,6)" = "$(printf '17\t24')" ]
    for margin in -1 11 x '' nan; do
        run ps-pack objects.tsv --crop-boxes "$margin" -o b.mdb
        [ "$status" -eq 2 ]
    done
}

@test "a box twice, and an image with and without a box, are listed twice" {
    objects | sed '2p' >list.tsv
    run ps-prepare -q list list.tsv -o objects.tsv
    [ "$status" -eq 1 ]
    [[ "$output" == *"images/train/ant/1.jpg is listed twice"* ]]
    for row in '\t\t\t\t' '\t1\t2\t3\t' '\t3\t3\t3\t4' '\t-1\t3\t3\t4' '\t1e9\t0\t0\t0'; do
        { objects && printf "images/train/ant/1.jpg\tant\ttrain$row\n"; } >list.tsv
        run ps-prepare -q list list.tsv -o objects.tsv
        echo "$output"
        [ "$status" -eq 1 ]
        [[ "$output" == *"listed twice"* || "$output" == *"list.tsv:6: "* ]]
    done
    objects | cut -f 1-5 >list.tsv
    run ps-prepare -q list list.tsv -o objects.tsv
    [[ "$output" == *"of the columns x0, y0, x1 and y1 only some"* ]]
}

@test "several shards are of even size and hold the whole" {
    ps-pack m.tsv --shards 4 -o train.mdb
    [ "$(ls train-*.mdb | tr '\n' ' ')" = "train-00.mdb train-01.mdb train-02.mdb train-03.mdb " ]
    [ "$(records train-0?.mdb | cut -f 9 | sort | uniq -d | wc -l)" -eq 0 ]
    [ "$(records train-0?.mdb | wc -l)" -eq 7 ]
    [ "$(for f in train-0?.mdb; do records $f | wc -l; done | sort -u | tr '\n' ' ')" = "2 3 " ]
    run ps-pack m.tsv --shards 7 -o no.mdb
    [ "$status" -eq 1 ]
    [ "$(ls no* 2>/dev/null | wc -l)" -eq 0 ]
}

@test "packs straight from an archive, in the manifest's order" {
    ps-pack m.tsv -o plain.mdb
    tar -cf images.tar --sort=none images/train/bee images/train/ant images/test
    ps-prepare -q folder images.tar -o tar.tsv
    ps-pack tar.tsv -o tar.mdb
    cmp <(records plain.mdb | cut -f 1-8) <(records tar.mdb | cut -f 1-8)
    ps-pack -j 3 tar.tsv -o again.mdb
    cmp tar.mdb again.mdb
    tar -cf images.tar images/train/ant images/test
    rm tar.mdb
    run ps-pack tar.tsv -o tar.mdb
    [ "$status" -eq 1 ]
    [[ "$output" == *"bee/1.jpg: not in "*"images.tar"* ]]
    [ ! -e tar.mdb ]
}

@test "query and gallery keep their roles" {
    sed 's/\ttest\t/\tquery\t/; /3\.jpg\t/s/\tquery\t/\tgallery\t/' m.tsv >roles.tsv
    (grep -v gallery roles.tsv; grep gallery roles.tsv) >sorted.tsv
    ps-pack -s test sorted.tsv -o test.mdb
    [ "$(records test.mdb | awk -F'\t' '$4 == "query"' | wc -l)" -eq 4 ]
    [ "$(records test.mdb | awk -F'\t' '$4 == "gallery"' | wc -l)" -eq 2 ]
    [ "$(records test.mdb | awk -F'\t' '$4 == "gallery" {print $2}' | tr '\n' ' ')" = "0 1 " ]
}

@test "images that cannot be read fail the pack, each with path and reason, or go to quarantine" {
    head -c 400 images/train/ant/2.jpg >cut && mv cut images/train/ant/2.jpg
    echo "no image" >images/train/bee/1.jpg
    : >images/train/bee/3.jpg
    ps-prepare -q folder images -o m.tsv
    rm images/train/ant/1.jpg
    echo >>images/train/ant/3.jpg
    run ps-pack m.tsv -o train.mdb
    [ "$status" -eq 1 ]
    [[ "$output" == *"ant/2.jpg: cannot decode JPEG: Premature end"* ]]
    [[ "$output" == *"bee/1.jpg: "* ]]
    [[ "$output" == *"bee/3.jpg: empty file"* ]]
    [[ "$output" == *"ant/1.jpg: cannot open: No such file"* ]]
    [[ "$output" == *"ant/3.jpg: content differs from the manifest"* ]]
    [[ "$output" == *"error: 5 of 6 images cannot be read"* ]]
    [ ! -e train.mdb ]
    ps-pack m.tsv -o train.mdb --quarantine bad.tsv
    [ "$(wc -l <bad.tsv)" -eq 6 ]
    [ "$(records train.mdb | wc -l)" -eq 2 ]
    rm -r images
    run ps-pack m.tsv -o none.mdb --quarantine bad.tsv
    [ "$status" -eq 1 ]
    [[ "$output" == *"none of 6 images can be read"* ]]
    [ ! -e none.mdb ]
}

@test "grey, CMYK, 16-bit, alpha, palette, progressive, rotated and tiny images" {
    mkdir -p kinds/train/x
    cd kinds/train/x
    convert -size 30x20 gradient: -colorspace Gray grey.jpg
    convert -size 30x20 plasma: -colorspace CMYK cmyk.jpg
    convert -size 30x20 plasma: -depth 16 deep.png
    convert -size 30x20 plasma: -alpha set -channel A -evaluate set 50% alpha.png
    convert -size 30x20 plasma: -colors 16 -type Palette palette.png
    convert -size 30x20 plasma: -interlace Plane progressive.jpg
    convert -size 30x20 plasma: -orient RightTop rotated.jpg
    convert -size 1x1 xc:red tiny.png
    convert -size 30x20 plasma: image.bmp
    cd ../../..
    ps-prepare -q folder kinds -o kinds.tsv --min-images 1
    ps-pack kinds.tsv -o kinds.mdb
    ps-pack --verify kinds.mdb
    [ "$(records kinds.mdb | awk -F'\t' 'NR > 1 {print $5, $6}' | sort | uniq -c | tr -s ' ' | tr '\n' ',')" = " 1 1 1, 8 30 20," ]
    ps-pack --short-side 10 kinds.tsv -o small.mdb
    ps-pack --verify small.mdb
}

@test "damaged and foreign shards are errors" {
    ps-pack m.tsv -o a.mdb
    head -c 9000 a.mdb >cut.mdb
    run ps-pack --verify cut.mdb
    [ "$status" -eq 1 ]
    [[ "$output" == *"cut.mdb: truncated"* ]]
    run records m.tsv
    [ "$status" -eq 1 ]
    [[ "$output" == *"m.tsv: this is text, not a shard"* ]]
    run records absent.mdb
    [ "$status" -eq 1 ]
    at=$(grep -abo JFIF a.mdb | head -1 | cut -d: -f1)
    printf '\x00' | dd of=a.mdb bs=1 seek=$((at + 30)) conv=notrunc status=none
    run ps-pack --verify a.mdb
    [ "$status" -eq 1 ]
    [[ "$output" =~ "record "[0-5]" is corrupt" ]]
    ps-pack m.tsv -o a.mdb
    ps-pack --verify a.mdb
}

@test "no output where it cannot be: devices, missing folders, full disks, interrupts" {
    run ps-pack m.tsv -o /dev/full
    [ "$status" -eq 1 ]
    [ -c /dev/full ]
    run ps-pack m.tsv -o absent/a.mdb
    [ "$status" -eq 1 ]
    ps-pack m.tsv -o a.mdb
    run bash -c 'ps-pack --list a.mdb >/dev/full'
    [ "$status" -eq 1 ]
    run bash -c 'ulimit -f 8; trap "" XFSZ; ps-pack m.tsv -o b.mdb'
    [ "$status" -eq 1 ]
    [[ "$output" == *"File too large"* ]]
    [ "$(ls -A | grep -c -e b.mdb)" -eq 0 ]
}

@test "an interrupted pack leaves nothing and says so" {
    { printf 'P6 1000 1000 255\n' && head -c 3000000 /dev/zero; } >images/train/ant/2.ppm
    for i in {3..99}; do ln images/train/ant/2.ppm images/train/ant/$i.ppm; done
    ps-prepare -q folder images -o m.tsv
    ps-pack -j 1 m.tsv -o a.mdb 2>err &
    while kill -0 $! && ! ls -l "/proc/$!/fd" | grep -q 'spool (deleted)'; do
        sleep 0.05
    done
    kill -TERM $!
    status=0
    wait $! || status=$?
    [ "$status" -eq 143 ]
    grep -q 'error: interrupted' err
    [ "$(ls -A | grep -c a.mdb)" -eq 0 ]
}

@test "wrong usage" {
    run ps-pack
    [ "$status" -eq 2 ]
    run ps-pack m.tsv
    [ "$status" -eq 2 ]
    run ps-pack --verify --list a.mdb
    [ "$status" -eq 2 ]
    run ps-pack -s valid m.tsv -o a.mdb
    [ "$status" -eq 2 ]
    run ps-pack --quality 101 m.tsv -o a.mdb
    [ "$status" -eq 2 ]
    run ps-pack -s train /dev/null -o a.mdb
    [ "$status" -eq 1 ]
}
