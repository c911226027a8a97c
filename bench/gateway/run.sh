#!/usr/bin/env bash
# CPU per call of the gateway beside bare nginx, on the same upstream double. See README.md.
#   bench/gateway/run.sh [ROUNDS] [SECONDS] [CONNECTIONS]
set -euo pipefail
rounds=${1:-3} seconds=${2:-10} connections=${3:-64}
cd "$(dirname "$0")/../.."
for tool in nginx wrk taskset; do
    PATH=$PATH:/usr/sbin command -v $tool >/dev/null || { echo "missing: $tool (Debian packages: nginx-light wrk util-linux)" >&2; exit 2; }
done
cargo build --release -p gateway --examples
examples=${CARGO_TARGET_DIR:-target}/release/examples
dir=$(mktemp -d) pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"; }
trap finish EXIT

upstream=127.0.0.1:4100 gateway=127.0.0.1:4101 nginx=127.0.0.1:4102
# What is measured has core 0 for itself; load and double share core 1.
taskset -c 1 "$examples/bench_upstream" $upstream & pids+=($!)
taskset -c 0 "$examples/bench_gateway" $gateway http://$upstream >"$dir/gateway.out" & pids+=($!); gateway_pid=$!
sed "s|@DIR@|$dir|g; s|@UPSTREAM@|$upstream|; s|@LISTEN@|$nginx|" bench/gateway/nginx.conf >"$dir/nginx.conf"
PATH=$PATH:/usr/sbin taskset -c 0 nginx -e "$dir/nginx.err" -c "$dir/nginx.conf" & pids+=($!); nginx_master=$!
sleep 1
key=$(head -1 "$dir/gateway.out")
nginx_pid=$(cat "/proc/$nginx_master/task/$nginx_master/children" | tr -d ' ')

for mode in call stream; do
    cat >"$dir/$mode.lua" <<LUA
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer $key"
wrk.body = '{"model":"model-42","messages":[{"role":"system","content":"You answer briefly."},{"role":"user","content":"Where can I find the printer for large paper?"}]$([ $mode = stream ] && echo ',"stream":true')}'
done = function(summary, latency)
    local e = summary.errors
    io.stderr:write(string.format("%d %d %.0f %.0f %.0f\n", summary.requests, e.connect + e.read + e.write + e.status + e.timeout,
        summary.requests / (summary.duration / 1e6), latency:percentile(50), latency:percentile(99)))
end
LUA
done

ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
hz=$(getconf CLK_TCK)
# measure NAME PID ADDRESS MODE CONNECTIONS
measure() {
    local before after
    taskset -c 1 wrk -t1 -c"$5" -d1s -s "$dir/$4.lua" "http://$3/v1/chat/completions" >/dev/null 2>&1
    before=$(ticks "$2")
    taskset -c 1 wrk -t1 -c"$5" -d"${seconds}s" -s "$dir/$4.lua" "http://$3/v1/chat/completions" >/dev/null 2>"$dir/result"
    after=$(ticks "$2")
    tail -1 "$dir/result" | awk -v name="$1" -v mode="$4" -v c="$5" -v ticks=$((after - before)) -v hz="$hz" -v rss="$(awk '/VmRSS/{print $2}' "/proc/$2/status")" \
        '$1 == 0 { print name, mode, "no call ended: the machine is too busy, or SECONDS too short"; exit } { printf "%-8s %-7s c=%-4d %9.2f us CPU/call %8d calls %4d errors %7d calls/s  p50 %6d us  p99 %6d us  RSS %5.1f MB\n", name, mode, c, ticks / hz * 1e6 / $1, $1, $2, $3, $4, $5, rss / 1024 }' | tee -a "$dir/lines"
}
echo "load before: $(cut -d' ' -f1-3 /proc/loadavg); $(nproc) cores; $rounds rounds of $seconds s, interleaved"
awk '$1 > 0.5 { print "warning: other programs are running; these figures are not worth comparing" }' /proc/loadavg
for _ in $(seq "$rounds"); do
    for plan in "call $connections" "call 1" "stream 256"; do
        set -- $plan
        measure gateway "$gateway_pid" $gateway "$1" "$2"
        measure nginx "$nginx_pid" $nginx "$1" "$2"
    done
done
echo "load after: $(cut -d' ' -f1-3 /proc/loadavg); gateway: $(tail -1 "$dir/gateway.out")"
awk '$3 !~ /^c=/ { next } { k = $2 " " $3; v[k, $1] = v[k, $1] " " $4; keys[k] = 1 }
    function middle(list,   a, n, i, j, t) { n = split(list, a, " "); for (i = 1; i < n; i++) for (j = i + 1; j <= n; j++) if (a[j] + 0 < a[i] + 0) { t = a[i]; a[i] = a[j]; a[j] = t } return a[int((n + 1) / 2)] }
    END { for (k in keys) if (v[k, "gateway"] && v[k, "nginx"]) printf "median %-14s gateway %.1f us, nginx %.1f us per call: %.2fx\n", k, middle(v[k, "gateway"]), middle(v[k, "nginx"]), middle(v[k, "gateway"]) / middle(v[k, "nginx"]) }' "$dir/lines"
