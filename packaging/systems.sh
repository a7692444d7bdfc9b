# Debian systems for the tests of the packages: installed once, copied, booted in containers, several
# at a time. Sourced by test.sh and cluster_test.sh, which set `systems`, `suite` and `mirror`.
# shellcheck shell=bash disable=SC2154

passed=0
failed=0
step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }
# Runs a command, and counts what comes of it.
check() { # what must hold, command...
    local what=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what"
        tail -n 30 "$work/output" | sed 's/^/      /'
    fi
}
figure() { printf '      %-34s %s\n' "$1" "$2"; }
summary() {
    printf '\n%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}
eventually() { # seconds, command...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

# Of each booted system: the process that contains it, and its first one.
declare -A container machine
work=$(mktemp -d)

stop_system() { # name
    [ -n "${container[$1]:-}" ] || return 0
    [ -z "${machine[$1]:-}" ] || inside "$1" systemctl poweroff >/dev/null 2>&1
    local end=$((SECONDS + 20))
    while kill -0 "${container[$1]}" 2>/dev/null && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
    kill -KILL "${container[$1]}" 2>/dev/null
    unset "machine[$1]" "container[$1]"
}
# Only what is ours: the systems' copies lie in `work`, with what is mounted there taken off first.
clean_up_systems() {
    local name mounted
    for name in "${!container[@]}"; do stop_system "$name"; done
    for mounted in $(awk -v at="$work/" 'index($2, at) == 1 { print $2 }' /proc/mounts | sort -r); do
        umount -l "$mounted"
    done
    rm -rf --one-file-system "$work"
    [ -z "$emulates" ] || echo -1 >"$binfmt/qemu-aarch64"
}

# Lets this machine run programs for 64-bit ARM, as long as the script runs. In containers as well:
# the kernel keeps the emulator open.
binfmt=/proc/sys/fs/binfmt_misc
emulates=
emulate_arm64() {
    [ -e $binfmt/register ] || mount -t binfmt_misc none $binfmt || return 1
    [ ! -e $binfmt/qemu-aarch64 ] || return 0
    grep -h '^:qemu-aarch64:' /usr/lib/binfmt.d/qemu-aarch64.conf >$binfmt/register || return 1
    emulates=yes
}

# A clean Debian, kept for the next time; each test gets copies, as `work`/NAME.
clean_system() { # architecture, name
    local folder=$systems/$suite-$1
    [ -e "$folder/.complete" ] || {
        rm -rf --one-file-system "$folder"
        mkdir -p "$systems"
        debootstrap --arch="$1" --variant=minbase --include=dbus,systemd,systemd-sysv,debconf \
            "$suite" "$folder" "$mirror" >"$work/debootstrap.log" 2>&1 || {
            tail -n 20 "$work/debootstrap.log"
            return 1
        }
        touch "$folder/.complete"
    }
    cp -a --reflink=auto "$folder" "$work/$2"
}

# The same package as an older version, with another text in its settings: what is upgraded from.
older() { # package, folder
    local name
    name=$(dpkg-deb --field "$1" Package)
    dpkg-deb --raw-extract "$1" "$work/older"
    sed -i 's/^Version: .*/Version: 0.0.1/' "$work/older/DEBIAN/control"
    if [ -f "$work/older/etc/shoal/shoald.toml" ]; then
        echo "# of an older version" >>"$work/older/etc/shoal/shoald.toml"
    fi
    dpkg-deb --root-owner-group -Znone --build "$work/older" \
        "$2/${name}_0.0.1_$(dpkg-deb --field "$1" Architecture).deb" >/dev/null
    rm -rf "$work/older"
}

# A repository on the system's own disk.
publish() { # root, packages...
    local root=$1
    shift
    mkdir -p "$root/srv/apt"
    cp "$@" "$root/srv/apt/"
    (cd "$root/srv/apt" && apt-ftparchive packages . >Packages)
    echo "deb [trusted=yes] file:/srv/apt ./" >"$root/etc/apt/sources.list.d/shoal.list"
}

in_root() { # root, command...
    local root=$1
    shift
    systemd-nspawn --quiet --directory="$root" --register=no --keep-unit --console=pipe \
        --setenv=DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

start_system() { # name, systemd-nspawn's option for its network
    systemd-nspawn --boot --quiet --directory="$work/$1" "$2" --register=no --keep-unit \
        --console=pipe >"$work/$1.console" 2>&1 </dev/null &
    container[$1]=$!
}
# The child that is the first process of a PID namespace. For a moment there is one that prepares it,
# in namespaces of this machine.
first_process() { # name
    local child
    for child in $(pgrep --parent "${container[$1]}"); do
        awk '/^NSpid:/ { first = NF > 2 && $NF == 1 } END { exit !first }' "/proc/$child/status" &&
            echo "$child" && return
    done
}
is_up() { # name of one that was started; waits for it
    local end=$((SECONDS + 60)) state
    while [ "$SECONDS" -lt "$end" ]; do
        sleep 0.2
        machine[$1]=$(first_process "$1" 2>/dev/null)
        [ -n "${machine[$1]}" ] || continue
        state=$(inside "$1" systemctl is-system-running 2>/dev/null)
        case "$state" in running | degraded) return 0 ;; esac
    done
    cat "$work/$1.console"
    unset "machine[$1]"
    return 1
}
boot() { # as start_system
    start_system "$@"
    is_up "$1"
}
# Runs a command in a booted system. A network that it was given is joined by itself.
inside() { # name, command...
    local name=$1
    shift
    nsenter --target "${machine[$name]}" --all -- env -i --chdir=/ \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@" </dev/null
}

# The tokens of an answer as `shoal --json run` prints it.
ids() { python3 -c '
import json, sys
print(*(e["id"] for e in map(json.loads, sys.stdin) if e["event"] == "token"))'; }
