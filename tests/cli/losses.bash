# Losses of runs, for tests that compare them.

# The losses of steps, one a line.
losses() {
    grep '"kind":"step"' "$1/log.jsonl" | sed 's/.*"loss":\([-0-9.e+]*\).*/\1/'
}

# near A B TOLERANCE: as many losses, each within a part of the other.
near() {
    paste <(losses "$1") <(losses "$2") | awk -v tolerance="$3" '
        NF != 2 || ($1 - $2) ^ 2 > (tolerance * $1) ^ 2 { bad = 1; print "# " $0 }
        END { exit bad || NR == 0 }'
}
