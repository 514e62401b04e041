#!/usr/bin/env bash
# The values of PS_CPU_ISA that the backend tests run at besides this machine's level: those below
# it, one a line, and "emulated" where a machine lacks AMX.
set -eu
flags=" $(sed -n 's/^flags[^:]*://p' /proc/cpuinfo | head -n 1) "
levels=(v2)
[[ $flags == *" avx2 "* && $flags == *" fma "* ]] && levels+=(v3)
[[ $flags == *" avx512bw "* && $flags == *" avx512vl "* ]] && levels+=(v4)
[[ $flags == *" amx_tile "* && $flags == *" amx_bf16 "* ]] && levels+=(amx)
printf '%s\n' "${levels[@]::${#levels[@]}-1}"
[[ ${levels[-1]} == amx ]] || echo emulated
