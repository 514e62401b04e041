# The transforms against Pillow, which torchvision uses.

@test "transforms agree with Pillow, given the same random numbers" {
    python3 -c 'import PIL, numpy' 2>/dev/null || skip "python3 has no Pillow and numpy"
    peer=$BATS_TEST_DIRNAME/../peer/transform.py
    cd "$BATS_TEST_TMPDIR" || return 1
    python3 "$peer" make images
    ps-prepare -q folder images -o m.tsv
    ps-pack -q m.tsv -o a.mdb
    ps-pack -q --extract out a.mdb
    for mode in train test; do
        for size in 32 64 224; do
            "$BUILD/tests/bench-transform" a.mdb $size $mode >raw
            python3 "$peer" out $size $mode raw
        done
    done
}
