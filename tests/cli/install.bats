#!/usr/bin/env bats
# make install, and a program of somebody else that uses what it installed.
bats_require_minimum_version 1.5.0
load images

setup_file() {
    [[ $BUILD != */asan ]] || skip "the sanitizers are not installed"
    cd "$BATS_TEST_DIRNAME/../.." || return 1
    export TREE="$BATS_FILE_TMPDIR/tree"
    export PKG_CONFIG_PATH="$TREE/lib/pkgconfig" LD_LIBRARY_PATH="$TREE/lib"
    # spelled as it was when all was built, or the flags are others
    export BUILD=${BUILD#"$PWD/"}
    make BUILD="$BUILD" install PREFIX="$TREE"
    make_shards "$BATS_FILE_TMPDIR"
    cd "$BATS_FILE_TMPDIR" || return 1
    OMP_NUM_THREADS=2 ps-train -q --data train.mdb -o run --backbone resnet18 --input-size 32 --dim 8 \
        --batch-size 8 --epochs 0
}

setup() {
    cd "$BATS_FILE_TMPDIR" || return 1
}

# build SOURCE PROGRAM [--static]: as pkg-config says; --static with the archive in place of the library.
build() {
    local flags
    read -ra flags < <(pkg-config --cflags --libs "${@:3}" proxy-synthesis)
    [ $# -eq 2 ] || flags=("${flags[@]/-lproxy-synthesis/$TREE/lib/libproxy-synthesis.a}")
    cc -Wall -Wextra -Werror "$1" "${flags[@]}" -o "$2"
}

@test "make without a goal builds the programs" {
    run -0 make -n -C "$BATS_TEST_DIRNAME/../.." BUILD="$PWD/new"
    [[ $output == *"-o $PWD/new/bin/ps-train"* ]]
}

@test "programs, man pages, library, headers; into a DESTDIR with a space" {
    make -C "$BATS_TEST_DIRNAME/../.." BUILD="$BUILD" install PREFIX=/usr DESTDIR="$PWD/a b"
    [ "$(cd "a b/usr" && find . | sort)" = "$(cd "$TREE" && find . | sort)" ]
    "$TREE/bin/ps-eval" --version
    [ -s "$TREE/share/man/man1/ps-eval.1" ]
    run -0 readelf -d "$TREE/lib/libproxy-synthesis.so"
    [[ $output == *"soname: [libproxy-synthesis.so.0]"* ]]
    # kernels/operations.h is a list without a guard, for backend.h
    for header in $(cd "$TREE/include" && grep -rl '^#ifndef PS_.*_H$' ps); do
        echo "#include <$header>"
    done >all.c
    cc -std=c11 -Wall -Wextra -Werror -fsyntax-only -I "$TREE/include" all.c
}

@test "the shared library shows ps_ only, and keeps the program's BLAS" {
    run -0 nm -D --defined-only "$TREE/lib/libproxy-synthesis.so"
    [ "$(grep -vc ' ps_' <<<"$output")" -eq 0 ]
    cat >blas.c <<'END'
#include <ps/data/image.h>
#include <stdio.h>
int sgemm_(void);
int sgemm_(void) { return puts("mine"); }
int main(void)
{
    struct ps_image image = {0};
    ps_image_free(&image);
    return sgemm_() < 0;
}
END
    build blas.c blas
    run -0 ./blas
    [ "$output" = mine ]
    run -1 grep -q ' sgemm_$' <(nm "$TREE/lib/libproxy-synthesis.a" 2>/dev/null)
}

@test "an example embeds a picture as ps-embed does, by the shared library and the static one" {
    ps-embed -q -m run/last.safetensors test.mdb --format tsv -o all.tsv
    build "$BATS_TEST_DIRNAME/../example/embed.c" shared
    build "$BATS_TEST_DIRNAME/../example/embed.c" static --static
    for program in shared static; do
        "./$program" run/last.safetensors images/class4/3.ppm >$program.txt
        paste $program.txt <(grep -F images/class4/3.ppm all.tsv | tr '\t' '\n' | tail -n 8) |
            awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-5) exit 1 } END { exit NR != 8 }'
    done
}

# complete WORD...: what bash offers for the last of the words, of which the first is the program.
complete_in_bash() {
    bash -c 'source "$0/$1"
        compopt() { :; }
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "_${1//-/_}" "$1" "${@: -1}" "${@: -2:1}"
        echo "${COMPREPLY[@]}"' "$TREE/share/bash-completion/completions" "$@"
}

@test "bash completes options, words and operands of every program" {
    for tool in "$TREE"/bin/ps-*; do
        [ "$(complete_in_bash "${tool##*/}" --print-)" = --print-config ]
    done
    [ "$(complete_in_bash ps-train --backbone resnet1)" = "resnet18 resnet101" ]
    [ "$(complete_in_bash ps-train --backbone = bn)" = bninception ]
    [ "$(complete_in_bash ps-eval --resample =)" = "queries classes" ]
    [ "$(complete_in_bash ps-prepare --no)" = --no-boxes ]
    [ "$(complete_in_bash ps-view hi)" = histogram ]
    for option in --seed --output -o; do # a number; files, which readline offers
        [ -z "$(complete_in_bash ps-eval $option '')" ]
    done
}

@test "zsh completes them, too" {
    command -v zsh >/dev/null || skip "zsh is not installed"
    for file in "$TREE"/share/zsh/site-functions/_ps-*; do
        zsh -n "$file"
    done
    touch 'query 1.tsv'
    cat >complete.zsh <<'END'
# complete.zsh FUNCTIONS LINE...: prints each line as a tab completes it
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D"
zpty -w shell 'show() { print -r -- "<<$BUFFER>>"; BUFFER=; }; zle -N show; bindkey "^X" show'
for line in $argv[2,-1]; do
    zpty -w -n shell "$line"$'\t\x18'
    zpty -r shell seen '*<<ps-*>>*'
    print -r -- "${${seen##*<<}%%>>*}"
done
zpty -d shell
END
    run -0 timeout 60 zsh -f complete.zsh "$TREE/share/zsh/site-functions" 'ps-eval --resamp' \
        'ps-eval --resample=q' 'ps-train --backbone effic' 'ps-view histo' 'ps-eval --pca q'
    diff - <(printf '%s\n' "${lines[@]%% }") <<'END'
ps-eval --resample=
ps-eval --resample=queries
ps-train --backbone efficientnet-lite
ps-view histogram
ps-eval --pca query\ 1.tsv
END
}
