#!/usr/bin/env bats
# ps-view: pictures and reports.

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    mkdir -p runs/plain/seed1 runs/plain/seed2 runs/ps/seed1
    printf '{"epoch":1,"recall@1":0.2,"loss":3}\n{"epoch":2,"recall@1":0.3}\n' >runs/plain/seed1/log.jsonl
    printf '{"epoch":1,"recall@1":0.3}\n{"epoch":2,"recall@1":0.5}\n' >runs/plain/seed2/log.jsonl
    printf '{"epoch":1,"recall@1":0.4}\n{"epoch":2,"recall@1":0.6}\n' >runs/ps/seed1/log.jsonl
    for class in a b c; do
        mkdir -p "images/train/$class" "images/test/$class$class"
        for i in 1 2 3 4; do
            for folder in "images/train/$class" "images/test/$class$class"; do
                { printf 'P6\n20 16\n255\n'; awk -v s="$class$i" 'BEGIN { n = 0
                    for (k = 1; k <= length(s); k++) n = n * 7 + index("abc1234", substr(s, k, 1))
                    for (k = 0; k < 20 * 16 * 3; k++) printf "%c", 65 + (n * 5 + k % 3 * n) % 60 }'; } >"$folder/$i.ppm"
            done
        done
    done
    ps-prepare folder images -o m.tsv && ps-pack -s test m.tsv -o test.mdb
    ps-embed --raw-pixels 4 test.mdb -o raw.emb.zst
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return 1
}

@test "curves: one curve a setting, with a band where there are several seeds" {
    ps-view curves runs/plain/seed1 runs/plain/seed2/ runs/ps/seed1 -o c.svg
    grep -q '>plain<' c.svg
    grep -q '>ps<' c.svg
    [ "$(grep -c 'filledcurves\|gnuplot_plot_' c.svg)" -ge 3 ]
}

@test "curves: one evaluation is a point, the ninth setting's line is dashed" {
    for i in 1 2 3 4 5 6 7 8 9; do
        mkdir -p many/$i/seed1
        printf '{"epoch":1,"rp":0.%d}\n' $i $i >many/$i/seed1/log.jsonl
    done
    ps-view curves many/*/seed1 --metric rp -o m.svg
    # each curve's point, and that of the legend
    [ "$(grep -o '<use xlink:href' m.svg | wc -l)" -ge 18 ]
    [ "$(grep stroke-dasharray m.svg | grep -vc gridline)" -eq 1 ]
}

@test "curves: a metric that is not there is named" {
    run ps-view curves runs/ps/seed1 --metric loss -o x.svg
    [ "$status" -eq 1 ]
    [[ $output == *"no line has an epoch and a number 'loss'"* ]]
    [ ! -e x.svg ]
}

@test "curves: a broken log is named with its line" {
    mkdir -p broken
    printf '{"epoch":1,"recall@1":0.2}\n{"epoch":' >broken/log.jsonl
    run ps-view curves broken -o x.svg
    [ "$status" -eq 1 ]
    [[ $output == *"broken/log.jsonl:2: not a JSON object"* ]]
}

@test "neighbours: a sheet of the asked size" {
    ps-view neighbours raw.emb.zst --shard test.mdb --rows 2 --columns 3 --cell 16 -o n.png
    # as wide as the legend; 28 + 2 rows of (16 + 2 x 4 + 6 + 2 x 8 + 4) high
    [ "$(od -An -tu1 -j16 -N8 n.png | tr -s ' ')" = " 0 0 1 84 0 0 0 128" ]
}

@test "neighbours: names, similarities, a legend, two rows of a class at most" {
    ps-view neighbours raw.emb.zst --shard test.mdb --rows 12 --columns 3 -o n.svg
    [ "$(grep -c '#285ac8' n.svg)" -eq 7 ] # the legend, and two queries of three classes
    for text in query 'same class' 'other class' aa 1.ppm; do
        grep -q ">$text</text>" n.svg
    done
    grep -Eq '>0\.[0-9]{3} [1-4]\.ppm</text>' n.svg
}

@test "neighbours: queries are searched in the gallery" {
    ps-embed -q --raw-pixels 4 --format tsv -o raw.tsv test.mdb
    awk -F'\t' -v OFS='\t' '{ $2 = $2 OFS (NR == 1 ? "role" : NR % 4 == 2 ? "query" : "gallery") } 1' \
        raw.tsv >roles.tsv
    ps-view neighbours roles.tsv --shard test.mdb --rows 9 --columns 11 -o n.svg
    [ "$(grep -c '#285ac8' n.svg)" -eq 4 ]                   # three queries
    [ "$(grep -Ec '#009e3c|#d5281e' n.svg)" -eq 29 ]         # with the 9 of the gallery each
    [ "$(grep -c '>1.000 1.ppm</text>' n.svg)" -eq 0 ]
}

@test "curves: percent as in tables, epochs as whole numbers, PDF" {
    ps-view curves runs/plain/seed1 runs/plain/seed2 -o c.svg
    grep -q 'recall@1 (%)' c.svg
    grep -q '> 1</text>\|>1</text>' c.svg
    ! grep -q '>1\.5</text>' c.svg || false
    ps-view curves runs/plain/seed1 --metric loss -o l.svg
    ! grep -q '(%)' l.svg || false
    ps-view curves runs/plain/seed1 -o c.pdf
    [ "$(head -c 4 c.pdf)" = %PDF ]
}

@test "another shard is refused" {
    ps-pack -s train m.tsv -o train.mdb
    for what in neighbours map; do
        run ps-view $what raw.emb.zst --shard train.mdb -o x.png
        [ "$status" -eq 1 ]
        [[ $output == *"was embedded from shard"* ]]
        [ ! -e x.png ]
    done
}

@test "map and histogram draw, the same bytes each time" {
    ps-view map raw.emb.zst -o 1.svg
    ps-view map raw.emb.zst -o 2.svg
    cmp 1.svg 2.svg
    ps-view histogram raw.emb.zst -o h.svg
    grep -q 'same class' h.svg
    # two series of 100 bars, so 101 edges each: a polygon a bar (gnuplot 5) or a series (gnuplot 6)
    edges=$(tr '\n' ' ' <h.svg | grep -o '<polygon[^/]*' | awk -F "'" '
        { count = split($6, point, " ")
          for (i = 1; i <= count; i++) { sub(",.*", "", point[i]); edge[$2, point[i]] } }
        END { print length(edge) }')
    [ "$edges" -ge 202 ]
}

@test "map: with the shard, pictures in place of points, all inside the file" {
    ps-view map raw.emb.zst --shard test.mdb --across 5 --classes 1 -o p.svg
    pictures=$(grep -c 'xlink:href="data:image/jpeg;base64,' p.svg)
    [ "$pictures" -ge 2 ]
    [ "$pictures" -le 12 ]
    grep -q '<title>images/test/' p.svg
    grep -q '>aa</text>' p.svg
    [ "$(grep -c 'href="[^d]' p.svg)" -eq 0 ]
    ps-view map raw.emb.zst --shard test.mdb --across 1 -o one.svg
    [ "$(grep -c '<image' one.svg)" -eq 1 ]
    ps-view map raw.emb.zst --shard test.mdb --classes 0 -o p.png
    # 900 wide, 40 + 900 + 12 high
    [ "$(od -An -tu1 -j16 -N8 p.png | tr -s ' ')" = " 0 0 3 132 0 0 3 184" ]
    run ps-view map raw.emb.zst --shard test.mdb -o x.gif
    [ "$status" -eq 2 ]
    [ ! -e x.gif ]
}

@test "map: t-SNE of too few points says how many it needs" {
    run ps-view map raw.emb.zst --method tsne -o x.svg
    [ "$status" -eq 1 ]
    [[ $output == *"perplexity 30 needs more than 90 points, not 12"* ]]
}

@test "report: one file, tables and pictures inside, text escaped" {
    printf '| setting | a<b |\n|---|---:|\n| ps | 1 |\n' >table.md
    ps-view curves runs/ps/seed1 -o c.svg
    ps-view report table.md c.svg --title 'A & B' -o r.html
    grep -q '<td> ps </td>' r.html
    grep -q 'a&lt;b' r.html
    grep -q 'A &amp; B' r.html
    grep -q '<svg role="img" aria-label="c"' r.html
    ps-view neighbours raw.emb.zst --shard test.mdb -o n-b.png
    ps-view report c.svg c.svg n-b.png -o r.html
    grep -q '<img alt="n b" src="data:image/png;base64,' r.html
    ps-view neighbours raw.emb.zst --shard test.mdb -o n.jpg && mv n.jpg n.png
    ps-view report n.png -o r2.html
    grep -q 'src="data:image/jpeg;base64,' r2.html
    run ps-view report table.md test.mdb -o no.html
    [ "$status" -eq 1 ]
    [[ $output == *"test.mdb: this is a shard (LMDB), not a text or a picture"* ]]
    [ ! -e no.html ]
    # a narrow window scales pictures, which takes a viewBox
    ps-view neighbours raw.emb.zst --shard test.mdb -o n.svg
    ps-view map raw.emb.zst --shard test.mdb -o p.svg
    ps-view report n.svg p.svg -o s.html
    [ "$(grep -c '<svg role=.* viewBox=' s.html)" -eq 2 ]
    # the same picture twice has no name twice
    [ -z "$(grep -o " id=['\"][^'\"]*" r.html | sort | uniq -d)" ]
}

@test "wrong usage exits 2, nothing written" {
    run ps-view paint raw.emb.zst -o x.png
    [ "$status" -eq 2 ]
    run ps-view histogram raw.emb.zst
    [ "$status" -eq 2 ]
    run ps-view report runs/ps/seed1/log.jsonl -o x.pdf
    [ "$status" -eq 2 ]
    [ ! -e x.pdf ]
    run ps-view histogram raw.emb.zst -o x.gif
    [ "$status" -eq 2 ]
    [ ! -e x.gif ]
}

# pixels FILE.png: its width and height.
pixels() {
    od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4, $7 * 256 + $8 }'
}

@test "projector: vectors, metadata, sprite and the file that names them" {
    ps-view projector raw.emb.zst --shard test.mdb --cell 10 -o projector
    [ "$(wc -l <projector/vectors.tsv)" -eq 12 ]
    [ "$(awk -F'\t' '{ print NF }' projector/vectors.tsv | sort -u)" = 48 ]
    [ "$(sed -n '1p;6p' projector/metadata.tsv)" = $'class\tid\tname\nbb\t4\timages/test/bb/1.ppm' ]
    [ "$(pixels projector/sprite.png)" = "40 30" ]
    ps-view projector raw.emb.zst --points 5 -o few
    [ "$(wc -l <few/vectors.tsv)" -eq 5 ]
    [ "$(wc -l <few/metadata.tsv)" -eq 6 ]
    cut -f 2 few/metadata.tsv | tail -n +2 | sort -nc
    [ ! -e few/sprite.png ]
    if grep -q sprite few/projector_config.pbtxt; then false; fi
    ps-view projector raw.emb.zst --shard test.mdb --points 1 -o one
    [ "$(pixels one/sprite.png)" = "96 96" ]
    ! ps-view projector raw.emb.zst --shard absent.mdb -o none || false
    [ ! -e none ]
    ! ps-view projector raw.emb.zst -o m.tsv || false
}

@test "projector: TensorBoard understands the configuration" {
    "$PYTHON" -c 'import tensorboard' 2>/dev/null || skip "there is no TensorBoard"
    ps-view projector raw.emb.zst --shard test.mdb -o projector
    "$PYTHON" - <<'END'
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
embedding, = text_format.Parse(open("projector/projector_config.pbtxt").read(), ProjectorConfig()).embeddings
assert embedding.tensor_path == "vectors.tsv" and embedding.metadata_path == "metadata.tsv"
assert embedding.sprite.image_path == "sprite.png" and list(embedding.sprite.single_image_dim) == [96, 96]
END
}
