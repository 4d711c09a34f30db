#!/usr/bin/env bash
# Instructions that one small comparison executes as a whole process, counted by valgrind: unlike a time this hardly differs
# from run to run, so that it shows the effect of a change even on a noisy machine.
#
#     cargo build --release -p lpips-cli
#     benches/instructions.sh [NET [LEVEL...]]        # default: alex avx2 portable
#
#     cargo build -p lpips-cli                        # as `cargo test --workspace` builds it
#     benches/instructions.sh --check                 # fails where the count is over the limit
#     benches/instructions.sh --record                # writes the count of today to benches/instructions.tsv
#
# valgrind knows no AVX-512; the widest level under it is avx2. The limit is for the portable level, which computes the same
# on every machine, and for the build that tests use: the count recorded in benches/instructions.tsv plus 3%.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
recorded=benches/instructions.tsv
tolerance=3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Sets `printed` and `count` for a binary, a network and a level.
measure() {
  printed=$(LPIPS_SIMD=$3 valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" \
    "$1" compare --net "$2" --threads 1 assets/pictures/lake.png assets/pictures/lake_jpeg.png)
  count=$(sed -n 's/.*Collected *: *//p' "$log")
  [ -n "$count" ] || { cat "$log" >&2; exit 1; }
}

case "${1:-}" in
  --check | --record)
    measure "${LPIPS:-$target/debug/lpips}" alex portable
    if [ "$1" = --record ]; then
      printf 'network\tlevel\tinstructions\nalex\tportable\t%s\n' "$count" >"$recorded"
      cat "$recorded"
      exit
    fi
    known=$(awk -F '\t' '$1 == "alex" && $2 == "portable" { print $3 }' "$recorded")
    limit=$((known + known * tolerance / 100))
    printf 'alex portable: %s instructions, recorded %s, limit %s\n' "$count" "$known" "$limit"
    if [ "$count" -gt "$limit" ]; then
      echo "FAILED: over the limit. If the change is worth it, record the new count: benches/instructions.sh --record" >&2
      exit 1
    fi
    ;;
  *)
    net=${1:-alex}
    levels=("${@:2}")
    [ ${#levels[@]} -gt 0 ] || levels=(avx2 portable)
    for level in "${levels[@]}"; do
      measure "${LPIPS:-$target/release/lpips}" "$net" "$level"
      printf '%-8s %-9s distance %s  %11s instructions\n' "$net" "$level" "${printed%% *}" "$count"
    done
    ;;
esac
