# ps-search: neighbours against a plain computation, streams of pictures, indexes and hostile files.
bats_require_minimum_version 1.5.0
load checks
load images

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    export OMP_NUM_THREADS=2
    : "${PYTHON:=python3}"
    export PYTHON
    make_shards .
    ps-train -q --device cpu --data train.mdb --backbone resnet18 --input-size 32 --dim 8 \
        --epochs 0 --seed 3 -o run
    ps-embed -q -m run/last.safetensors -o gallery.emb.zst test.mdb
    ps-embed -q -m run/last.safetensors -o query.emb.zst train.mdb
    cp test.mdb gallery.mdb
    # Rows with names and classes, some of them equal; and queries, some of them rows.
    awk 'function row(i,   d, line) {
            srand(i)
            for (d = 0; d < 12; d++) line = line sprintf("\t%.4f", rand() - 0.4)
            return line
        }
        BEGIN {
            head = "class\tname"
            for (d = 0; d < 12; d++) head = head "\tx" d
            print head >"g.tsv"; print head >"q.tsv"
            for (i = 0; i < 300; i++) print "c" int(i % 7) "\tg" i row(i % 250) >"g.tsv"
            for (i = 0; i < 40; i++) print "c" int(i % 7) "\tq" i row(i % 2 ? 1000 + i : 3 * i) >"q.tsv"
        }'
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return 1
}

search() {
    ps-search -q "$@"
}

# rows: of a table on standard input, without what stands above them.
rows() {
    grep -v '^#' | tail -n +2
}

# alike FILE FILE: rows of the same scores but for the last digit. Equal rows may stand for each other
# where an index is searched alone.
alike() {
    [ "$(wc -l <"$1")" -eq "$(wc -l <"$2")" ]
    paste "$1" "$2" | awk -F'\t' '{ d = $3 - $9; if ($1 != $7 || $2 != $8 || d * d > 5e-12) { print; exit 1 } }'
}

@test "neighbours, scores and ties are those of a plain computation" {
    awk -F'\t' -v k=5 '
        function length_of(v,   d, s) { for (d = 3; d <= 14; d++) s += v[d] * v[d]; return sqrt(s) }
        FNR == 1 { file++; next }
        file == 1 { n++; for (d = 1; d <= 14; d++) g[n, d] = $d; next }
        {
            split($0, v, "\t")
            for (i = 1; i <= n; i++) {
                dot = 0; square = 0
                for (d = 3; d <= 14; d++) { dot += v[d] * g[i, d]; square += g[i, d] ^ 2 }
                cosine[i] = sprintf("%.12f", dot / sqrt(square) / length_of(v)) + 0
                used[i] = 0
            }
            for (rank = 1; rank <= k; rank++) {
                best = 0
                for (i = 1; i <= n; i++)
                    if (!used[i] && (!best || cosine[i] > cosine[best])) best = i
                used[best] = 1
                printf "%s\t%d\t%.6f\t%d\t%s\t%s\n", v[2], rank, cosine[best], best - 1, g[best, 2], g[best, 1]
            }
        }' g.tsv q.tsv >expected
    search --gallery g.tsv -k 5 q.tsv | rows >found
    # the sixth decimal may round the other way
    diff <(cut -f 1,2,4- expected) <(cut -f 1,2,4- found)
    paste <(cut -f 3 expected) <(cut -f 3 found) |
        awk '{ d = $1 - $2; if (d * d > 4e-12) exit 1 }'
    grep -qP 'q2\t1\t1.000000\t6\tg6\t' found
    grep -qP 'q2\t2\t1.000000\t256\tg256\t' found # an equal row comes later
}

@test "the first neighbour has the class as often as ps-eval says" {
    search --gallery g.tsv -k 1 q.tsv | rows | awk -F'\t' '
        NR == FNR { class[$2] = $1; next }
        { right += class[$1] == $6; n++ } END { printf "%.6f\n", right / n }' q.tsv - >mine
    ps-eval -q --recall 1 --metrics recall --gallery g.tsv q.tsv | tail -n 1 | cut -f 3 >theirs
    diff mine theirs
}

@test "JSON says the same as the table" {
    search --gallery gallery.emb.zst -k 3 query.emb.zst | rows >table
    search --gallery gallery.emb.zst -k 3 --json query.emb.zst |
        jq -r '[.query, .rank, (.score * 1e6 | round), .id, .name, .class] | @tsv' >json
    diff <(awk -F'\t' -v OFS='\t' '{ $3 = sprintf("%.0f", $3 * 1e6) } 1' table) json
    printf 'class\tname\tx0\na\t\377\t1\n' >latin.tsv
    search --gallery latin.tsv latin.tsv | grep -qa "$(printf '\377')"
    refused 1 "not UTF-8" ps-search -q --json --gallery latin.tsv latin.tsv
}

@test "several files, standard input, few rows and k beyond them" {
    [ "$(search --gallery g.tsv -k 2 q.tsv q.tsv | rows | wc -l)" -eq 160 ]
    search --gallery gallery.emb.zst - <query.emb.zst >piped
    search --gallery gallery.emb.zst query.emb.zst >direct
    cmp piped direct
    [ "$(search --gallery gallery.emb.zst -k 1000 query.emb.zst | rows | wc -l)" -eq $((24 * 24)) ]
}

@test "--self drop leaves out the row of the same id, not others" {
    search --gallery g.tsv --self drop -k 1 g.tsv | rows >found
    awk -F'\t' '$1 == $5 { exit 1 }' found
    grep -qP '^g3\t1\t1.000000\t253\t' found
    search --gallery g.tsv -k 1 g.tsv | rows | grep -qP '^g3\t1\t1.000000\t3\t'
    refused 1 "different shards" ps-search -q --gallery gallery.emb.zst --self drop query.emb.zst
    ps-search -q --gallery gallery.emb.zst query.emb.zst >/dev/null
    search --build self.faiss --factory Flat g.tsv
    search --index self.faiss --self drop -k 1 g.tsv | rows >indexed
    alike found indexed
}

@test "--min-score leaves out what is less" {
    search --gallery g.tsv -k 300 q.tsv | rows | awk -F'\t' '$3 >= 0.5' >expected
    search --gallery g.tsv -k 300 --min-score 0.5 q.tsv | rows | diff expected -
    [ "$(search --gallery g.tsv --min-score 1 q.tsv | rows | grep -c '^q1[^0-9]')" -eq 0 ]
}

@test "roles: queries are searched in the gallery" {
    awk -F'\t' -v OFS='\t' 'NR == 1 { print "role", $0; next }
        { print NR % 3 ? "gallery" : "query", $0 }' g.tsv >roles.tsv
    search --gallery roles.tsv -k 1 roles.tsv | rows >found
    [ "$(wc -l <found)" -eq 100 ]
    awk -F'\t' '{ if (substr($1, 2) % 3 != 1 || substr($5, 2) % 3 == 1) exit 1 }' found
}

@test "votes weigh exp(score / 0.07), and say with which share" {
    search --gallery g.tsv -k 9 q.tsv | rows | awk -F'\t' -v OFS='\t' '
        function finish(   c, best, total) {
            for (c in sum) { total += sum[c]; if (best == "" || sum[c] > sum[best]) best = c }
            printf "%s\t%s\t%.3f\n", query, best, sum[best] / total
            delete sum
        }
        query != "" && $1 != query { finish() }
        { query = $1; sum[$6] += exp($3 / 0.07) }
        END { finish() }' >expected
    search --gallery g.tsv -k 9 --vote q.tsv | rows | awk -F'\t' '{ printf "%s\t%s\t%.3f\n", $1, $2, $3 }' |
        diff expected -
    [ "$(search --gallery g.tsv -k 9 --vote --json q.tsv | jq -s 'length')" -eq 40 ]
    printf 'class\tx0\tx1\n\t1\t0\n\t0\t1\nz\t-1\t0\n' >few.tsv
    [ "$(search --gallery few.tsv --vote -k 2 few.tsv | rows | sed -n 1p)" = "$(printf '0\t\t0.000000')" ]
    [ "$(search --gallery few.tsv --vote -k 3 few.tsv | rows | sed -n 1p)" = "$(printf '0\tz\t1.000000')" ]
}

@test "pictures have the neighbours of their embeddings" {
    search --gallery gallery.emb.zst -k 4 query.emb.zst | rows >expected
    search --gallery gallery.emb.zst -m run/last.safetensors -k 4 train.mdb | rows >shard
    diff <(cut -f 1,2,4- expected) <(cut -f 1,2,4- shard)
    search --gallery gallery.emb.zst -m run/last.safetensors -k 4 images/class[0-3] | rows >folders
    diff <(cut -f 2,4- expected) <(cut -f 2,4- folders)
    head -n 1 folders | grep -q '^images/class0/0.ppm'
    printf '%s\0' images/class0/*.ppm >names
    search --gallery gallery.emb.zst -m run/last.safetensors -k 4 --files0-from names | rows |
        diff <(head -n 24 folders) -
}

@test "a stream is answered name by name" {
    mkfifo names.fifo answers
    search --gallery gallery.emb.zst -m run/last.safetensors -k 1 --files0-from names.fifo >answers 3>&- &
    exec 8<answers 7>names.fifo
    local i line
    for i in 0 1 2; do
        printf 'images/class5/%d.ppm\0' $i >&7
        while read -r -t 20 line <&8 && [[ $line != images* ]]; do :; done
        [[ $line == images/class5/$i.ppm*1.000000*class5 ]]
    done
    exec 7>&-
    wait $!
    exec 8<&-
    rm names.fifo answers
}

@test "SIGTERM ends a stream with 143, and leaves no file" {
    mkfifo names.fifo
    for output in - stopped.tsv; do
        ps-search -q --gallery gallery.emb.zst -m run/last.safetensors --files0-from names.fifo -o $output \
            --sheet stopped.html >text 2>err 3>&- &
        pid=$!
        exec 7>names.fifo
        printf 'images/class5/0.ppm\0' >&7
        sleep 1
        kill -TERM $pid
        status=0 && wait $pid || status=$?
        exec 7>&-
        [ "$status" -eq 143 ]
        grep -q interrupted err
        [ ! -e stopped.tsv ]
        [ ! -e stopped.html ]
        [ "$output" != - ] || [ "$(rows <text | wc -l)" -eq 10 ]
    done
    rm names.fifo
    [ -z "$(find . -name '.stopped*')" ]
}

@test "broken pictures are named; the others are answered" {
    mkdir broken
    cp images/class5/0.ppm broken
    head -c 100 images/class5/1.ppm >broken/cut.ppm
    run --separate-stderr -1 search --gallery gallery.emb.zst -m run/last.safetensors -k 1 broken absent.jpg
    [[ $stderr == *broken/cut.ppm* && $stderr == *"absent.jpg: cannot open"* ]]
    [[ $stderr == *"2 of 3 images cannot be read"* ]]
    [[ $output == *"broken/0.ppm"*class5* ]]
    search --gallery gallery.emb.zst -m run/last.safetensors -k 1 -o good.tsv --quarantine bad.tsv broken absent.jpg
    [ "$(rows <good.tsv | wc -l)" -eq 1 ]
    diff <(cut -f 1 bad.tsv) <(printf 'path\nbroken/cut.ppm\nabsent.jpg\n')
}

@test "output that cannot be written ends the search" {
    refused 1 "standard output" sh -c 'ps-search -q --gallery g.tsv q.tsv >&-'
    refused 1 "No space left" sh -c 'ps-search -q --gallery g.tsv q.tsv >/dev/full'
    endless() { while printf 'images/class5/0.ppm\0'; do :; done; }
    full() {
        endless 2>/dev/null | timeout 60 ps-search -q --gallery gallery.emb.zst -m run/last.safetensors \
            --files0-from - >/dev/full
    }
    refused 1 "No space left" full
    endless 2>/dev/null | timeout 60 ps-search -q --gallery gallery.emb.zst -m run/last.safetensors \
        --files0-from - | head -n 3 >/dev/null
    refused 1 "no/x.tsv: cannot create" ps-search --gallery absent.tsv absent.tsv -o no/x.tsv
    refused 1 "no/x.html: cannot create" ps-search --gallery absent.tsv absent.tsv --sheet no/x.html
    refused 1 "no/x.faiss: cannot create" ps-search --build no/x.faiss absent.tsv
}

@test "what does not belong together is named" {
    ps-train -q --device cpu --data train.mdb --backbone resnet18 --input-size 32 --dim 8 --epochs 0 \
        --seed 4 -o other
    ps-embed -q -m other/last.safetensors -o other.emb.zst train.mdb
    ps-embed -q --raw-pixels 4 -o raw.emb.zst train.mdb
    for file in other.emb.zst raw.emb.zst; do
        refused 1 "$file is of model" ps-search -q --gallery gallery.emb.zst $file
    done
    refused 1 "other/last.safetensors is of model" ps-search -q --gallery gallery.emb.zst \
        -m other/last.safetensors images
    refused 1 "has 8 dimensions, g.tsv has 12" ps-search -q --gallery g.tsv query.emb.zst
    refused 1 "has 8 dimensions, g.tsv has 12" ps-search -q --gallery g.tsv -m run/last.safetensors images
    search --build mine.faiss gallery.emb.zst
    refused 1 "is of model" ps-search -q --index mine.faiss other.emb.zst
    refused 1 "is of model" ps-search -q --index mine.faiss --gallery other.emb.zst query.emb.zst
    search --build g.faiss g.tsv
    head -n 200 g.tsv >part.tsv
    refused 1 "other rows" ps-search -q --index g.faiss --gallery part.tsv q.tsv
}

@test "bad embeddings are named with their row" {
    sed '4s/\t[^\t]*$/\tnan/' g.tsv >nan.tsv
    refused 1 "nan.tsv: row 2 (g2): value 11 is not a finite number" ps-search -q --gallery nan.tsv q.tsv
    awk -F'\t' -v OFS='\t' 'NR == 5 { for (i = 3; i <= NF; i++) $i = 0 } 1' g.tsv >zero.tsv
    refused 1 "zero.tsv: row 3 (g3): all zero" ps-search -q --gallery zero.tsv q.tsv
    refused 1 "zero.tsv: row 3 (g3): all zero" ps-search -q --gallery g.tsv zero.tsv
    head -c 300 gallery.emb.zst >cut.emb.zst
    refused 1 cut.emb.zst ps-search -q --gallery cut.emb.zst q.tsv
    printf '\211PNG\r\n\032\n%0100d' 0 >a.png
    refused 1 "see ps-embed" ps-search -q --gallery g.tsv a.png
    refused 1 absent ps-search -q --gallery absent q.tsv
}

@test "wrong usage exits with 2" {
    refused 2 "give --gallery" ps-search q.tsv
    refused 2 "no embedding file" ps-search --gallery g.tsv
    refused 2 "no pictures" ps-search --gallery g.tsv -m run/last.safetensors
    refused 2 "requires --model" ps-search --gallery g.tsv --files0-from -
    refused 2 "pictures have no ids" ps-search --gallery g.tsv -m run/last.safetensors --self drop images
    refused 2 "requires --sheet" ps-search --gallery g.tsv --shard test.mdb q.tsv
    refused 2 "requires --index" ps-search --gallery g.tsv --parameters nprobe=2 q.tsv
    refused 2 "--build takes one file" ps-search --build x.faiss
    refused 2 "--check requires" ps-search --check 5 --gallery g.tsv
    refused 2 "--neighbours" ps-search -k 0 --gallery g.tsv q.tsv
}

@test "the page has all pictures in it, frames by class, and escapes names" {
    search --gallery gallery.emb.zst -k 2 query.emb.zst --shard test.mdb --sheet page.html >/dev/null
    [ "$(grep -o '<img' page.html | wc -l)" -eq 72 ] # queries are files here
    [ "$(grep -c 'src="data:image/jpeg;base64,' page.html)" -eq 72 ]
    [ "$(grep -Ec 'https?:|src="[^d]|<script|<link' page.html)" -eq 0 ]
    [ "$(grep -c 'class="other"' page.html)" -eq 48 ]
    search --gallery gallery.emb.zst -k 2 gallery.emb.zst --sheet page.html >/dev/null
    [ "$(grep -c 'class="same"' page.html)" -ge 24 ]
    [ "$(grep -o '<img' page.html | wc -l)" -eq 72 ]
    search --gallery gallery.emb.zst -m run/last.safetensors -k 2 images/class5/0.ppm --sheet page.html >/dev/null
    [ "$(grep -o '<img' page.html | wc -l)" -eq 3 ]
    printf 'class\tname\tx0\n<b>&\t<script>"x"\t1\n' >odd.tsv
    run --separate-stderr -0 ps-search --gallery odd.tsv odd.tsv --sheet page.html
    [[ $stderr == *"2 pictures of the page were not found"* ]]
    grep -q '&lt;b&gt;&amp;' page.html
    run ! grep -q '<script\|<b>' page.html
}

@test "an index finds what exact search finds, or says how much" {
    search --gallery g.tsv -k 5 q.tsv | rows >exact
    for factory in Flat HNSW16 IVF4,Flat:nprobe=4 SQfp16 IVF4,SQ8:nprobe=4 PQ4x4 PCA6,Flat OPQ4,IVF4,PQ4x4 \
        IVF4,PQ4x4,RFlat; do
        search --build i.faiss --factory $factory --check 50 -k 5 g.tsv -o check.tsv
        [ "$(cut -f 1-5 check.tsv)" = "$(printf 'index\trows\tdim\tqueries\tk\ni.faiss\t300\t12\t50\t5')" ]
        recall=$(rows <check.tsv | cut -f 6)
        search --index i.faiss -k 5 q.tsv | rows >found
        [ "$(wc -l <found)" -gt 0 ]
        awk -F'\t' 'NF != 6 || $3 > 1 { exit 1 }' found
        case $factory in
        Flat | IVF4,Flat*)
            [ "$recall" = 1.000000 ]
            alike exact found
            ;;
        HNSW16) awk -v r="$recall" 'BEGIN { exit !(r > 0.9) }' ;;
        *) awk -v r="$recall" 'BEGIN { exit !(0 < r && r <= 1) }' ;;
        esac
        search --index i.faiss --gallery g.tsv -k 5 q.tsv | rows | grep -qP 'q2\t1\t1.000000\t6\t'
        search --check 50 --index i.faiss --gallery g.tsv -k 5 | diff check.tsv -
    done
    search --build i.faiss --factory IVF16,Flat g.tsv
    few=$(search --check 50 --index i.faiss --gallery g.tsv | rows | cut -f 6)
    all=$(search --check 50 --index i.faiss --gallery g.tsv --parameters nprobe=16 | rows | cut -f 6)
    [ "$all" = 1.000000 ]
    awk -v f="$few" 'BEGIN { exit !(f < 1) }'
}

@test "names, ids and classes lie beside an index" {
    search --build mine.faiss --factory Flat gallery.emb.zst
    grep -q '^# model_id: [0-9a-f]' mine.faiss.tsv
    search --gallery gallery.emb.zst query.emb.zst | rows >exact
    search --index mine.faiss query.emb.zst | rows >found
    diff <(cut -f 1,2,4- exact) <(cut -f 1,2,4- found)
    printf 'class\tid\tx0\tx1\nz\t7\t1\t0\n\t9\t0\t1\n' >unnamed.tsv
    search --build mine.faiss --factory Flat unnamed.tsv
    [ "$(search --index mine.faiss unnamed.tsv | rows)" = "$(search --gallery unnamed.tsv unnamed.tsv | rows)" ]
    sed -i '$d' mine.faiss.tsv
    refused 1 "mine.faiss.tsv: 1 labels for the 2 rows" ps-search -q --index mine.faiss unnamed.tsv
    rm mine.faiss.tsv
    refused 1 "mine.faiss.tsv: cannot open" ps-search -q --index mine.faiss unnamed.tsv
}

@test "an index that cannot be built leaves the old one" {
    search --build kept.faiss --factory Flat g.tsv
    cksum kept.faiss kept.faiss.tsv >before
    refused 1 "index 'NONSENSE'" ps-search -q --build kept.faiss --factory NONSENSE g.tsv
    refused 1 "index 'HNSW1'" ps-search -q --build kept.faiss --factory HNSW1 g.tsv
    refused 1 "index 'NSG8'" ps-search -q --build kept.faiss --factory NSG8 g.tsv
    limited() { (ulimit -f 4 && ps-search -q --build kept.faiss --factory Flat g.tsv); }
    refused 1 "cannot write: File too large" limited
    cksum kept.faiss kept.faiss.tsv | diff before -
    [ -z "$(find . -name '.kept*')" ]
    refused 1 "a parameter" sh -c 'ps-search -q --index kept.faiss --parameters nonsense=1 g.tsv 2>&1 |
        sed "s/.*nonsense.*/ps-search: error: a parameter/" >&2; exit 1'
    search --build kept.faiss --factory SQ8,RFlat g.tsv
    for factor in 0.5 -1 nan 1e9; do
        refused 1 "kept.faiss: k_factor_rf=$factor does not work" \
            ps-search -q --index kept.faiss --parameters k_factor_rf=$factor g.tsv
    done
    search --index kept.faiss --parameters k_factor_rf=2 g.tsv
}

@test "Python's faiss reads our indexes, and we its own" {
    "$PYTHON" -c 'import faiss' 2>/dev/null || PYTHON=/usr/bin/python3
    "$PYTHON" -c 'import faiss' 2>/dev/null || skip "$PYTHON has no faiss"
    search --build ours.faiss --factory HNSW16 g.tsv
    search --index ours.faiss -k 3 q.tsv | rows >ours
    "$PYTHON" - <<'END' >theirs
import faiss, numpy
rows = [line.rstrip("\n").split("\t") for line in open("q.tsv")][1:]
x = numpy.array([[float(v) for v in row[2:]] for row in rows], "f4")
x /= numpy.linalg.norm(x, axis=1, keepdims=True)
index = faiss.read_index("ours.faiss")
for row, scores, found in zip(rows, *index.search(x, 3)):
    for rank in range(3):
        print(row[1], rank + 1, "%.4f" % scores[rank], found[rank], sep="\t")
y = numpy.array([index.reconstruct(i) for i in range(index.ntotal)])
for name, made in (("flat", faiss.IndexFlatIP(12)), ("l2", faiss.IndexFlatL2(12)),
                   ("map", faiss.index_factory(12, "IDMap,Flat", faiss.METRIC_INNER_PRODUCT))):
    if name == "map":
        made.add_with_ids(y, numpy.arange(1000, 1000 + len(y)))
    else:
        made.add(y)
    faiss.write_index(made, name + ".faiss")
END
    diff theirs <(awk -F'\t' -v OFS='\t' '{ print $1, $2, sprintf("%.4f", $3), $4 }' ours)
    for name in flat l2 map; do cp ours.faiss.tsv $name.faiss.tsv; done
    search --gallery g.tsv -k 3 q.tsv | rows >exact
    search --index flat.faiss -k 3 q.tsv | rows >found
    alike exact found
    refused 1 "l2.faiss: compares by another metric" ps-search -q --index l2.faiss q.tsv
    refused 1 "of a kind that is not read" ps-search -q --index map.faiss q.tsv
}

@test "damaged indexes end in one error line, or in answers" {
    for factory in Flat HNSW4 IVF4,PQ4x4 OPQ4,IVF4,SQ8 IVF4,Flat PQ4x4,RFlat; do
        search --build whole.faiss --factory $factory g.tsv
        cp whole.faiss.tsv bad.faiss.tsv
        size=$(stat -c %s whole.faiss)
        for at in 0 3 40 $((size / 2)) $((size - 1)); do
            head -c $at whole.faiss >bad.faiss
            refused 1 bad.faiss ps-search -q --index bad.faiss q.tsv
        done
        { cat whole.faiss && echo; } >bad.faiss
        refused 1 "or longer than the index" ps-search -q --index bad.faiss q.tsv
        cp whole.faiss bad.faiss
        printf '\177' | dd of=bad.faiss bs=1 seek=9 conv=notrunc status=none # the number of rows
        refused 1 damaged ps-search -q --index bad.faiss q.tsv
        if [ $factory = HNSW4 ]; then
            cp whole.faiss bad.faiss
            printf '\177%.0s' 1 2 3 4 5 6 7 8 | dd of=bad.faiss bs=1 seek=6000 conv=notrunc status=none
            refused 1 "a link to a row that does not exist" ps-search -q --index bad.faiss q.tsv
        fi
        # the sizes are at the beginning and the end, the links of a graph between
        for at in $(seq 0 9 120) $((size / 2)) $((size / 2 + 97)) $((size - 99)) $((size - 6)); do
            cp whole.faiss bad.faiss
            printf '\177' | dd of=bad.faiss bs=1 seek="$at" conv=notrunc status=none
            run timeout 60 ps-search -q --index bad.faiss -k 3 q.tsv
            [ "$status" -le 1 ]
            [ "$status" -eq 0 ] || [ "$(grep -c error: <<<"$output")" -eq 1 ]
        done
    done
    refused 1 "g.tsv" ps-search -q --index g.tsv q.tsv
    mkfifo pipe.faiss
    refused 1 "pipe.faiss" timeout 10 ps-search -q --index pipe.faiss q.tsv
    rm pipe.faiss
}

@test "the examples of the manual run" {
    mkdir -p photos/more
    cp images/class5/0.ppm photos/new.ppm
    cp images/class6/[01].ppm photos/more
    awk '/^\.Sh EXAMPLES/ { on = 1 } /^\.Sh SEE/ { on = 0 }
        on && /^\.Bd/ { n++; print "#" n; code = 1; next } /^\.Ed/ { code = 0 }
        on && code { gsub(/\\e/, "\\"); print }' "$BATS_TEST_DIRNAME/../../man/ps-search.1" >examples
    [ "$(grep -c '^#' examples)" -eq 7 ]
    for i in 1 2 3 4 5 6 7; do
        awk -v n="#$i" '/^#[0-9]/ { on = $0 == n; next } on' examples >example
        if [ $i -eq 7 ]; then
            /usr/bin/python3 -c 'import faiss' 2>/dev/null || continue
            sed -i 's|^python3|/usr/bin/python3|' example
        fi
        bash -e -o pipefail example >"example$i"
    done
    [ "$(rows <example1 | wc -l)" -eq 120 ]
    [[ $(rows <example2 | head -n 1) == photos/new.ppm*class5*0.* ]]
    [ "$(rows <duplicates.tsv | wc -l)" -gt 24 ]
    [ "$(grep -o '<img' page.html | wc -l)" -eq 33 ]
    grep -q "photos/new.ppm$(printf '\t')class5" example5
    grep -q "gallery.faiss$(printf '\t')24$(printf '\t')8" example6
}
