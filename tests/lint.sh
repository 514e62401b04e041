#!/usr/bin/env bash
# Warnings as errors with gcc and clang, clang-tidy, shellcheck, mandoc, format, file sizes.
# Arguments, if any, are the C files to look at; without them, all of them.
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
fail() {
    echo "lint: $1"
    status=1
}
mapfile -t sources < <(if [ $# -gt 0 ]; then printf '%s\n' "$@"; else git ls-files --cached --others --exclude-standard '*.c'; fi)
flags=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -Wmissing-prototypes -Wstrict-prototypes -Wshadow -Werror
    -DPS_VERSION='"lint"' -I. -Ilib -Ibuild/gen)
read -ra packages < <(pkg-config --cflags vips lmdb libzstd libarchive matio jansson libxxhash libjpeg libprotobuf-c)
cuda=$(dirname "$(dirname "$(realpath "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")")
if [ -e "$cuda/include/cudnn.h" ]; then
    flags+=(-isystem "$cuda/include")
else
    mapfile -t sources < <(printf '%s\n' "${sources[@]}" | grep -Ev '^(kernels/cuda|tests/cuda|tests/cuda-emu)/')
    echo "lint: without the CUDA headers kernels/cuda/, tests/cuda/ and tests/cuda-emu/ are left out"
fi
for source in "${sources[@]}"; do
    gcc -fsyntax-only -fopenmp "${flags[@]}" "${packages[@]}" "$source" || fail "$source: gcc"
    if command -v clang >/dev/null; then
        clang -fsyntax-only -Wno-unknown-pragmas "${flags[@]}" "${packages[@]}" "$source" || fail "$source: clang"
    fi
done
if command -v clang-tidy >/dev/null && [ "${#sources[@]}" -gt 0 ]; then
    mkdir -p build/lint
    printf '%s\n' "${flags[@]/#-I/-I$PWD/}" "${packages[@]}" -Wno-error -Wno-unknown-pragmas >build/lint/compile_flags.txt
    printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(nproc)" \
        clang-tidy --quiet -p build/lint --warnings-as-errors='*' 2>/dev/null || fail clang-tidy
fi
if command -v clang-format >/dev/null; then
    git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' '*.cu' '*.cuh' |
        xargs -r clang-format --dry-run --Werror 2>/dev/null || fail "clang-format (run: make format)"
fi
git ls-files --cached --others --exclude-standard '*.sh' .ci/run | xargs -r shellcheck || fail shellcheck
for page in man/*.[157]; do
    [ -e "$page" ] || continue
    mandoc -T lint -W warning "$page" || fail "$page"
done
git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' '*.cu' '*.cuh' | xargs -r wc -l |
    awk '$2 != "total" && $1 > 500 {print "lint: " $2 ": " $1 " lines; is it one subject?"}'
exit $status
