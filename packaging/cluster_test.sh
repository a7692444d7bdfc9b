#!/usr/bin/env bash
# Tests the packages on three systems that are booted in containers, on a wire of their own: they
# become a cluster by `shoal invite` and `shoal join`, answer together, and lose no prompt while one
# is rebooted and all are upgraded, one after the other. The last line is "N passed, N failed"; where
# no system can be booted it says so, and the exit code is 77.
set -uo pipefail

usage() {
    cat <<'TEXT'
Usage: packaging/cluster_test.sh [options]     as root, on Debian 12 or later

  --packages DIR     test the packages in DIR, which packaging/package.sh made (default build/packages)
  --systems DIR      keep the Debian system that is installed for this in DIR (default build/systems)
  --mirror URL       Debian's packages (default: where this machine gets its own)
  --help             this text

It takes a minute, and one more to install the system.
TEXT
}

packages=build/packages
systems=build/systems
mirror=
while [ $# -gt 0 ]; do
    case "$1" in
        --packages | --systems | --mirror)
            [ $# -ge 2 ] || { echo "cluster_test.sh: $1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift ;;
        --help | -h) usage; exit 0 ;;
        *) echo "cluster_test.sh: unknown option $1; see --help" >&2; exit 2 ;;
    esac
    shift
done
[ "$(id -u)" -eq 0 ] || { echo "cluster_test.sh: systems are booted, for which it must be root" >&2; exit 2; }
packages=$(realpath -- "$packages")
systems=$(realpath -m -- "$systems")
cd "$(dirname "$0")/.." || exit 1
suite=bookworm
prompt="Once upon a time"
model=shoal-demo-q8_0
boards=(red green blue)

. packaging/systems.sh
wire=shoal-wire-$$
asking=
clean_up() {
    [ -z "$asking" ] || kill "$asking" 2>/dev/null
    clean_up_systems
    local name
    for name in "$wire" "${boards[@]/#/shoal-$$-}"; do ip netns delete "$name" 2>/dev/null; done
}
trap clean_up EXIT
trap 'exit 130' INT TERM

step "What this test needs"
packaging/build-deps.sh debootstrap systemd-container apt-utils iproute2 || exit 1
mirror=${mirror:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    "Release: $suite" | head -n 1)}
deb=$(find "$packages" -maxdepth 1 -name "shoal_*_$(dpkg --print-architecture).deb" | sort -V | tail -n 1)
demo=$(find "$packages" -maxdepth 1 -name 'shoal-demo-model_*_all.deb' | sort -V | tail -n 1)
[ -f "$deb" ] && [ -f "$demo" ] || { echo "cluster_test.sh: no packages in $packages" >&2; exit 1; }
version=$(dpkg-deb --field "$deb" Version)

on() { # board, command...: as an ordinary user of the group
    local board=$1
    shift
    inside "$board" runuser -u ann -- "$@"
}
sees() { # board, how many devices
    [ "$(on "$1" shoal --json status 2>/dev/null | python3 -c '
import json, sys
print(len(json.load(sys.stdin)["devices"]))')" = "$2" ]
}
all_see_three() {
    local board
    for board in "${boards[@]}"; do sees "$board" 3 || return 1; done
}
answer() { # board, tokens
    on "$1" shoal --quiet --json run --raw "$model" "$prompt" -n "$2" --temperature 0 2>&1
}
# Asks a board again and again until `work`/enough is there, and notes how each answer ended.
keep_asking() { # board
    rm -f "$work/enough"
    while [ ! -e "$work/enough" ]; do
        if [ "$(answer "$1" 40 | tee "$work/last" | ids 2>/dev/null | wc -w)" -eq 40 ]; then
            echo whole >>"$work/answers"
        else
            echo lost >>"$work/answers"
            cat "$work/last"
        fi
    done >"$work/complaints" 2>&1
}
none_lost() {
    cat "$work/complaints"
    grep -q whole "$work/answers" && ! grep -q lost "$work/answers"
}
end_asking() {
    touch "$work/enough"
    wait "$asking"
    asking=
    check "no answer was lost" none_lost
    figure "answers meanwhile" "$(grep -c whole "$work/answers"), lost $(grep -c lost "$work/answers")"
}
begin_asking() { # board
    rm -f "$work/answers"
    keep_asking "$1" &
    asking=$!
}

left_out() {
    echo "cluster_test.sh: left out, as $1: $(tail -n 1 "$work/output")" >&2
    exit 77
}

step "Three systems on a wire"
clean_system "$(dpkg --print-architecture)" "${boards[0]}" || exit 1
in_root "$work/${boards[0]}" true >"$work/output" 2>&1 || left_out "no container runs here"
ip netns add "$wire" 2>"$work/output" || left_out "no network namespace can be made here"
ip -n "$wire" link add bridge type bridge
ip -n "$wire" link set bridge up
mkdir "$work/old"
older "$deb" "$work/old"
older "$demo" "$work/old"
publish "$work/${boards[0]}" "$work/old"/*.deb
check "the packages are installed" in_root "$work/${boards[0]}" sh -c '
    apt-get -q update && apt-get -q -y install --no-install-recommends shoal &&
    useradd --create-home --groups shoal ann'
printf "[plan]\nmin_devices = 3\n" >"$work/${boards[0]}/etc/shoal/shoald.toml"
number=0
for board in "${boards[@]}"; do
    number=$((number + 1))
    [ "$board" = "${boards[0]}" ] || cp -a --reflink=auto "$work/${boards[0]}" "$work/$board"
    echo "$board" >"$work/$board/etc/hostname"
    rm -f "$work/$board/etc/machine-id"
    ip netns add "shoal-$$-$board"
    ip -n "shoal-$$-$board" link add eth0 type veth peer name "to-$board" netns "$wire"
    ip -n "$wire" link set "to-$board" master bridge up
    ip -n "shoal-$$-$board" address add "10.77.0.$number/24" dev eth0
    ip -n "shoal-$$-$board" link set eth0 up
    ip -n "shoal-$$-$board" link set lo up
done
# Two have the model's file, so that either can be lost.
for board in "${boards[@]:0:2}"; do
    check "$board gets the model" in_root "$work/$board" apt-get -q -y install shoal-demo-model
done
for board in "${boards[@]}"; do
    start_system "$board" "--network-namespace-path=/run/netns/shoal-$$-$board"
done
for board in "${boards[@]}"; do
    check "$board is up" is_up "$board"
    [ -n "${machine[$board]:-}" ] || exit 1
done
check "each is a cluster of its own" eventually 30 sees blue 1

step "Invited"
invitation() { on red shoal invite --no-qr | grep -oE 'shoal-join[0-9a-z-]+' | head -n 1; }
line=$(invitation)
check "green joins" on green shoal join "$line"
check "the line is of no use to another one" sh -c '! "$@"' - \
    nsenter --target "${machine[blue]}" --all -- env --chdir=/ runuser -u ann -- shoal join "$line"
check "blue joins by a line of its own" on blue shoal join "$(invitation)"
check "all three see three" eventually 30 all_see_three
check "they answer together" test "$(answer blue 40 | ids | wc -w)" -eq 40
check "all of them compute" sh -c '"$@" | grep -cE "ready" | grep -qx 3' - \
    nsenter --target "${machine[red]}" --all -- env --chdir=/ runuser -u ann -- shoal status

step "A reboot"
begin_asking red
sleep 2
stop_system green
sleep 5
check "green is up again" boot green "--network-namespace-path=/run/netns/shoal-$$-green"
check "and in the cluster" eventually 60 all_see_three
sleep 2
end_asking

step "An upgrade of all, one after the other"
for index in 0 1 2; do
    board=${boards[$index]}
    begin_asking "${boards[$(((index + 1) % 3))]}"
    publish "$work/$board" "$deb" "$demo"
    check "$board upgrades" inside "$board" sh -c 'apt-get -q update -o Dir::Etc::SourceList=/dev/null &&
        apt-get -q -y -o Dpkg::Options::=--force-confold upgrade'
    check "$board has version $version" test "$(inside "$board" dpkg-query -W -f '${Version}' shoal)" = "$version"
    check "all three see three" eventually 60 all_see_three
    sleep 2
    end_asking
done

summary
