# awk -f mean.awk TABLE: the rows of ps-eval's table as one, with the means of its fractions.
BEGIN { FS = OFS = "\t" }
/^#/ || !header { print; header = !/^#/; next }
{ rows++; for (i = 1; i <= NF; i++) { sum[i] += $i; if (rows == 1) first[i] = $i } }
END {
    for (i = 1; i <= NF; i++) $i = first[i] ~ /^[0-9]+\.[0-9]+$/ ? sprintf("%.6f", sum[i] / rows) : first[i]
    print
}
