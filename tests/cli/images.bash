# make_images DIR CLASSES IMAGES: class folders of small PPM pictures; a class is a colour and a
# stripe pattern, an image of it has noise and a shift.
make_images() {
    local dir=$1 classes=$2 images=$3 c i
    for ((c = 0; c < classes; c++)); do
        mkdir -p "$dir/class$c"
        for ((i = 0; i < images; i++)); do
            awk -v c=$c -v i=$i 'BEGIN {
                srand(100 * c + i)
                print "P3 40 32 255"
                for (y = 0; y < 32; y++)
                    for (x = 0; x < 40; x++) {
                        on = int((x + y * (c % 3) + i) / (2 + c % 4)) % 2
                        print on * (255 - 20 * c), on ? 30 * c : 40 * (c % 5), int(rand() * 90)
                    }
            }' >"$dir/class$c/$i.ppm"
        done
    done
}

# make_shards DIR: train.mdb and test.mdb, 4 classes x 6 images each, of disjoint classes.
make_shards() {
    make_images "$1/images" 8 6
    ps-prepare -q folder "$1/images" --test-classes 0.5 -o "$1/m.tsv"
    ps-pack -q -s train "$1/m.tsv" -o "$1/train.mdb"
    ps-pack -q -s test "$1/m.tsv" -o "$1/test.mdb"
}
