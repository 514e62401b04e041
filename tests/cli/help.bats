# --help and the manual: no line is wider than a terminal, and one letter means one thing.

bats_require_minimum_version 1.5.0
manual=$BATS_TEST_DIRNAME/../../man
tools=$(cd "$BATS_TEST_DIRNAME/../../tools" && basename -s .c ps-*.c)

# The lines of standard input with more than 80 characters.
wide() {
    if grep -v http: | LC_ALL=C.UTF-8 grep -E '.{81}'; then return 1; fi
}

@test "help fits on 80 columns" {
    for tool in $tools; do
        $tool --version
        $tool --help | wide
    done
    ps-train --help loss | wide
}

@test "every option is in its manual page" {
    for tool in $tools; do
        $tool --print-options | awk -F '\t' '$1 != "operand" { sub(/^no-/, "", $3); print $3 }' |
            sed '/^config$/,$d' | while read -r option; do # from there on they are common to all
            grep -Eq -- "^\.It Fl .*-$option( |$)" "$manual/$tool.1" || echo "$tool --$option"
        done
    done >"$BATS_TEST_TMPDIR/missing"
    diff "$BATS_TEST_TMPDIR/missing" /dev/null
}

@test "manual pages fit on 80 columns" {
    for page in "$manual"/*.[157]; do
        mandoc -T utf8 -O width=80 "$page" | col -bx | wide
    done
}

@test "-j is the threads that read images, in every tool that has it" {
    for tool in $tools; do
        run -0 "$tool" --help
        ! grep -E '^ +-j' <<<"$output" | grep -v -- '-j, --workers N  *threads that read images' || false
    done
}

@test "one name for the K of recall, and the other is understood" {
    for name in k-list recall; do
        ps-eval --$name 1,3 --print-config | grep -qx 'k-list = 1,3'
        ps-train --$name 1,3 --data x -o y --print-config | grep -qx 'k-list = 1,3'
    done
}

@test "aliases are in the help" {
    ps-train --help | tr -s ' \n' ' ' | grep -q -- '(or --lr, --model-lr)'
}
