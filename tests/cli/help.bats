# --help and the manual: no line is wider than a terminal, and one letter means one thing.

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

@test "manual pages fit on 80 columns" {
    for page in "$BATS_TEST_DIRNAME"/../../man/*.[157]; do
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
