# ps-prepare: folders and archives to manifests; what is refused, and how that is said.

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
}

# classes FOLDER NAME...: class folders with three "images" each; content differs everywhere.
classes() {
    local top=$1 name i
    shift
    for name; do
        mkdir -p "$top/$name"
        for i in 1 2 3; do echo "$top/$name/$i" >"$top/$name/$i.jpg"; done
    done
}

# refused STATUS TEXT COMMAND...: fails with that status and one line that holds TEXT.
refused() {
    local expected=$1 text=$2
    shift 2
    run "$@" -q
    echo "$output"
    [ "$status" -eq "$expected" ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == "ps-prepare: error: "*"$text"* ]]
}

rows() {
    grep -v '^#' "$1" | tail -n +2
}

@test "a folder with train and test" {
    classes d train/a train/b/deep test/c
    ps-prepare folder d -o m.tsv
    [ "$(rows m.tsv | wc -l)" -eq 9 ]
    rows m.tsv | cut -f1-3 | grep -qx $'d/train/b/deep/2.jpg\tb/deep\ttrain'
    [ "$(head -n 3 m.tsv)" = $'# ps-manifest: 1\n# dataset: folder\npath\tclass\tsplit\thash' ]
    [ "$(ps-prepare --summary m.tsv | tail -n +2)" = \
        $'split\tclasses\timages\tmin\tmedian\tmax\ntrain\t2\t6\t3\t3\t3\ntest\t1\t3\t3\t3\t3' ]
}

@test "query and gallery" {
    classes d train/a query/b gallery/b
    echo lone >d/query/b/4.jpg
    ps-prepare folder d -o m.tsv
    [ "$(ps-prepare --summary m.tsv | cut -f1,3 | tail -n +3)" = \
        $'train\t3\nquery\t4\ngallery\t3' ]
    rm -r d/gallery/b
    classes d gallery/c
    ps-prepare folder d -o m.tsv 2>&1 | grep "1 query class has no gallery image, the first is 'b'"
}

@test "class folders are split by class, in order or by seed" {
    classes d a b c d e/f
    ps-prepare folder d --test-classes 0.4 -o m.tsv
    [ "$(rows m.tsv | cut -f2,3 | sort -u)" = \
        $'a\ttrain\nb\ttrain\nc\ttrain\nd\ttest\ne/f\ttest' ]
    grep -qx '# settings: test-classes=0.4 min-images=2' m.tsv
    for seed in 1 2 3 4 5 6 7 8; do
        ps-prepare folder d --test-classes 0.4 --seed $seed -o s$seed.tsv
        [ "$(rows s$seed.tsv | cut -f2,3 | sort -u | grep -c 'test$')" -eq 2 ]
    done
    [ "$(for s in s*.tsv; do rows "$s" | md5sum; done | sort -u | wc -l)" -gt 2 ]
    ps-prepare folder d --test-classes 0.4 --seed 3 -o again.tsv
    cmp again.tsv s3.tsv
}

@test "a pattern chooses files; small classes are left out and named" {
    classes d a b c
    for f in d/*/*.jpg; do mv "$f" "${f%/*}/portrait_000${f##*/}"; done
    touch d/a/other.jpg d/a/notes.txt
    mkdir -p d/c/empty
    rm d/c/portrait_000[23].jpg
    run ps-prepare folder d --match 'portrait_*.jpg' --test-classes 0.5 -o m.tsv
    [ "$status" -eq 0 ]
    [[ $output == *"1 class with fewer than 2 images left out (--min-images): 'c'"* ]]
    [ "$(rows m.tsv | wc -l)" -eq 6 ]
    ps-prepare folder d --match 'portrait_*.jpg' --test-classes 0.5 --min-images 1 -o m.tsv
    [ "$(rows m.tsv | wc -l)" -eq 7 ]
}

@test "the same manifest again, from any place and with any number of threads" {
    classes d/raw train/a train/b test/c
    mkdir -p d/build elsewhere
    ps-prepare folder d/raw -o d/build/m.tsv
    rows d/build/m.tsv | cut -f1 | grep -qx '../raw/train/a/1.jpg'
    cp d/build/m.tsv first.tsv
    (cd elsewhere && ps-prepare folder -j 1 "$PWD/../d/raw/" -o ../d/build/m.tsv)
    cmp first.tsv d/build/m.tsv
    (cd d/build && ps-prepare folder -j 8 ../raw -o - >stdout.tsv)
    cmp first.tsv d/build/stdout.tsv
}

@test "an archive gives what its folder gives, and stays as it was" {
    classes photos train/a train/b test/c
    ps-prepare folder photos -o folder.tsv
    tar -cf photos.tar photos
    tar -czf photos.tgz photos
    before=$(md5sum photos.tar photos.tgz)
    for archive in photos.tar photos.tgz; do
        ps-prepare folder $archive -o archive.tsv
        [ "$(rows archive.tsv | cut -f5 | sort -u)" = $archive ]
        cmp <(rows archive.tsv | cut -f1-4) <(rows folder.tsv)
    done
    [ "$(md5sum photos.tar photos.tgz)" = "$before" ]
}

@test "what leaves its archive is refused by name" {
    classes d train/a test/b
    echo x >outside.jpg
    tar -C d -cPf up.tar train ../outside.jpg test
    refused 1 "up.tar: member '../outside.jpg' rejected" ps-prepare folder up.tar -o m.tsv
    ln -s /etc/passwd d/train/a/link.jpg
    tar -C d -cf link.tar train test
    refused 1 "'train/a/link.jpg' rejected: it is a symbolic link" \
        ps-prepare folder link.tar -o m.tsv
    rm d/train/a/link.jpg
    ln d/train/a/1.jpg d/train/a/hard.jpg
    tar -C d -cf hard.tar train test
    refused 1 "rejected: it is a hard link" ps-prepare folder hard.tar -o m.tsv
    mkfifo d/train/a/pipe.jpg
    rm d/train/a/hard.jpg
    tar -C d -cf pipe.tar train test
    refused 1 "'train/a/pipe.jpg' rejected" ps-prepare folder pipe.tar -o m.tsv
    [ ! -e m.tsv ]
}

@test "a damaged archive" {
    classes d train/a test/b
    head -c 300000 /dev/urandom >d/train/a/1.jpg
    tar -C d -czf d.tgz train test
    head -c 200000 d.tgz >cut.tgz
    refused 1 "cut.tgz: member train/a/" ps-prepare folder cut.tgz -o m.tsv
    echo nothing >none.tar
    refused 1 "none.tar: " ps-prepare folder none.tar -o m.tsv
}

@test "copies are reported, and named when they are in two splits" {
    classes d train/a train/b test/c
    cp d/train/a/1.jpg d/test/c/copy.jpg
    cp d/train/a/2.jpg d/train/b/copy.jpg
    cp d/train/a/2.jpg d/train/a/copy.jpg
    run ps-prepare folder d -o m.tsv
    [ "$status" -eq 0 ]
    [[ $output == *"identical image in train and test: d/train/a/1.jpg and d/test/c/copy.jpg"* ]]
    [[ $output == *"of the same split, byte for byte: 2, of which under another class: 1"* ]]
}

@test "a class in both splits" {
    classes d train/a train/b test/b
    run ps-prepare folder d -o m.tsv
    [ "$status" -eq 0 ]
    [[ $output == *"1 class of train is in another split too, the first is 'b'"* ]]
}

@test "an empty class, one image in all, no image" {
    classes d train/a test/b
    mkdir d/train/empty d/test/blank
    touch d/test/blank/readme.txt
    refused 1 "d: 2 class folders hold no image, the first is test/blank (--allow-missing" \
        ps-prepare folder d -o m.tsv
    run ps-prepare folder d --allow-missing -o m.tsv
    [ "$status" -eq 0 ]
    [[ $output == *"2 class folders hold no image"* ]]
    rm m.tsv
    mkdir -p one/train/a none
    echo 1 >one/train/a/1.jpg
    ps-prepare -q folder one -o m.tsv # enough to be embedded
    rm m.tsv
    refused 1 "none: no images" ps-prepare folder none -o m.tsv
    refused 1 "one/train: 1 class: too few for a train and a test split" \
        ps-prepare folder one/train --test-classes 0.5 --min-images 1 -o m.tsv
    [ ! -e m.tsv ]
}

@test "layouts that do not say what is meant" {
    classes d a b
    refused 2 "give --test-classes 0.5" ps-prepare folder d -o m.tsv
    classes d train/c
    refused 1 "6 images outside train/, test/, query/ and gallery/, the first is a/1.jpg" \
        ps-prepare folder d -o m.tsv
    rm -r d/a d/b
    refused 2 "already split into train/ and test/" \
        ps-prepare folder d --test-classes 0.5 -o m.tsv
    touch d/train/x.jpg
    refused 1 "1 image is not in a class folder, the first is train/x.jpg" \
        ps-prepare folder d -o m.tsv
}

@test "links in a folder are followed; one that leads nowhere is named" {
    classes real a b
    mkdir -p d/train
    ln -s ../../real/a d/train/a
    ln -s ../real d/test
    ps-prepare folder d -o m.tsv
    [ "$(rows m.tsv | wc -l)" -eq 9 ]
    ln -s nowhere d/train/x.jpg
    refused 1 "d: dangling symbolic links: 1, the first is train/x.jpg" ps-prepare folder d -o m.tsv
    rm d/train/x.jpg
    ln -s ../../d d/train/loop
    refused 1 "symbolic link to a parent folder" ps-prepare folder d -o m.tsv
}

@test "cars196 from its images alone, with most of them missing" {
    mkdir car_ims
    for i in 000001 000090 008055 016185; do echo $i >car_ims/$i.jpg; done
    refused 1 "16181 of 16185 images are missing, the first is car_ims/000002.jpg" \
        ps-prepare cars196 car_ims -o m.tsv
    run ps-prepare cars196 car_ims --allow-missing -o m.tsv
    [ "$status" -eq 0 ]
    [[ $output == *"16181 of 16185 images are missing"* ]]
    [[ $output == *"train: 2 images in 2 classes; the published data set has 8054 in 98"* ]]
    [ "$(rows m.tsv | cut -f1-3)" = "$(printf 'car_ims/%s.jpg\t%s\t%s\n' \
        000001 001 train 000090 002 train 008055 099 test 016185 196 test)" ]
}

@test "names with spaces, UTF-8 and leading #" {
    mkdir -p 'd/train/#1 été' d/test/b
    echo 1 >'d/train/#1 été/ü.jpg'
    echo 2 >d/test/b/1.jpg
    (cd d/train/.. && ps-prepare folder . -o m.tsv && ps-prepare --summary m.tsv | grep -q train)
    tar -C d -cf '#x.tar' train test
    ps-prepare folder '#x.tar' -o m.tsv
    rows m.tsv | cut -f1,5 | grep -qx $'train/#1 été/ü.jpg\t#x.tar'
    mkdir d/train/$'new\nline'
    echo 3 >d/train/$'new\nline/1.jpg'
    refused 1 "a control character in a class name" ps-prepare folder d -o m2.tsv
    [ ! -e m2.tsv ]
}

@test "wrong usage" {
    mkdir d
    refused 2 "unknown data set 'cars'" ps-prepare cars d -o m.tsv
    refused 2 "expected: DATASET SOURCE" ps-prepare folder -o m.tsv
    refused 2 "-o MANIFEST is missing" ps-prepare folder d
    refused 2 "--match applies only" ps-prepare sop d --match x -o m.tsv
    refused 2 "has a published split" ps-prepare sop d --test-classes 0.5 -o m.tsv
    refused 2 "--seed requires" ps-prepare folder d --seed 1 -o m.tsv
    refused 2 "did you mean --test-classes" ps-prepare folder d --test-clases 0.5 -o m.tsv
    refused 1 "absent: no such file or folder" ps-prepare folder absent -o m.tsv
    refused 1 "no/where/m.tsv: cannot create: No such file or directory" ps-prepare folder d -o no/where/m.tsv
}

@test "bad manifests are refused with column and line" {
    classes d train/a test/b
    ps-prepare folder d -o m.tsv
    sed 's/^path\tclass/path\tlabel/' m.tsv >wrong.tsv
    refused 1 "wrong.tsv:3: unknown column 'label'" ps-prepare --summary wrong.tsv
    cut -f1,2,4 m.tsv >missing.tsv
    refused 1 "missing.tsv:3: no column 'split'" ps-prepare --summary missing.tsv
    sed '5s/\ttrain\t/\tboth\t/' m.tsv >split.tsv
    refused 1 "split.tsv:5: column 'split'" ps-prepare --summary split.tsv
    refused 1 "absent.tsv" ps-prepare --summary absent.tsv
}

@test "a full disk, and an interrupted run, leave no target" {
    classes d train/a test/b
    refused 1 "/dev/full" ps-prepare folder d -o /dev/full
    refused 1 "standard output" bash -c 'ps-prepare folder d -o - "$@" >/dev/full' _
    truncate -s 200G d/train/a/1.jpg
    ps-prepare folder d -o m.tsv 2>err &
    pid=$!
    sleep 0.5
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 143 ]
    [ "$(find . -mindepth 1 -maxdepth 1 | sort | xargs)" = "./d ./err" ]
}

@test "lists and settings in every spelling of a text file" {
    mkdir i
    for i in 1 2 3 4; do echo $i >i/$i.jpg; done
    printf 'path\tclass\tsplit\tnotes\ni/1.jpg\ta\ttrain\t\ni/2.jpg\t#a\tTrain\tx\ni/3.jpg\tb\tTEST\t\ni/4.jpg\tb\ttest\tx\n' >t.tsv
    ps-prepare -q list t.tsv -o expected
    awk -F'\t' -v OFS='\t' '{print $4, $1, $2, $3}' t.tsv >front.tsv
    tr '\t' , <t.tsv >t.csv
    sed 's/,/ , /g; s/$/\r/; 1s/^/\xef\xbb\xbf/' t.csv >spaced.csv
    { printf '\xef\xbb\xbf# a comment\n\n' && head -c -1 t.tsv; } >marked.tsv
    for f in front.tsv t.csv spaced.csv marked.tsv; do
        ps-prepare -q list $f -o m.tsv
        cmp m.tsv expected
    done
    ps-prepare list t.tsv -o m.tsv 2>&1 | grep "t.tsv: columns not used: 'notes'"
    printf '\xef\xbb\xbfquiet = true\r\n# x\r\nthreads = 1\r\n' >c.conf
    run ps-prepare --config c.conf list t.tsv -o m.tsv
    [ -z "$output" ]
    printf 'path\tclass\tclass\ni/1.jpg\ta\tb\n' >t.tsv
    refused 1 "t.tsv:1: second column 'class'" ps-prepare list t.tsv --test-classes 0.5 -o n.tsv
    printf 'path\tclass\ni/1.jpg\t\n' >t.tsv
    refused 1 "t.tsv:2: column 'class' is empty" ps-prepare list t.tsv --test-classes 0.5 -o n.tsv
    printf 'path\tclass\tsplit\ni/1.jpg\ta\tval\n' >t.tsv
    refused 1 "t.tsv:2: the split 'val' is not" ps-prepare list t.tsv -o n.tsv
    printf 'path,class,split\ni/1.jpg,a,train\n' >t.tsv
    refused 1 "t.tsv:1: one column, 'path,class,split'; columns are separated by commas in a file" \
        ps-prepare list t.tsv -o n.tsv
    printf 'path;class;split\ni/1.jpg;a;train\n' >t.csv
    refused 1 "t.csv:1: one column, 'path;class;split'" ps-prepare list t.csv -o n.tsv
    printf 'path,class,split\ni/1.jpg,"a\nb",train\n' >t.csv
    refused 1 "t.csv:2: class 'a?b': a control character" ps-prepare list t.csv -o n.tsv
    printf 'thr\0eads = 1\n' >c.conf
    refused 1 "c.conf:1: NUL byte" ps-prepare --config c.conf list t.tsv -o n.tsv
    printf 'PK\3\4%26s' '' >c.conf
    refused 1 "c.conf: this is a zip archive, not a text file" ps-prepare --config c.conf list t.tsv -o n.tsv
    refused 2 "--config: ''" ps-prepare --config= list t.tsv -o n.tsv
    echo 'workers = 3' >c.conf && echo 'test-classes = 0.25' >d.conf
    ps-prepare --config c.conf --config=d.conf --print-config | grep -c 'workers = 3\|test-classes = 0.25' |
        grep -qx 2
    [ ! -e n.tsv ]
}

# image FILE: a picture of its name's checksum.
image() {
    mkdir -p "${1%/*}"
    printf 'P2 2 1 255 %d 7\n' $(($(cksum <<<"$1" | cut -d' ' -f1) % 256)) >"$1"
}

@test "images are known by their content, and what is left out is counted and named" {
    for c in a b c; do for i in 1 2; do image d/$c/$i.pgm; done; done
    mv d/a/1.pgm d/a/1
    mv d/a/2.pgm 'd/a/2.pgm?width=600'
    cp d/b/1.pgm d/b/3.jfif
    echo text >d/c/readme
    echo '<svg/>' >d/c/x.svg
    for f in '@eaDir/a/1.pgm' '#recycle/1.pgm' '$Recycle.Bin/x/1.pgm' '.thumbnails/1.pgm' 'lost+found/1.pgm'; do
        image "d/$f"
    done
    mkfifo d/c/pipe
    ps-prepare folder d --test-classes 0.5 -o m.tsv 2>err
    [ "$(rows m.tsv | cut -f2 | sort | uniq -c | tr -s ' \n' ' ')" = " 2 a 3 b 2 c " ]
    grep -q 'd: files that are no images, by name and content: 2, the first is c/readme' err
    grep -q 'd: hidden or made by a machine, not entered: 5, the first is ' err
    grep -q 'd: neither files nor folders: 1, the first is c/pipe' err
    rm d/c/pipe
    tar -C d -cf d.tar a b c '@eaDir'
    ps-prepare folder d.tar --test-classes 0.5 -o t.tsv 2>err
    diff <(rows m.tsv | cut -f2-4) <(rows t.tsv | cut -f2-4)
    grep -q 'd.tar: files that are no images, by name and content: 2, the first is c/readme' err
}

@test "splits in any case; val is test" {
    for i in 1 2; do image d/Train/a/$i.pgm; image d/VAL/b/$i.pgm; done
    ps-prepare -q folder d -o m.tsv
    [ "$(rows m.tsv | cut -f2,3 | sort -u)" = $'a\ttrain\nb\ttest' ]
    image d/Test/c/1.pgm
    refused 1 "d: both a test and a validation folder" ps-prepare folder d -o n.tsv
}

@test "class folders that lead nowhere are errors" {
    for i in 1 2; do image d/a/$i.pgm; image d/b/$i.pgm; done
    ln -s /nowhere/c d/c
    refused 1 "d: dangling symbolic links: 1, the first is c" ps-prepare folder d --test-classes 0.5 -o m.tsv
    ps-prepare -q folder d --test-classes 0.5 --allow-missing -o m.tsv
    ln -sfn c d/c
    refused 1 "d" ps-prepare folder d --test-classes 0.5 -o n.tsv
    rm d/c
    mkdir "d/caf"$'\xe9'
    image "d/caf"$'\xe9/1.pgm'
    refused 1 "a class name that is not UTF-8" ps-prepare folder d --test-classes 0.5 --min-images 1 -o n.tsv
    [ ! -e n.tsv ]
}

@test "a zip with UTF-8 names, in the C locale" {
    for c in 日本 café; do for i in 1 2; do image d/train/$c/$i.pgm; done; done
    image d/test/d/1.pgm
    (cd d && python3 -m zipfile -c ../d.zip train test) || skip "no python3"
    ps-prepare -q folder d -o m.tsv
    LC_ALL=C ps-prepare -q folder d.zip -o z.tsv
    diff <(rows m.tsv | cut -f2-4) <(rows z.tsv | cut -f2-4)
}

@test "archives with holes, or that expand without end" {
    for c in a b; do for i in 1 2; do image d/$c/$i.pgm; done; done
    truncate -s 1M d/a/z.pgm
    tar --sparse -cf d.tar -C d a b
    refused 1 "member 'a/z.pgm' rejected: it is stored with holes" ps-prepare folder d.tar --test-classes 0.5 -o m.tsv
    rm d/a/z.pgm
    head -c 300000000 /dev/zero >d/a/z.pgm
    tar -cf - -C d a b | zstd -q >d.tar.zst
    refused 1 "unpacks to more than 1000 times its size" ps-prepare folder d.tar.zst --test-classes 0.5 -o m.tsv
}
