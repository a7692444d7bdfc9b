#!/usr/bin/env bash
# Builds Shoal and runs its tests: installs what they need, configures, compiles, tests, and sums
# up. The last line is "N passed, N failed", counting single test cases.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tests/run.sh [options] [SUITE...]
Runs all test suites, or those named (see `meson test --list`).

  --build DIR        build folder, from the repository's root (default build-test)
  --setup-args ARGS  arguments for `meson setup`, split at spaces
  --targets LIST     what to build, split at spaces (default: everything)
  --test-args ARGS   arguments for `meson test`, split at spaces
  --label NAME       name of this build in the table (default: the build folder's)
  --results FILE     append the counts to FILE instead of printing the table
  --build-only       compile, and run nothing
  --packages LIST    further Debian packages that are needed
  --no-install       do not install missing packages
  --help             this text

CXX and the other variables of Meson and the tests work as usual. SHOAL_REFERENCE names a folder
of reference models for the tests that compare with them; without it they are skipped.
TEXT
}

packages=(iproute2)
build='build-test'
setup_args=()
targets=()
test_args=()
label=
results=
install=yes
build_only=no
suites=()

need() { # option, values left
    if [ "$2" -lt 2 ]; then
        echo "tests/run.sh: $1 needs a value" >&2
        exit 2
    fi
}

while [ $# -gt 0 ]; do
    case "$1" in
        --build) need "$1" $#; build=$2; shift ;;
        --setup-args) need "$1" $#; read -ra setup_args <<<"$2"; shift ;;
        --targets) need "$1" $#; read -ra targets <<<"$2"; shift ;;
        --test-args) need "$1" $#; read -ra test_args <<<"$2"; shift ;;
        --label) need "$1" $#; label=$2; shift ;;
        --results) need "$1" $#; results=$(realpath -m "$2"); shift ;;
        --packages) need "$1" $#; read -ra more <<<"$2"; packages+=("${more[@]}"); shift ;;
        --build-only) build_only=yes ;;
        --no-install) install=no ;;
        --help | -h) usage; exit 0 ;;
        -*) echo "tests/run.sh: unknown option $1; see --help" >&2; exit 2 ;;
        *) suites+=("$1") ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
label=${label:-$(basename "$build")}

# Results go to a file so that a failed build still ends with the table and the counts.
table=$(mktemp)
trap 'rm -f "$table"' EXIT

log=$build/meson-logs/testlog.json

build() {
    if [ -f "$build/meson-private/coredata.dat" ]; then
        meson setup --reconfigure "$build" "${setup_args[@]}" || return 1
    else
        meson setup "$build" "${setup_args[@]}" || return 1
    fi
    ninja -C "$build" "${targets[@]}"
}

build_and_test() {
    rm -f "$log"
    build || return 1
    # The verdict comes from the counts below.
    meson test -C "$build" --no-rebuild --print-errorlogs --timeout-multiplier 4 \
        "${test_args[@]}" "${suites[@]}" || true
    [ -s "$log" ] || return 1
    python3 tests/summary.py collect "$label" "$log" >>"$table"
}

[ "$install" = no ] || packaging/build-deps.sh "${packages[@]}"
if [ "$build_only" = yes ]; then
    build </dev/null
    exit
fi
if ! build_and_test </dev/null; then
    echo "$label build 0 1 0 0.0" >>"$table"
fi

if [ -n "$results" ]; then
    cat "$table" >>"$results"
    if awk '$4 > 0' "$table" | grep -q .; then exit 1; fi
else
    python3 tests/summary.py show "$table" "$log"
fi
