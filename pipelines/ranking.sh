#!/bin/sh
# ranking.sh SPACE METRIC RUN...: the trials of a random search as a table, best first: what was drawn
# for each (RUN.conf), and the last evaluation in RUN/log.jsonl.
set -eu
space=$1 metric=$2
shift 2
options=$(grep -v '^#' "$space" | tail -n +2 | cut -f 1 | tr '\n' ' ')
{
    echo "trial ${options}recall@1 rp map@r"
    for run; do
        evaluation=$(grep '"kind":"eval"' "$run/log.jsonl" | tail -n 1)
        printf '%s' "${run##*/trial}"
        for option in $options; do
            value=$(sed -n "s/^$option = //p" "$run.conf")
            printf ' %s' "${value:--}"
        done
        for name in 'recall@1' rp 'map@r'; do
            printf ' %.4f' "$(echo "$evaluation" | sed "s/.*\"$name\":\([^,}]*\).*/\1/")"
        done
        echo
    done
} | awk -v metric="$metric" '
    NR == 1 { for (i = 1; i <= NF; i++) if ($i == metric) at = i; print "inf", $0; next }
    { print $at, $0 }' | sort -s -k 1,1gr | cut -d ' ' -f 2- | tr ' ' '\t'
