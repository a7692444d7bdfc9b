#!/usr/bin/env bash
# Builds the packages once more as if somebody else did, and compares every byte.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: packaging/reproduce.sh [--packages DIR] [--no-install] [amd64|arm64|all]

Builds the packages and compares them with those in DIR (default build/packages), which
packaging/package.sh built from the same work tree, in the version of the latest there; are there
none, they are built first.
The second build has another folder, home, umask, time zone, language and number of jobs, files as
old as those of another checkout, and no compiler cache. What building needs must be there by then,
as it is after package.sh. A difference is shown by diffoscope
where it is installed (apt install diffoscope-minimal). The exit code is 0 when there is none.
TEXT
}

packages=build/packages
install=()
architecture=$(dpkg --print-architecture)
while [ $# -gt 0 ]; do
    case "$1" in
        --packages)
            [ $# -ge 2 ] || { echo "reproduce.sh: $1 needs a value" >&2; exit 2; }
            packages=$2
            shift ;;
        --no-install) install=(--no-install) ;;
        --help | -h) usage; exit 0 ;;
        amd64 | arm64 | all) architecture=$1 ;;
        *) echo "reproduce.sh: unknown option or architecture $1; see --help" >&2; exit 2 ;;
    esac
    shift
done
cd "$(dirname "$0")/.." || exit 1
packages=$(realpath -m -- "$packages")
case "$architecture" in all) wanted=(amd64 arm64) ;; *) wanted=("$architecture") ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

latest() { find "$1" -maxdepth 1 -name "$2" | sort -V | tail -n 1; } # folder, pattern

for each in "${wanted[@]}"; do
    [ -n "$(latest "$packages" "shoal_*_$each.deb")" ] ||
        packaging/package.sh --output "$packages" "${install[@]}" "$each" || exit 1
done

version=$(dpkg-deb --field "$(latest "$packages" "shoal_*_${wanted[0]}.deb")" Version)

# What is tracked, as package.sh takes it, but from a tree of another place and age.
tree="$work/some body else's tree"
mkdir -p "$tree" "$work/home"
git ls-files -z | tar --create --null --files-from - --mtime=2001-02-03 | tar --extract --directory "$tree"
git -C "$tree" init --quiet
git -C "$tree" add --all --force
# Meson takes ccache up where it finds it, also under its own name, which then only calls the compiler.
path=$(tr ':' '\n' <<<"$PATH" | grep -v '/ccache$' | paste -s -d :)
(
    umask 0077
    cd "$tree" && env CCACHE_DISABLE=1 PATH="$path" HOME="$work/home" TZ=Pacific/Kiritimati \
        LC_ALL=C.UTF-8 LANG=C.UTF-8 DEB_BUILD_OPTIONS="parallel=$(($(nproc) + 1))" \
        packaging/package.sh --output "$work/again" --version "$version" --no-install "$architecture"
) >"$work/log" 2>&1 || { tail -n 30 "$work/log"; exit 1; }

differing=0
for again in "$work"/again/*.deb; do
    name=$(basename "$again")
    if cmp "$packages/$name" "$again"; then
        echo "same       $name  $(sha256sum <"$again" | cut -c1-64)"
    else
        echo "different  $name"
        differing=$((differing + 1))
        ! command -v diffoscope >/dev/null || diffoscope "$packages/$name" "$again" | head -n 100 || true
    fi
done
[ "$differing" -eq 0 ]
