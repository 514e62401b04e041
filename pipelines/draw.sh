#!/bin/sh
# draw.sh BASE SPACE N: the settings of trial N of a random search: those of BASE, and for each row
# "option<TAB>values" of SPACE a value that depends on N and the option alone. Trial 0 is BASE as it
# is. Values are
#     log LEAST MOST       evenly on a logarithmic scale
#     linear LEAST MOST    evenly
#     any VALUE ...        one of them
set -eu
[ "$3" != 0 ] || exec cat "$1"
awk -F '\t' 'NR == FNR { drawn[$1]; next } { name = $0; sub(/[ \t]*=.*/, "", name) } !(name in drawn)' \
    "$2" "$1"
grep -v '^#' "$2" | tail -n +2 | while IFS='	' read -r option values; do
    hash=$(printf '%s %s' "$3" "$option" | sha256sum | cut -c 1-8)
    echo "$option $((0x$hash)) $values"
done | awk '
    { u = $2 / 4294967296 }
    $3 == "log" { value = sprintf("%.3g", $4 * exp(u * log($5 / $4))) }
    $3 == "linear" { value = sprintf("%.3g", $4 + u * ($5 - $4)) }
    $3 == "any" { value = $(4 + int(u * (NF - 3))) }
    $3 !~ /^(log|linear|any)$/ { print "draw.sh: " $1 ": log, linear or any, not " $3 >"/dev/stderr"; exit 1 }
    { print $1 " = " value }'
