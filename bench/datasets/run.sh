#!/usr/bin/env bash
# What an upload costs, beside DuckDB reading the same file. See README.md.
#   bench/datasets/run.sh [GIGABYTES] [FOLDER]
set -euo pipefail
gigabytes=${1:-1} folder=${2:-$(mktemp -d)}
cd "$(dirname "$0")/../.."
mkdir -p "$folder"
cargo build --release -p platform --example bench_datasets
bench=${CARGO_TARGET_DIR:-target}/release/examples/bench_datasets
[ -d "$folder/venv" ] || { python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" install --quiet duckdb==1.4.1; }
file=$folder/rows.jsonl
"$bench" make "$file" "$((gigabytes * 1000000000))"
cat "$file" >/dev/null # both read it from memory
"$bench" take "$file"
"$folder/venv/bin/python" - "$file" <<'PY'
import os, resource, sys, time
import duckdb
file = sys.argv[1]
gigabytes = os.path.getsize(file) / 1e9
began, before = time.time(), resource.getrusage(resource.RUSAGE_SELF)
rows = duckdb.sql(
    "SELECT count(*), sum(len(messages)), sum(length(messages[1].content)) "
    f"FROM read_json('{file}', format='newline_delimited', ignore_errors=true)"
).fetchone()
after = resource.getrusage(resource.RUSAGE_SELF)
user, system = (after.ru_utime - before.ru_utime) / gigabytes, (after.ru_stime - before.ru_stime) / gigabytes
print(f"{'DuckDB':<16}{user + system:>8.2} cpu-s/GB ({user:.2f} own, {system:.2f} kernel), {time.time() - began:.1f} s, "
      f"peak {after.ru_maxrss // 1024} MB resident; {rows[0]} rows read")
PY
rm -f "$file"
