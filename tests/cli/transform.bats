# The transforms against Pillow, which torchvision uses, and augmentation against torchvision.

@test "transforms agree with Pillow, given the same random numbers" {
    : "${PYTHON:=python3}"
    "$PYTHON" -c 'import PIL, numpy' 2>/dev/null || skip "$PYTHON has no Pillow and numpy"
    peer=$BATS_TEST_DIRNAME/../peer/transform.py
    cd "$BATS_TEST_TMPDIR" || return 1
    "$PYTHON" "$peer" make images
    ps-prepare -q folder images -o m.tsv
    ps-pack -q m.tsv -o a.mdb
    ps-pack -q --extract out a.mdb
    for mode in train test; do
        for size in 32 64 224; do
            "$BUILD/tests/bench-transform" a.mdb $size $mode >raw
            "$PYTHON" "$peer" out $size $mode raw
        done
    done
}

@test "the hashes of unit/augment are those of torchvision's images" {
    : "${PYTHON:=python3}"
    "$PYTHON" -c 'import torchvision' 2>/dev/null || skip "$PYTHON has no torchvision"
    "$PYTHON" "$BATS_TEST_DIRNAME/../peer/augment.py" >"$BATS_TEST_TMPDIR/tables"
    [ "$(grep -c . "$BATS_TEST_TMPDIR/tables")" -eq 19 ]
    while read -r row; do
        grep -qF -- "$row" "$BATS_TEST_DIRNAME/../unit/augment.c"
    done <"$BATS_TEST_TMPDIR/tables"
}
