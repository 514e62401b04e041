# Raw data sets as they are downloaded, of 8 classes x 4 small pictures.

# picture FILE CLASS NUMBER: a PPM, whatever its name; a class is a colour and widths of stripes.
picture() {
    mkdir -p "${1%/*}"
    LC_ALL=C awk -v c="$2" -v i="$3" 'BEGIN {
        srand(100 * c + i)
        printf "P6\n36 32\n255\n"
        for (y = 0; y < 32; y++)
            for (x = 0; x < 36; x++)
                printf "%c%c%c", 1 + 60 * (c % 4) + int((x + i) / (2 + c % 3)) % 2 * 50,
                    1 + 40 * (c % 5) + int(rand() * 20), 1 + 100 * (int((y + i) / (2 + c % 4)) % 2)
    }' >"$1"
}

# raw_cub200 DIR: the archive.
raw_cub200() {
    local top=$1/CUB_200_2011 c k i=0 path
    mkdir -p "$top"
    for c in 1 2 3 4 101 102 103 104; do
        printf '%d %03d.Bird\n' $c $c >>"$top/classes.txt"
        for k in 1 2 3 4; do
            i=$((i + 1))
            path=$(printf '%03d.Bird/bird_%04d.jpg' $c $i)
            echo "$i $path" >>"$top/images.txt"
            echo "$i $c" >>"$top/image_class_labels.txt"
            picture "$top/images/$path" $c $k
        done
    done
    tar -C "$1" -czf "$1/CUB_200_2011.tgz" CUB_200_2011
    rm -r "$top"
}

# raw_sop DIR: the unpacked archive.
raw_sop() {
    local c k i=0 split='train'
    for c in 1 2 3 4 11319 11320 11321 11322; do
        [ $c -gt 11318 ] && split='test'
        [ -s "$1/Ebay_$split.txt" ] ||
            { mkdir -p "$1" && echo 'image_id class_id super_class_id path' >"$1/Ebay_$split.txt"; }
        for k in 0 1 2 3; do
            i=$((i + 1))
            echo "$i $c 1 bicycle_final/${c}_$k.JPG" >>"$1/Ebay_$split.txt"
            picture "$1/bicycle_final/${c}_$k.JPG" $c $k
        done
    done
}

# raw_inshop DIR: the unpacked folders; each class of the test half is asked for and searched in.
raw_inshop() {
    local c k path part
    mkdir -p "$1/Eval"
    printf '32\nimage_name item_id evaluation_status\n' >"$1/Eval/list_eval_partition.txt"
    for c in 1 2 3 4 5 6 7 8; do
        for k in 1 2 3 4; do
            part=train
            [ $c -gt 4 ] && part=$([ $k -gt 2 ] && echo query || echo gallery)
            path=$(printf 'img/WOMEN/Dresses/id_%08d/%02d_1_front.jpg' $c $k)
            printf '%-70s id_%08d %s\n' "$path" $c "$part" >>"$1/Eval/list_eval_partition.txt"
            picture "$1/$path" $c $k
        done
    done
}

# raw_cars196 DIR: of the images car_ims/NNNNNN.jpg the first four of a few classes.
raw_cars196() {
    local first k
    for first in 1 90 8055 8102; do
        for k in 0 1 2 3; do
            picture "$(printf '%s/car_ims/%06d.jpg' "$1" $((first + k)))" $((first % 11)) $k
        done
    done
}
