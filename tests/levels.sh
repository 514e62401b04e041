#!/usr/bin/env bash
# The values of PS_CPU_ISA below what this machine has, which the tests run at anyway: one a line.
set -eu
flags=" $(sed -n 's/^flags[^:]*://p' /proc/cpuinfo | head -n 1) "
levels=(v2)
[[ $flags == *" avx2 "* && $flags == *" fma "* ]] && levels+=(v3)
[[ $flags == *" avx512bw "* && $flags == *" avx512vl "* ]] && levels+=(v4)
[[ $flags == *" avx512_bf16 "* || $flags == *" amx_tile "* ]] && levels+=(more)
printf '%s\n' "${levels[@]::${#levels[@]}-1}"
