#!/usr/bin/env bash
# Warnings of gcc and clang as errors, clang-tidy, clang-format, shellcheck, mandoc, sizes of files.
#   lint.sh [--since COMMIT | FILE.c ...]
# The first three look at the C files named, or at those that changed since COMMIT, or at all.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
fail() {
    echo "lint: $1"
    status=1
}
files() {
    git ls-files --cached --others --exclude-standard "$@"
}
if [ "${1-}" = --one ]; then # a process of the xargs below
    mapfile -t flags <build/lint/compile_flags.txt
    level=() # compiled for several (kernels/cpu/levels.mk): the highest has all of the code
    case $2 in
    kernels/cpu/* | lib/data/blend.c)
        level=(-DCPU_LEVEL='"lint"' -DCPU_OPS=ps_backend_cpu_lint -DPS_BLEND=ps_blend_lint)
        [ "$(uname -m)" = x86_64 ] && level+=(-march=x86-64-v4 -mamx-tile -mamx-bf16)
        ;;
    esac
    flags+=("${level[@]}")
    gcc -fsyntax-only -Werror -fopenmp "${flags[@]}" "$2" || fail "$2: gcc"
    if command -v clang >/dev/null; then
        clang -fsyntax-only -Werror "${flags[@]}" "$2" || fail "$2: clang"
    fi
    if command -v clang-tidy >/dev/null; then # its standard error counts suppressed warnings
        clang-tidy --quiet -p build/lint --warnings-as-errors='*' "${level[@]/#/--extra-arg=}" "$2" 2>/dev/null ||
            fail "$2: clang-tidy"
    fi
    exit $status
fi
case ${1-} in
--since) mapfile -t sources < <(git diff --name-only --diff-filter=d "$2" -- '*.c') ;;
'') mapfile -t sources < <(files '*.c') ;;
*) sources=("$@") ;;
esac

flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow
    -Wno-unknown-pragmas -DPS_VERSION='"lint"' "-I$PWD" "-I$PWD/lib" "-I$PWD/build/gen")
read -ra packages < <(pkg-config --cflags vips lmdb libzstd libarchive matio jansson libxxhash libjpeg libprotobuf-c)
cuda=$(dirname "$(dirname "$(realpath "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")")
if [ -e "$cuda/include/cudnn.h" ]; then
    flags+=(-isystem "$cuda/include")
else
    mapfile -t sources < <(printf '%s\n' "${sources[@]}" | grep -Ev '^$|^(kernels/cuda|tests/cuda|tests/cuda-emu)/')
    echo "lint: without the CUDA headers kernels/cuda/, tests/cuda/ and tests/cuda-emu/ are left out"
fi
# The example includes what make install puts in place, and is compiled there.
mapfile -t sources < <(printf '%s\n' "${sources[@]}" | grep -v '^tests/example/')
if command -v mpicc >/dev/null; then
    read -ra mpi < <(mpicc -E -Wp,-v -xc /dev/null 2>&1 >/dev/null | awk '/openmpi|mpich/ { printf "-isystem %s ", $1 }')
    flags+=("${mpi[@]}")
else
    mapfile -t sources < <(printf '%s\n' "${sources[@]}" | grep -v '/mpi/')
fi
mkdir -p build/lint
printf '%s\n' "${flags[@]}" "${packages[@]}" >build/lint/compile_flags.txt

printf '%s\0' "${sources[@]}" | xargs -0 -r -n 1 -P "$(nproc)" tests/lint.sh --one || status=1

for tool in clang clang-tidy clang-format shellcheck mandoc; do
    command -v $tool >/dev/null || echo "lint: without $tool (make setup-lint)"
done
if command -v clang-format >/dev/null; then
    files '*.c' '*.h' '*.cc' '*.cu' '*.cuh' | xargs -r clang-format --dry-run --Werror ||
        fail "clang-format (run: make format)"
fi
if command -v shellcheck >/dev/null; then
    files '*.sh' .ci/run | xargs -r shellcheck || fail shellcheck
fi
if command -v mandoc >/dev/null; then
    for page in man/*.[157]; do
        mandoc -T lint -W warning "$page" || fail "$page"
    done
fi
if command -v groff >/dev/null; then # what Debian's man renders with
    for page in man/*.[157]; do
        ! groff -mdoc -T utf8 -ww -z "$page" 2>&1 | grep -v "can't break line" || fail "$page: groff"
    done
fi
files '*.c' '*.h' '*.cc' '*.cu' '*.cuh' | xargs -r wc -l |
    awk '$2 != "total" && $1 > 500 {print "lint: " $2 ": " $1 " lines; is it one subject?"}'
echo "lint: ${#sources[@]} C files compiled and tidied"
exit $status
