# ps-table on small result tables written here.

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    row plain 1 0.80 0.20 && row plain 2 0.82 0.21 && row plain 10 0.81 0.22
    row PS 1 0.81 0.22 && row PS 2 0.84 0.23 && row PS 10 0.82 0.25
}

# row SETTING SEED RECALL MAP: a table as ps-eval writes it.
row() {
    printf '# embedding: x\nsetting\tseed\tfile\trecall@1\trecall@1_low\tmap@r\tqueries\n%s\t%s\tx\t%s\t0\t%s\t9\n' \
        "$@" >"$1-$2.tsv"
}

# cell ROW COLUMN: of the TSV table in $output.
cell() {
    awk -F'\t' -v row="$1" -v name="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i }
        NR == row + 1 { print $at }' <<<"$output"
}

@test "mean, standard deviation, interval, best and median run" {
    run ps-table --format tsv --digits 4 plain-*.tsv
    [ "$status" -eq 0 ]
    [ "$(cell 1 metric)" = "recall@1" ]
    [ "$(cell 2 metric)" = "map@r" ]
    [ "${#lines[@]}" -eq 3 ]
    [ "$(cell 1 mean)" = 81.0000 ]
    [ "$(cell 1 sd)" = 1.0000 ]
    # t(0.975, 2) = 4.302653, divided by sqrt 3
    [ "$(cell 1 low)" = 78.5159 ]
    [ "$(cell 1 high)" = 83.4841 ]
    [ "$(cell 1 median_seed)" = 10 ]
    [ "$(cell 1 best_seed)" = 2 ]
    head -1 <<<"$output" | grep -q $'seed_1\tseed_2\tseed_10\t'
}

@test "paired comparison over shared seeds" {
    row PS 11 0.99 0.99
    run ps-table --format tsv --digits 4 --compare plain ./*.tsv
    [ "$status" -eq 0 ]
    [ "$(cell 1 setting)" = PS ]
    [ "$(cell 1 runs)" = 4 ]
    [ "$(cell 1 pairs)" = 3 ]
    # Differences 1 2 1: mean 4/3, sd 1/sqrt 3, t = 4 with 2 degrees of freedom, p = 0.0571910
    [ "$(cell 1 difference)" = 1.3333 ]
    [ "$(cell 1 difference_sd)" = 0.5774 ]
    [ "$(cell 1 p)" = 0.057191 ]
    [ "$(cell 1 seeds_needed)" = 4 ]
    [ -z "$(cell 3 p)" ]
    run ps-table --compare nothing ./*.tsv
    [ "$status" -eq 2 ]
}

@test "percent tables and fraction tables mix" {
    sed -i '1i # unit: percent' plain-1.tsv
    sed -i 's/0\.80/80/; s/0\.20/20/' plain-1.tsv
    run ps-table --format tsv plain-*.tsv
    [ "$(cell 1 mean)" = 81.00 ]
    run ps-table --format tsv --unit fraction --digits 3 plain-*.tsv
    [ "$(cell 1 mean)" = 0.810 ]
}

@test "the same values as percent and as fractions do not differ" {
    rm ./*.tsv
    for i in 1 2 3 4 5; do
        value=$((5007 + 210 * i + i * i))
        row same $i 0.$value 0.3 && row percent $i ${value:0:2}.${value:2} 30
        sed -i '1i # unit: percent' percent-$i.tsv
    done
    run ps-table --format tsv --compare same --metrics recall@1 ./*.tsv
    [ "$status" -eq 0 ]
    [ "$(awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "p") at = i }
        $1 == "percent" { print $at }' <<<"$output")" = 1 ]
}

@test "markdown, as runs and as a summary" {
    run ps-table plain-*.tsv
    [ "$status" -eq 0 ]
    [[ ${lines[0]} == "| setting | metric   |     1 |     2 |    10 |    mean ± sd "* ]]
    [[ ${lines[2]} == *"| 81.00 ± 1.00 |"* ]]
    run ps-table --layout summary --metrics map@r,recall@1 ./*.tsv
    [ "${#lines[@]}" -eq 4 ]
    [[ ${lines[0]} == *map@r*recall@1* ]]
    [[ ${lines[3]} == "| plain   | 21.00 ± 1.00 | 81.00 ± 1.00 |" ]]
}

@test "LaTeX escapes what it must" {
    row 'a_b&c' 1 0.5 0.5
    run ps-table --format latex a_b*.tsv plain-*.tsv
    [ "$status" -eq 0 ]
    grep -qF 'a\_b\&c & recall@1' <<<"$output"
    grep -qF '81.00 $\pm$ 1.00' <<<"$output"
}

@test "settings from several columns, standard input, a single run" {
    run ps-table --format tsv --by setting,file - <plain-1.tsv
    [ "$status" -eq 0 ]
    [ "$(cell 1 setting)" = "plain, x" ]
    [ "$(cell 1 mean)" = 80.00 ]
    [ -z "$(cell 1 sd)" ]
}

@test "tables of ps-eval" {
    golden=$BATS_TEST_DIRNAME/../golden/eval/small.safetensors
    for seed in 1 2; do
        ps-eval --tag "setting=a,seed=$seed" -o "a$seed.tsv" "$golden"
    done
    ps-eval --tag setting=b,seed=1 --percent -o b1.tsv "$golden"
    run ps-table --format tsv --compare a a1.tsv a2.tsv b1.tsv
    [ "$status" -eq 0 ]
    [ "$(cell 1 mean)" = 60.00 ]
    [ "$(cell 7 difference)" = 0.00 ]
    [ "$(cell 7 pairs)" = 1 ]
}

@test "bad tables: one line, status 1" {
    printf 'setting\tseed\tfile\nx\t1\ty\n' >none.tsv
    printf 'seed\trp\n1\t0.5\n' >nosetting.tsv
    printf 'setting\trp\nx\t0.5\n' >noseed.tsv
    printf 'setting\tseed\trp\nx\t1\tmuch\n' >word.tsv
    printf 'setting\tseed\trp\nx\t1\t1\nx\t1\t2\n' >twice.tsv
    : >empty.tsv
    for file in none nosetting noseed word twice empty absent; do
        run ps-table -o out.md $file.tsv
        [ "$status" -eq 1 ]
        [ "${#lines[@]}" -eq 1 ]
        [[ $output == "ps-table: error: $file.tsv"* ]]
        [ ! -e out.md ]
    done
    run ps-table
    [ "$status" -eq 2 ]
    run ps-table --layout summary --compare a x.tsv
    [ "$status" -eq 2 ]
    run bash -c 'ps-table plain-1.tsv >/dev/full'
    [ "$status" -eq 1 ]
}
