# ps-prepare webdataset: tars of pictures, each with a file of the same key that says its class.
bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p t
}

# picture NAME NUMBER: a picture that is like no other.
picture() {
    mkdir -p "$(dirname "t/$1")"
    printf 'P2 2 1 255 %d %d\n' $(($2 / 200)) $(($2 % 200)) >"t/$1"
}

# pack TAR: a tar of all that lies in t, which is then empty; the order is that of WebDataset.
pack() {
    tar cf "$1" -C t --sort=name .
    rm -r t
    mkdir t
}

refused() {
    local expected=$1 text=$2
    shift 2
    run "$@" -q -o m.tsv
    echo "$output"
    [ "$status" -eq "$expected" ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == "ps-prepare: error: "*"$text"* ]]
    [ ! -e m.tsv ]
}

rows() {
    grep -v '^#' m.tsv | tail -n +2
}

@test "classes come from .cls, .json and .txt; several tars are one source" {
    picture 0001.pgm 1 && echo 7 >t/0001.cls && echo 'a caption' >t/0001.txt
    picture 0002.PGM 2 && echo '{"label": 12, "class": "a bird"}' >t/0002.json
    pack set-train-000000.tar
    picture dir/0003.x.pgm 3 && echo '{"label": 12}' >t/dir/0003.json
    picture 0004.pgm 4 && printf ' a bird \r\n' >t/0004.txt
    pack set-train-000001.tar
    picture 0005.pgm 5 && echo 3 >t/0005.cls
    pack set-val-000000.tar
    ps-prepare -q webdataset set-{train-{000000..000001},val-000000}.tar -o m.tsv
    [ "$(rows | cut -f 1-3)" = "$(printf '%s\t%s\t%s\n' 0001.pgm 000007 train \
        dir/0003.x.pgm 000012 train 0002.PGM 'a bird' train 0004.pgm 'a bird' train \
        0005.pgm 000003 test)" ]
    rows | grep -q '0004.pgm.*	set-train-000001.tar$'
    ps-pack -q m.tsv -o train.mdb
    ps-pack --list train.mdb | grep -q '^# shard: train.mdb .*records=4 classes=3'
    ps-prepare -q webdataset *.tar --test-classes 0.5 --min-images 1 -o m.tsv
    [ "$(rows | cut -f 3 | sort | uniq -c | tr -s ' \n' ' ')" = ' 3 test 2 train ' ]
}

@test "samples that lack something are named, and left out if that is asked for" {
    picture a.pgm 1 && echo 1 >t/a.cls
    echo 1 >t/b.cls
    echo 1 >t/c.json.bak
    picture d.pgm 2
    pack train.tar
    refused 1 'keys without a picture: 2, the first is b.cls (--allow-missing' \
        ps-prepare webdataset train.tar
    ps-prepare webdataset train.tar --allow-missing -o m.tsv 2>err
    grep -q 'pictures without a .cls, .json or .txt: 1, the first is d.pgm' err
    [ "$(rows | wc -l)" -eq 1 ]
    rm m.tsv
    picture d.pgm 2
    pack train.tar
    refused 1 'pictures without a .cls, .json or .txt: 1, the first is d.pgm' \
        ps-prepare webdataset train.tar
}

@test "classes that are none are named" {
    local text
    for text in cat 1.5 -1 1000000 99999999999999999999 ''; do
        picture a.pgm 1 && echo "$text" >t/a.cls
        pack train.tar
        refused 1 'train.tar/a.cls: not a class number from 0 to 999999' \
            ps-prepare webdataset train.tar
    done
    for text in '{"class": 1.5}' '{"label": null}' '[3]' '{"caption": "x"}' \
        '{"class": ["a", "b"]}'; do
        picture a.pgm 1 && echo "$text" >t/a.json
        pack train.tar
        refused 1 'train.tar/a.json: no "class" or "label" that is a string or an integer' \
            ps-prepare webdataset train.tar
    done
    picture a.pgm 1 && echo '{"class": "a' >t/a.json
    pack train.tar
    refused 1 'train.tar/a.json: ' ps-prepare webdataset train.tar
    picture a.pgm 1 && printf 'two\nlines' >t/a.txt
    pack train.tar
    refused 1 'a control character in a class name' ps-prepare webdataset train.tar
    picture a.pgm 1 && printf 'a\0b' >t/a.txt
    pack train.tar
    refused 1 'train.tar/a.txt: holds NUL bytes' ps-prepare webdataset train.tar
    picture a.pgm 1 && : >t/a.txt
    pack train.tar
    refused 1 'a class without a name' ps-prepare webdataset train.tar
}

@test "two pictures of one key, members twice, names that leave the tar, links, huge texts" {
    picture a.left.pgm 1 && picture a.right.pgm 2 && echo 1 >t/a.cls
    pack train.tar
    refused 1 'two pictures of one key: a.left.pgm and a.right.pgm' ps-prepare webdataset train.tar
    picture a.pgm 1 && echo 1 >t/a.cls
    tar cf train.tar -C t a.pgm a.cls a.pgm --hard-dereference
    refused 1 'duplicate member a.pgm' ps-prepare webdataset train.tar
    tar cPf train.tar --transform 's,^,../,' t/a.pgm
    refused 1 "its path leaves the folder" ps-prepare webdataset train.tar
    ln -s /etc/passwd t/a.json
    pack train.tar
    refused 1 'it is a symbolic link' ps-prepare webdataset train.tar
    picture a.pgm 1 && truncate -s 65M t/a.json
    pack train.tar
    refused 1 'a.json is too long for an annotation file' ps-prepare webdataset train.tar
}

@test "a split must be known" {
    picture a.pgm 1 && echo 1 >t/a.cls
    pack images-0000.tar
    refused 2 'images-0000.tar: its name says neither train nor test: give --test-classes' \
        ps-prepare webdataset images-0000.tar
    refused 2 "--match applies only to the data set 'folder'" \
        ps-prepare webdataset images-0000.tar --match '*.pgm'
}

# The example of the manual that begins with a line of that beginning.
example() {
    sed -n "/^$2/,/^\.Ed/p" "$BATS_TEST_DIRNAME/../../man/$1" | sed '$d; s/\\e/\\/g'
}

@test "the manual's example turns Parquet into tars" {
    "$PYTHON" -c 'import pyarrow' 2>/dev/null || skip "there is no pyarrow"
    example ps-prepare.1 'import pathlib' >to_files.py
    "$PYTHON" - <<'END'
import pyarrow, pyarrow.parquet
rows = [{"image": {"bytes": b"P2 2 1 255 %d 0\n" % i, "path": None}, "label": i // 3} for i in range(6)]
pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "birds-train.parquet")
END
    example ps-prepare.1 'mkdir birds' | sed "s|python3|'$PYTHON'|" >commands
    sh -e commands
    ps-prepare -q webdataset birds-train.tar -o m.tsv
    [ "$(rows | cut -f 1,2 | tail -1)" = "$(printf '00000005.jpg\t000001')" ]
    ps-pack -q m.tsv -o train.mdb
    ps-pack --list train.mdb | grep -q 'records=6 classes=2'
}
