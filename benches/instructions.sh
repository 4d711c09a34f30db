#!/usr/bin/env bash
# Instructions that one small comparison executes as a whole process, counted by valgrind: unlike a time this hardly differs
# from run to run, so that it shows what a change did even on a noisy machine.
#
#     cargo build --release -p lpips-cli
#     benches/instructions.sh [NET [LEVEL...]]        # default: alex avx2 portable
#
# valgrind knows no AVX-512; the widest level under it is avx2.
set -euo pipefail
cd "$(dirname "$0")/.."
lpips=${LPIPS:-${CARGO_TARGET_DIR:-target}/release/lpips}
net=${1:-alex}
levels=("${@:2}")
[ ${#levels[@]} -gt 0 ] || levels=(avx2 portable)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for level in "${levels[@]}"; do
  printed=$(LPIPS_SIMD=$level valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" \
    "$lpips" compare --net "$net" --threads 1 assets/pictures/lake.png assets/pictures/lake_jpeg.png)
  count=$(sed -n 's/.*Collected *: *//p' "$log")
  printf '%-8s %-9s distance %s  %11s instructions\n' "$net" "$level" "${printed%% *}" "$count"
done
