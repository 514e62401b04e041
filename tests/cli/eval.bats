# ps-eval on the golden embeddings and on small tables written here.

bats_require_minimum_version 1.5.0

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    golden=$BATS_TEST_DIRNAME/../golden/eval
    # Two classes on two axes, a third item of each between them, and one item alone in its class.
    printf 'label\tname\tx0\tx1\n%s' '0	a	1	0
0	b	1	0.1
0	c	1	0.9
1	d	0	1
1	e	0.1	1
1	f	0.8	1
2	g	-1	-1
' >toy.tsv
}

# cell ROW COLUMN: of the table in $output; row 1 is the first below the header.
cell() {
    grep -v '^#' <<<"$output" | awk -F'\t' -v row="$1" -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
        NR == row + 1 { print $at }'
}

@test "golden embeddings give the reference's metrics" {
    run ps-eval "$golden/small.safetensors" "$golden/cars_like.safetensors"
    [ "$status" -eq 0 ]
    [ "$(cell 1 recall@1)" = 0.600000 ]
    [ "$(cell 2 recall@1)" = 0.490000 ]
    [ "$(cell 2 map@r)" = 0.175560 ]
    [ "$(cell 2 queries)" = 1200 ]
}

@test "a packed file, standard input and JSON say the same" {
    zstd -q "$golden/small.safetensors" -o small.emb.zst
    run ps-eval --json - <small.emb.zst
    [ "$status" -eq 0 ]
    [ "$(jq -r '."recall@1"' <<<"$output")" = 0.600000 ] || [ "$(jq '."recall@1"' <<<"$output")" = 0.6 ]
    [ "$(jq -r .file <<<"$output")" = "standard input" ]
}

@test "recall, percent, tags and the lone query" {
    run ps-eval --recall 1,3 --percent --tag setting=PS,seed=7 toy.tsv
    [ "$status" -eq 0 ]
    grep -qx '# unit: percent' <<<"$output"
    [ "$(ps-eval --recall 1,3 --percent --tag setting=PS --tag seed=7 toy.tsv)" = "$output" ]
    [ "$(cell 1 setting)" = PS ]
    [ "$(cell 1 seed)" = 7 ]
    # c and f are each other's nearest, the others find their own.
    [ "$(cell 1 recall@1)" = 66.666667 ]
    [ "$(cell 1 recall@3)" = 100.000000 ]
    [ "$(cell 1 queries)" = 6 ]
    [ "$(cell 1 lone)" = 1 ]
}

@test "all metrics, intervals around the mean, the same twice" {
    run ps-eval --metrics all --bootstrap 200 --resample classes "$golden/small.safetensors"
    [ "$status" -eq 0 ]
    for metric in recall@1 rp map@r precision@4 map; do
        awk -v m="$(cell 1 "$metric")" -v l="$(cell 1 "${metric}_low")" -v h="$(cell 1 "${metric}_high")" \
            'BEGIN { exit !(l < m && m < h) }'
    done
    first=$output
    run ps-eval --metrics all --bootstrap 200 --resample classes "$golden/small.safetensors"
    [ "$output" = "$first" ]
    awk -v n="$(cell 1 nmi)" -v a="$(cell 1 ami)" 'BEGIN { exit !(0 < a && a < n && n < 1) }'
}

@test "first dimensions, one row each" {
    run ps-eval --dims 4,8 "$golden/small.safetensors"
    [ "$(cell 1 dim)" = 4 ]
    [ "$(cell 2 recall@1)" = 0.600000 ]
    run ps-eval --dims 9 "$golden/small.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *"has 8 dimensions, not 9"* ]]
}

@test "principal components keep the neighbours, a few of them nearly" {
    run ps-eval --pca "$golden/cars_like.safetensors" "$golden/cars_like.safetensors"
    [ "$status" -eq 0 ]
    awk -v r="$(cell 1 recall@1)" 'BEGIN { exit !(r > 0.45 && r < 0.53) }'
    run ps-eval --whiten "$golden/small.safetensors"
    [ "$status" -eq 2 ]
}

@test "ensembles: joined with itself nothing changes, concatenated everything is found" {
    file=$golden/small.safetensors
    for how in join average; do
        run ps-eval --ensemble $how "$file" "$file"
        [ "$(cell 1 map@r)" = 0.370253 ]
    done
    [ "$(cell 1 dim)" = 8 ]
    run ps-eval --ensemble concat "$file" "$file"
    [ "$(cell 1 recall@1)" = 1.000000 ]
    [ "$(cell 1 queries)" = 120 ]
    run ps-eval --ensemble average "$file" "$golden/cars_like.safetensors"
    [ "$status" -eq 1 ]
    [ "${#lines[@]}" -eq 1 ]
}

@test "a row for each class, with its name" {
    sed 's/^0/zero/; s/^1/one/; s/^2/two/; s/^label/class/' toy.tsv >named.tsv
    run ps-eval --per-class --recall 1 named.tsv
    [ "$(cell 1 class)" = one ]
    [ "$(cell 3 class)" = zero ]
    [ "$(cell 3 recall@1)" = 0.666667 ]
    [ "$(cell 2 lone)" = 1 ]
    [ -z "$(cell 2 recall@1)" ]
}

@test "queries against a gallery, from two files and from roles" {
    printf 'label\trole\tx0\tx1\n0\tquery\t1\t0\n0\tgallery\t1\t0.2\n1\tgallery\t1\t0.1\n' >roles.tsv
    run ps-eval --recall 1,2 roles.tsv
    [ "$(cell 1 recall@1)" = 0.000000 ]
    [ "$(cell 1 recall@2)" = 1.000000 ]
    [ "$(cell 1 queries)" = 1 ]
    [ "$(cell 1 gallery)" = 2 ]
    run ps-eval --recall 1 --gallery toy.tsv toy.tsv
    [ "$(cell 1 recall@1)" = 1.000000 ]
    [ "$(cell 1 lone)" = 0 ]
}

@test "an approximate index comes after the exact row" {
    run ps-eval --recall 1 --index IVF4,Flat:nprobe=4 "$golden/cars_like.safetensors"
    [ "$(cell 1 index)" = exact ]
    [ "$(cell 2 recall@1)" = "$(cell 1 recall@1)" ]
    run ps-eval --index NONSENSE "$golden/small.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *NONSENSE* ]]
}

@test "npy with labels" {
    {
        printf '\x93NUMPY\x01\x00\x76\x00'
        printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1), }"
        printf '\x00\x00\x80\x3f\x00\x00\x80\x3f\x00\x00\x80\xbf'
    } >x.npy
    printf 'label\ncat\ncat\ndog\n' >l.tsv
    run ps-eval --labels l.tsv x.npy
    [ "$status" -eq 0 ]
    [ "$(cell 1 recall@1)" = 1.000000 ]
    [ "$(cell 1 lone)" = 1 ]
    run ps-eval x.npy
    [ "$status" -eq 2 ]
    [[ $output == *--labels* ]]
    sed 's/<f4/>f4/' x.npy >big.npy
    run ps-eval --labels l.tsv big.npy
    [[ $output == *"big.npy: values of type '>f4'; save them"* ]]
}

@test "bad input: one line, status 1, no output" {
    zstd -q "$golden/small.safetensors" -o good.emb.zst
    head -c 1000 good.emb.zst >cut.emb.zst
    cp good.emb.zst flipped.emb.zst
    printf '\xff' | dd of=flipped.emb.zst bs=1 seek=900 conv=notrunc status=none
    head -c 1000 "$golden/small.safetensors" >cut.safetensors
    echo hello >text.emb.zst
    : >empty.emb.zst
    printf 'label\tx0\n0\tnan\n' >nan.tsv
    printf 'label\tx0\n0\t1\n0\t0\n' >zero.tsv
    printf 'label\tx0\n0\t1\n' >alone.tsv
    for file in cut.emb.zst flipped.emb.zst cut.safetensors text.emb.zst empty.emb.zst absent.emb.zst \
        nan.tsv zero.tsv alone.tsv; do
        run ps-eval -o table.tsv "$file"
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == "ps-eval: error: $file"* ]]
        [ ! -e table.tsv ]
    done
    run ps-eval zero.tsv
    [[ $output == *"row 1"* ]]
}

@test "wrong usage is status 2, a full disk status 1" {
    for options in "" "--recall 2,1 x" "--recall 0 x" "--metrics best x" "--metrics= x" "--metrics recall, x" \
        "--tag PS x" "--nonsense x"; do
        # shellcheck disable=SC2086
        run ps-eval $options
        [ "$status" -eq 2 ]
    done
    run bash -c 'ps-eval "$1" >/dev/full' - "$golden/small.safetensors"
    [ "$status" -eq 1 ]
    run ps-eval -o /dev/full "$golden/small.safetensors"
    [ "$status" -eq 1 ]
}

# Rows of the classes named in $1, in directions that the names tell.
named() {
    printf 'label\tx0\tx1\tx2\n'
    for class in $1; do
        case $class in
            a) printf 'a\t1\t0\t0\na\t1\t0.1\t0\n' ;;
            b) printf 'b\t0\t1\t0\nb\t0\t1\t0.1\n' ;;
            c) printf 'c\t0\t0\t1\nc\t0.1\t0\t1\n' ;;
        esac
    done
}

@test "classes of two files are matched by name, not by number" {
    named "b c" >q.tsv
    named "a b c" >g.tsv
    run --separate-stderr ps-eval --recall 1 --gallery g.tsv q.tsv
    [ "$(cell 1 recall@1)" = 1.000000 ]
    [ -z "$stderr" ]
    run ps-eval --recall 1 --gallery g.tsv q.tsv q.tsv
    [ "$(cell 2 recall@1)" = 1.000000 ]
    run ps-eval --metrics precision --recall 3 --ensemble concat q.tsv g.tsv
    [ "$(cell 1 precision@3)" = 0.866667 ] # b and c fill three places, a only one
    run ps-eval --per-class --recall 1 --ensemble concat q.tsv g.tsv
    [ "$(cell 3 class)" = c ]
}

@test "classes that cannot be matched are named" {
    named "a b" | sed 's/^a/0/; s/^b/1/' >numbers.tsv
    named "a b" >names.tsv
    named "c" >c.tsv
    run ps-eval --recall 1 --gallery names.tsv numbers.tsv
    [ "$status" -eq 1 ]
    grep -q 'numbers.tsv has no class names' <<<"$output"
    grep -q 'numbers.tsv and names.tsv have no class in common' <<<"$output"
    run ps-eval --gallery names.tsv c.tsv
    [ "$status" -eq 1 ]
    grep -q 'no class in common' <<<"$output"
    run --separate-stderr ps-eval --recall 1 --gallery numbers.tsv numbers.tsv # numbers mean the same
    [ "$status" -eq 0 ]
    [ "$(cell 1 recall@1)" = 1.000000 ]
}

@test "--labels replaces the labels of any embedding file" {
    run ps-eval --recall 1 --labels <(printf 'label\nx\ny\nz\nx\ny\nz\nz\n') toy.tsv
    [ "$status" -eq 0 ]
    [ "$(cell 1 recall@1)" = 0.285714 ] # c and f are of z
    run ps-eval --labels <(printf 'label\n1\n') "$golden/small.safetensors"
    [ "$status" -eq 1 ]
    grep -q '1 labels for the' <<<"$output"
    printf 'class\tname\n' >l.tsv
    awk -F'\t' 'NR > 1 { print $1 "\t" $2 }' toy.tsv >>l.tsv
    ps-eval --labels l.tsv toy.tsv
    { head -n 1 l.tsv && tail -n +2 l.tsv | tac; } >back.tsv
    run ps-eval --labels back.tsv toy.tsv
    [ "$status" -eq 1 ]
    [ "$output" = "ps-eval: error: back.tsv:2: name 'g', but row 0 of toy.tsv is 'a'" ]
}

@test "roles of --labels replace those of the file; a class with a line break is refused" {
    awk -F'\t' -v OFS='\t' 'NR == 1 { print $0, "role" } NR > 1 { print $0, "both" }' toy.tsv >roles.tsv
    printf 'label\trole\n0\tquery\n0\tgallery\n0\tgallery\n1\tquery\n1\tgallery\n1\tgallery\n2\tgallery\n' >l.tsv
    run ps-eval --labels l.tsv roles.tsv
    [ "$(cell 1 queries)" = 2 ]
    [ "$(cell 1 gallery)" = 5 ]
    printf 'class,x0\n"a\nb",1\na,2\n' >break.csv
    run ps-eval break.csv
    [ "$status" -eq 1 ]
    [ "$output" = "ps-eval: error: break.csv:2: class 'a?b' has a line break" ]
}

@test "what is no embedding file is called what it is" {
    printf 'label,x0\n1,2\n' >a.txt
    gzip -k a.txt
    printf '\xff\xd8\xff\xe0 12345678' >a.jpg
    printf 'PK\3\4%22s\5\0\0\0x.jpg' '' >a.npz
    printf '\x89PNG\r\n\x1a\n' | zstd -q >a.zst
    while read -r file kind; do
        run ps-eval "$file"
        [ "$status" -eq 1 ]
        grep -q "error: $file: this is .*$kind.*, not embeddings" <<<"$output"
    done <<'L'
a.txt comma-separated
a.txt.gz gzip
a.jpg JPEG
a.npz zip
a.zst PNG
L
}

@test "zstd with skippable frames before and after" {
    zstd -q "$golden/small.safetensors" -o small.zst
    { printf '\x50\x2a\x4d\x18\3\0\0\0abc'; cat small.zst; printf '\x5f\x2a\x4d\x18\1\0\0\0x'; } >skip.emb.zst
    run ps-eval --recall 1 skip.emb.zst
    [ "$status" -eq 0 ]
    [ "$(cell 1 recall@1)" = 0.600000 ]
}
