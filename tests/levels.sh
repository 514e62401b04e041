#!/usr/bin/env bash
# The levels of kernels/levels.h (x86-64) below the one that this machine uses by default: one a line.
set -eu
flags=" $(sed -n 's/^flags[^:]*://p' /proc/cpuinfo | head -n 1) "
levels=(v2)
[[ $flags == *" avx2 "* && $flags == *" fma "* ]] && levels+=(v3)
[[ $flags == *" avx512bw "* && $flags == *" avx512vl "* ]] && levels+=(v4)
[[ $flags == *" amx_tile "* && $flags == *" amx_bf16 "* ]] && levels+=(amx)
printf '%s\n' "${levels[@]::${#levels[@]}-1}"
