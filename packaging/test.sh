#!/usr/bin/env bash
# Tests the packages as a person would have them: built, looked through by lintian, installed by apt
# into a clean Debian that is booted in a container, used, reloaded, upgraded and purged; and those
# for 64-bit ARM in a Debian of that architecture under emulation. The last line is
# "N passed, N failed", and the exit code says the same.
set -uo pipefail

usage() {
    cat <<'TEXT'
Usage: packaging/test.sh [options]          as root, on Debian 12 or later

  --packages DIR     test the packages in DIR, which packaging/package.sh made, and build none
  --no-arm64         leave out 64-bit ARM: no cross build, no emulation
  --no-rebuild       do not build a second time to compare
  --systems DIR      keep the Debian systems that are installed for this in DIR, for the next time
                     (default build/systems)
  --mirror URL       Debian's packages (default: where this machine gets its own)
  --no-install       do not install missing packages
  --help             this text

All of it takes some forty minutes on two processors: a build of twelve for each architecture, as
long again for the comparison, and some minutes for a system of each, the first time. The reduced
form for built packages, --packages DIR --no-arm64, takes four minutes.
TEXT
}

packages=
arm64=yes
rebuild=yes
systems=
mirror=
install=yes
while [ $# -gt 0 ]; do
    case "$1" in
        --packages | --systems | --mirror)
            [ $# -ge 2 ] || { echo "test.sh: $1 needs a value" >&2; exit 2; }
            declare "${1#--}=$2"
            shift ;;
        --no-arm64) arm64=no ;;
        --no-rebuild) rebuild=no ;;
        --no-install) install=no ;;
        --help | -h) usage; exit 0 ;;
        *) echo "test.sh: unknown option $1; see --help" >&2; exit 2 ;;
    esac
    shift
done
[ "$(id -u)" -eq 0 ] || { echo "test.sh: systems are installed and booted, for which it must be root" >&2; exit 2; }
[ -z "$packages" ] || packages=$(realpath -- "$packages")
cd "$(dirname "$0")/.." || exit 1
systems=$(realpath -m -- "${systems:-build/systems}")
suite=bookworm
prompt="Once upon a time"
model=shoal-demo-q8_0

. packaging/systems.sh
trap clean_up_systems EXIT
trap 'exit 130' INT TERM

step "What this test needs"
if [ "$install" = yes ]; then
    needed=(lintian debootstrap systemd-container apt-utils)
    [ "$arm64" = no ] || needed+=(qemu-user-static file)
    packaging/build-deps.sh "${needed[@]}" || exit 1
fi
mirror=${mirror:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    "Release: $suite" | head -n 1)}

# ---- building ----

architectures=(amd64)
[ "$arm64" = no ] || architectures+=(arm64)
if [ -z "$packages" ]; then
    step "Build"
    packages=$PWD/build/packages
    rm -rf "$packages"
    which=$([ "$arm64" = yes ] && echo all || echo amd64)
    check "the packages build" packaging/package.sh --output "$packages" "$which"
    if [ "$rebuild" = yes ]; then
        check "built again by somebody else they are the same, bit by bit" \
            packaging/reproduce.sh --packages "$packages" "$which"
    fi
fi
deb_of() { find "$packages" -maxdepth 1 -name "shoal_*_$1.deb" | sort -V | tail -n 1; }
demo=$(find "$packages" -maxdepth 1 -name 'shoal-demo-model_*_all.deb' | sort -V | tail -n 1)
for architecture in "${architectures[@]}"; do
    [ -f "$(deb_of "$architecture")" ] ||
        { echo "test.sh: no package for $architecture in $packages" >&2; exit 1; }
done
version=$(dpkg-deb --field "$(deb_of amd64)" Version)

step "The packages themselves"
# Among a megabyte of machine code some bytes now and then look like a misspelt word.
strict=(--pedantic --display-info --allow-root --fail-on "error,warning,info,pedantic"
    --suppress-tags spelling-error-in-binary)
for architecture in "${architectures[@]}"; do
    deb=$(deb_of "$architecture")
    check "lintian has nothing to say of $(basename "$deb")" \
        lintian "${strict[@]}" "$deb"
    kib=$(dpkg-deb --field "$deb" Installed-Size)
    figure "installed size, $architecture" "$((kib / 1024)).$((kib % 1024 * 10 / 1024)) MiB"
    check "it takes less than 6 MB" test "$kib" -lt 5860
done
check "lintian has nothing to say of $(basename "$demo")" \
    lintian "${strict[@]}" "$demo"
unit=$work/shoald.service
dpkg-deb --fsys-tarfile "$(deb_of amd64)" |
    tar --extract --to-stdout --wildcards '*/shoald.service' >"$unit"
score=$(systemd-analyze security --offline=true "$unit" | sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p')
figure "systemd-analyze security" "$score"
check "the unit is exposed by 2.0 at most" awk -v "score=$score" 'BEGIN { exit !(score <= 2.0) }'

# ---- a system ----

here() { inside amd64 "$@"; }
as_ann() { here runuser -u ann -- "$@"; }
journal_has() { here journalctl --unit shoald --output cat | grep -qE -- "$1"; }
is_active() { [ "$(here systemctl is-active shoald)" = active ]; }
property() { here systemctl show shoald --property "$1" --value; }
# The system's files, but for what dpkg, apt and the log write anyway.
files_of() { # root
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run \
        -o -path ./tmp -o -path ./srv -o -path './var/lib/dpkg' -o -path './var/lib/apt' \
        -o -path './var/cache' -o -path './var/log' -o -path ./root -o -path ./home \
        -o -path './var/lib/systemd' -o -path ./var/tmp -o -path './etc/ssl' -o -path ./usr/share/doc \
        \) -prune -o -print | LC_ALL=C sort)
}

# All of it: owners, modes, contents. Not looked at is what dpkg, apt and tools that they call write
# of anything that comes and goes.
state_of() { # root
    local but=(-path ./var/log -o -path ./var/cache -o -path ./var/lib/apt -o -path ./srv -o -path ./tmp
        -o -path './var/lib/dpkg/*-old' -o -path './var/lib/dpkg/lock*' -o -path './etc/*-'
        -o -path ./etc/.pwd.lock)
    (cd "$1" && find . -xdev \( "${but[@]}" \) -prune -o -printf '%p %y %m %U:%G %l\n' &&
        find . -xdev \( "${but[@]}" \) -prune -o -type f -print0 | xargs -0 sha256sum) | LC_ALL=C sort
}

# ---- amd64, booted ----

step "A clean Debian, with the packages of an older version"
clean_system amd64 amd64 || exit 1
root=$work/amd64
mkdir "$work/old"
older "$(deb_of amd64)" "$work/old"
older "$demo" "$work/old"
publish "$root" "$work/old"/*.deb
check "apt updates" in_root "$root" apt-get -q update
# What it depends on stays, as from now on there is no network.
mapfile -t depends < <(in_root "$root" apt-get -s install --no-install-recommends shoal 2>/dev/null |
    awk '$1 == "Inst" && $2 !~ /^shoal/ { print $2 }' | tr -d '\r')
check "what it depends on is there" in_root "$root" apt-get -q -y install --no-install-recommends \
    procps "${depends[@]}"
state_of "$root" >"$work/state.before"
check "apt installs it" in_root "$root" apt-get -q -y install --no-install-recommends \
    shoal shoal-demo-model
check "apt purges it again" in_root "$root" apt-get -q -y purge shoal shoal-demo-model
state_of "$root" >"$work/state.after"
check "then every file of the system is what it was" diff "$work/state.before" "$work/state.after"
files_of "$root" >"$work/files.before"
check "apt installs it where nothing runs" in_root "$root" apt-get -q -y install \
    --no-install-recommends shoal shoal-demo-model
check "nothing was started" test ! -e "$root/var/lib/shoal/device.key"

step "Booted"
check "the system is up" boot amd64 --private-network
[ -n "${machine[amd64]:-}" ] || exit 1
check "the service is up" eventually 30 is_active
check "it made a cluster key and says so" journal_has "made a cluster key, /var/lib/shoal/cluster.key"
check "the key is its own alone" test "$(stat -c %a "$root/var/lib/shoal/cluster.key")" = 600
active=$(property ActiveEnterTimestampMonotonic)
begun=$(property ExecMainStartTimestampMonotonic)
figure "from its start to ready" "$(((active - begun) / 1000)) ms"
check "priorities are in the journal, and no time twice" sh -c '! grep -qE "^<|^20[0-9][0-9]-" "$1"' - \
    <(here journalctl --unit shoald --output cat)
check "an ordinary user is added to the group" here useradd --create-home --groups shoal ann
here useradd --create-home bob
check "who is in the group sees the status" as_ann shoal status
check "who is not is told what to do" sh -c '"$@" 2>&1 | grep -q "usermod -aG shoal"' - \
    nsenter --target "${machine[amd64]}" --all -- env --chdir=/ runuser -u bob -- shoal status
check "the model is found" eventually 30 sh -c '"$@" | grep -q '"$model" - \
    nsenter --target "${machine[amd64]}" --all -- env --chdir=/ runuser -u ann -- shoal models
as_ann shoal --quiet --json run --raw "$model" "$prompt" -n 60 --temperature 0 >"$work/amd64.json"
ids <"$work/amd64.json" >"$work/amd64.ids"
check "a prompt is answered" test "$(wc -w <"$work/amd64.ids")" -eq 60
check "members of the group put models where they are found" as_ann \
    cp "/usr/share/shoal/models/$model.gguf" /var/lib/shoal/models/mine.gguf

check "they add models" as_ann shoal add --link "/usr/share/shoal/models/$model.gguf"
check "and remove them" as_ann shoal rm "$model"
check "but not those of packages" sh -c '! "$@"' - \
    nsenter --target "${machine[amd64]}" --all -- env --chdir=/ runuser -u ann -- shoal rm "$model"

# What the measurement of the first start takes is not idle.
eventually 60 test -e "$root/var/lib/shoal/measured.json"
main=$(property MainPID)
ticks() { here cat "/proc/$main/stat" | awk '{ print $14 + $15 }'; }
sleep 3
before=$(ticks)
sleep 10
after=$(ticks)
figure "idle CPU" "$(awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" 'BEGIN { printf "%.2f %% of one processor", t / hz * 10 }')"
figure "idle memory, model loaded" "$(here awk '/VmRSS|RssAnon/ { printf "%s %.1f MiB  ", $1, $2 / 1024 }' "/proc/$main/status")"

step "Reloads"
cat >"$root/etc/shoal/shoald.toml" <<'TOML'
[models]
default = "mine"
[http]
port = 9999
[log]
level = "debug"
TOML
check "a reload is taken" here systemctl reload shoald
check "it applies what it can" eventually 10 journal_has 'log.level is now "debug"'
check "it names what takes a restart" journal_has "http.port = 9999 takes a restart"
check "the process is the same" test "$main" = "$(property MainPID)"
echo 'broken = ' >>"$root/etc/shoal/shoald.toml"
check "a broken file is refused" sh -c '! "$@"' - \
    nsenter --target "${machine[amd64]}" --all -- env --chdir=/ systemctl reload shoald
check "the log says what is wrong" journal_has "shoald.toml:7"
check "it runs on" as_ann shoal status
sed -i '/broken/d' "$root/etc/shoal/shoald.toml"

step "Hung, killed, and back"
mkdir -p "$root/run/systemd/system" "$root/etc/systemd/system/shoald.service.d"
printf '[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nRestartSec=100ms\n' \
    >"$root/etc/systemd/system/shoald.service.d/test.conf"
here systemctl daemon-reload
here systemctl restart shoald
eventually 20 is_active
main=$(property MainPID)
sleep 5
check "one that turns is left alone" test "$main" = "$(property MainPID)"
here kill -STOP "$main"
back() { local now; now=$(property MainPID); [ "$now" != "$main" ] && [ "$now" != 0 ] && is_active; }
check "one that hangs is started again" eventually 30 back
main=$(property MainPID)
here kill -SEGV "$main"
check "one that crashes is started again" eventually 30 back
check "it answers again" eventually 20 as_ann shoal status
rm -r "$root/etc/systemd/system/shoald.service.d"
here systemctl daemon-reload

step "Upgrade"
settings=$(sha256sum <"$root/etc/shoal/shoald.toml")
key=$(sha256sum <"$root/var/lib/shoal/cluster.key")
main=$(property MainPID)
publish "$root" "$(deb_of amd64)" "$demo"
check "apt updates" here apt-get -q update -o Dir::Etc::SourceList=/dev/null
# As upgrades do that nobody watches; a person is asked.
check "apt upgrades" here apt-get -q -y -o Dpkg::Options::=--force-confold upgrade
check "it is version $version" test "$(here dpkg-query -W -f '${Version}' shoal)" = "$version"
check "settings that somebody changed are as they were" \
    test "$settings" = "$(sha256sum <"$root/etc/shoal/shoald.toml")"
check "so is the key" test "$key" = "$(sha256sum <"$root/var/lib/shoal/cluster.key")"
check "the new one runs" eventually 30 back
as_ann shoal --quiet --json run --raw "$model" "$prompt" -n 60 --temperature 0 | ids >"$work/upgraded.ids"
check "it answers as before" cmp "$work/amd64.ids" "$work/upgraded.ids"

step "Purge"
check "it is removed" here apt-get -q -y remove shoal
check "removed, settings and models are there" test -e "$root/etc/shoal/shoald.toml" \
    -a -e "$root/var/lib/shoal/models/mine.gguf"
check "it comes back with all of it" here apt-get -q -y -o Dpkg::Options::=--force-confold \
    install --no-install-recommends shoal
check "and is started" eventually 30 is_active
check "the key is the same" test "$key" = "$(sha256sum <"$root/var/lib/shoal/cluster.key")"
check "it is purged" here apt-get -q -y purge shoal
check "models that somebody put there stay" test -e "$root/var/lib/shoal/models/mine.gguf"
check "nothing else of its state does" test "$(find "$root/var/lib/shoal" | wc -l)" -eq 3
check "and they belong to whom they did" test "$(here stat -c %U:%G /var/lib/shoal/models)" = shoal:shoal
check "it is installed again" here apt-get -q -y install --no-install-recommends shoal
check "models that stayed are found again" eventually 30 sh -c '"$@" | grep -q mine' - \
    nsenter --target "${machine[amd64]}" --all -- env --chdir=/ shoal models
here sh -c 'echo "shoal shoal/purge-models boolean true" | debconf-set-selections'
check "it is purged with its models" here apt-get -q -y purge shoal shoal-demo-model
here userdel --remove ann 2>/dev/null
here userdel --remove bob 2>/dev/null
check "its user and group are gone" sh -c '! grep -q "^shoal:" "$1/etc/passwd" "$1/etc/group"' - "$root"
stop_system amd64
files_of "$root" >"$work/files.after"
left() { LC_ALL=C comm -13 "$work/files.before" "$work/files.after" | grep -i shoal; }
check "nothing of it is left" sh -c '[ -z "$1" ] || { echo "$1"; exit 1; }' - "$(left)"

# ---- arm64, emulated ----

# The emulation has neither systemd nor its sandbox: the daemon alone, as its own user, and two people.
# The model's name and a prompt are the arguments; an answer goes to standard output.
in_arm64='
    install -d -o shoal -g shoal -m 750 /run/shoal
    setpriv --reuid=shoal --regid=shoal --init-groups shoald & daemon=$!
    for i in $(seq 600); do
        runuser -u ann -- shoal models 2>/dev/null | grep -q "$1" && break
        sleep 0.5
    done
    runuser -u ann -- shoal status >&2
    runuser -u bob -- shoal status >&2
    runuser -u ann -- shoal --json run --raw "$1" "$2" -n 60 --temperature 0
    kill $daemon
    wait $daemon
    echo "shoald ended with $?" >&2'

if [ "$arm64" = yes ]; then
    step "64-bit ARM, emulated"
    emulate_arm64 || exit 1
    check "a clean Debian" clean_system arm64 arm64
    root=$work/arm64
    said() { in_root "$root" "$@" 2>/dev/null | tr -d '\r'; }
    publish "$root" "$(deb_of arm64)" "$demo"
    check "apt updates" in_root "$root" apt-get -q update
    check "apt installs it" in_root "$root" apt-get -q -y install --no-install-recommends \
        shoal shoal-demo-model
    # dpkg says what is not, and exits with 0 all the same.
    check "its files are as they were packed" sh -c '[ -z "$1" ] || { echo "$1"; exit 1; }' - \
        "$(said dpkg --verify shoal || echo "dpkg --verify failed")"
    check "they are for this architecture" test "$(said dpkg --print-architecture) $(
        file --brief "$root"/usr/bin/shoal "$root"/usr/bin/shoald | grep -c 'ARM aarch64')" = "arm64 2"
    # A version of a build in between is the packages' alone.
    check "the daemon says its version" test "$(said shoald --version)" = "shoald ${version%%[+~-]*}"
    check "the client says its version" test "$(said shoal --version)" = "shoal ${version%%[+~-]*}"
    check "the settings are fine" in_root "$root" sh -c \
        'install -d -o shoal -g shoal -m 750 /run/shoal && runuser -u shoal -- shoald --check'
    in_root "$root" sh -c 'useradd --create-home --groups shoal ann; useradd --create-home bob' >/dev/null
    # What every such processor can, then what the emulation can in all.
    for cpu in cortex-a72 max; do
        case $cpu in max) isa=i8mm ;; *) isa=neon ;; esac
        check "as $cpu it chooses $isa" test "$isa" = \
            "$(said env QEMU_CPU=$cpu shoald --cpu | awk '$2 == "chosen" { print $1 }')"
        begun=$SECONDS
        in_root "$root" env QEMU_CPU=$cpu sh -c "$in_arm64" - "$model" "$prompt" \
            >"$work/arm64.json" 2>"$work/arm64.log"
        figure "start and 60 tokens as $cpu" "$((SECONDS - begun)) s"
        ids <"$work/arm64.json" >"$work/arm64.ids" 2>/dev/null
        check "as $cpu its answer has the tokens of amd64's" cmp "$work/amd64.ids" "$work/arm64.ids"
        [ -s "$work/arm64.ids" ] || tail -n 20 "$work/arm64.log"
        check "who is not in its group is told what to do" grep -q "usermod -aG shoal" "$work/arm64.log"
        check "the daemon ends as it is told" grep -q "shoald ended with 0" "$work/arm64.log"
    done
    check "it is purged" in_root "$root" apt-get -q -y purge shoal shoal-demo-model
    rm "$root/etc/apt/sources.list.d/shoal.list"
    check "nothing of it is left" sh -c '! find "$1" -xdev -path "$1/srv" -prune -o -name "*shoal*" -print |
        grep -vE "/var/(cache|log|lib/apt)/" | grep .' - "$root"
fi

summary
