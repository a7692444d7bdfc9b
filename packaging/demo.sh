#!/usr/bin/env bash
# Several devices on one machine: builds Shoal, starts a cluster of daemons that share nothing but
# a key, answers one prompt with all of them, and stops them. Only the answer goes to standard
# output; everything else to standard error.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: packaging/demo.sh [options]

  --devices N            how many daemons form the cluster (default 3)
  --model PATH           a GGUF file (default: the demo model of this folder)
  --prompt TEXT          the text to go on from
  --max-tokens K         most tokens to generate (default 200; 0: until the model ends)
  --temperature T        0 always takes the likeliest token (default 0.8)
  --seed S               the same seed gives the same answer (default 1)
  --collectives FORM     how partial sums travel: auto (default), q8_0, q16, f16 or f32
  --kv TYPE              KV cache: auto (default), f16 or f32
  --build DIR            build folder; a relative path starts at the repository's root (default
                         build-demo)
  --help                 this text

Everything runs on 127.0.0.1 in a folder of its own that is removed at the end; two demos can run
at the same time.
TEXT
}

devices=3
model=
prompt="Once upon a time"
max_tokens=200
temperature=0.8
seed=1
collectives=auto
kv=auto
build='build-demo'

refuse() {
    echo "demo.sh: $1" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    option=$1
    case "$option" in
        --help | -h) usage; exit 0 ;;
        --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}"; continue ;;
    esac
    [ $# -ge 2 ] || refuse "$option: unknown, or its value is missing; see --help"
    case "$option" in
        --devices) devices=$2 ;;
        --model) model=$2 ;;
        --prompt) prompt=$2 ;;
        --max-tokens) max_tokens=$2 ;;
        --temperature) temperature=$2 ;;
        --seed) seed=$2 ;;
        --collectives) collectives=$2 ;;
        --kv) kv=$2 ;;
        --build) build=$2 ;;
        *) refuse "$option: unknown option; see --help" ;;
    esac
    shift 2
done
[[ $devices =~ ^[1-9][0-9]?$ ]] || refuse "--devices is \"$devices\"; allowed are 1..99"
[[ $collectives =~ ^(auto|q8_0|q16|f16|f32)$ ]] ||
    refuse "--collectives is \"$collectives\"; allowed are auto, q8_0, q16, f16 and f32"
[[ $kv =~ ^(auto|f16|f32)$ ]] || refuse "--kv is \"$kv\"; allowed are auto, f16 and f32"
[ -n "$prompt" ] || refuse "--prompt is empty"
# The default lies beside this script; a given path is the caller's, before the folder changes.
here=$(cd "$(dirname "$0")" && pwd)
model=$(realpath -m -- "${model:-$here/demo/shoal-demo-q8_0.gguf}")
[ -f "$model" ] || refuse "there is no model file $model"

# From here on standard output is standard error; the answer goes to descriptor 3.
exec 3>&1 1>&2

cd "$here/.."
packaging/build-deps.sh
if [ ! -f "$build/build.ninja" ]; then meson setup "$build"; fi
ninja -C "$build" daemon/shoald cli/shoal
build=$(realpath -- "$build")
shoal=$build/cli/shoal
shoald=$build/daemon/shoald

work=$(mktemp -d /tmp/shoal-demo.XXXXXX)
pids=()
client=
fine=no

stop() {
    local code=$? pid end
    trap '' INT TERM HUP
    exec 3>&-
    # The client cancels its request first, for which it takes two seconds at most.
    if [ -n "$client" ] && kill -TERM "$client" 2>/dev/null; then wait "$client" || true; fi
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    end=$((SECONDS + 10))
    for pid in "${pids[@]}"; do
        while kill -0 "$pid" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.05; done
        if kill -KILL "$pid" 2>/dev/null; then echo "Daemon $pid had to be killed."; fi
    done
    if [ "$fine" = no ] && [ "$code" -ne 130 ] && [ "$code" -ne 141 ]; then
        for log in "$work"/*/log; do
            [ -f "$log" ] || continue
            echo "== the end of $(basename "$(dirname "$log")")'s log"
            tail -n 30 "$log"
        done
    fi
    rm -rf "$work"
    exit "$code"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs the client so that a signal for this script is handled at once.
ask() {
    "$shoal" --socket "$work/device-1/control.sock" "$@" &
    client=$!
    local code=0
    wait "$client" || code=$?
    client=
    return "$code"
}

# Distinct UDP ports that nobody uses: they are all open at the same time when they are read.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket
import sys

sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[1]))]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
}

threads=$(($(nproc) / devices))
[ "$threads" -ge 1 ] || threads=1

"$shoal" key new "$work/cluster.key" >/dev/null
free=$(free_ports "$devices")
read -ra ports <<<"$free"
for ((i = 1; i <= devices; ++i)); do
    peers=
    for ((other = 0; other < devices; ++other)); do
        [ "$other" -eq $((i - 1)) ] || peers+=${peers:+,}127.0.0.1:${ports[other]}
    done
    mkdir -m 700 "$work/device-$i"
    # An empty file, so that this machine's own settings stay out. Only the first device has the
    # model's folder; the others get from it what their slices need. A session of its own keeps
    # Ctrl-C from reaching the daemons before the client has taken its leave. They share this
    # machine, so equal shares are told to them: each would measure the others' noise.
    : >"$work/device-$i/shoald.toml"
    folder=$work/device-$i
    [ "$i" -ne 1 ] || folder=$(dirname "$model")
    setsid "$shoald" --config "$work/device-$i/shoald.toml" \
        --device.name="device-$i" --device.state_dir="$work/device-$i/state" \
        --device.priority=$((devices - i)) --device.threads="$threads" \
        --device.speed_bytes=1GB --plan.min_devices="$devices" \
        --cluster.key_file="$work/cluster.key" --cluster.bind=127.0.0.1 \
        --cluster.multicast=false --cluster.beacon_port="${ports[i - 1]}" \
        --cluster.peers="$peers" \
        --control.socket="$work/device-$i/control.sock" --control.group= \
        --models.directories="$folder" --models.collectives="$collectives" --models.kv="$kv" \
        --http.enabled=false >"$work/device-$i/log" 2>&1 </dev/null 3>&- &
    pids+=($!)
done

# Succeeds when every device knows every other and they have a root.
complete() {
    "$shoal" --socket "$work/device-$1/control.sock" --json status 2>/dev/null |
        python3 -c '
import json, sys
try:
    status = json.loads(sys.stdin.readline())
    alive = sum(device["alive"] for device in status["devices"])
except (ValueError, KeyError):
    sys.exit(1)
sys.exit(0 if alive == int(sys.argv[1]) and status["root"] else 1)' "$devices"
}

echo "Waiting for the cluster of $devices"
deadline=$((SECONDS + 30))
for ((i = 1; i <= devices; ++i)); do
    until complete "$i"; do
        for ((d = 1; d <= devices; ++d)); do
            if ! kill -0 "${pids[d - 1]}" 2>/dev/null; then
                echo "demo.sh: device-$d has ended"
                exit 1
            fi
        done
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "demo.sh: device-$i does not see a cluster of $devices after 30 s"
            exit 1
        fi
        sleep 0.1
    done
done

ask load "$model"
ask status
echo
ask run --raw "$model" --max-tokens "$max_tokens" --temperature "$temperature" --seed "$seed" \
    -- "$prompt" >&3
fine=yes
