#!/usr/bin/env bash
# Runs the suites in which threads meet under ThreadSanitizer. Debian's libzmq is not instrumented
# and gives false races, so its source package is rebuilt with the sanitizer first (a minute) and
# put before it; without the source nothing is run and that is a failure.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: tests/tsan.sh [options] [SUITE...]
Builds in a folder of its own and runs the suites (default: exec daemon exchange http mesh).

  --build DIR         build folder, from the repository's root (default build-tsan)
  --label NAME        name of this build in the table (default: tsan)
  --results FILE      append the counts to FILE instead of printing the table
  --build-only        compile, and run nothing
  --no-install        do not install missing packages
  --zmq-source DIR    unpacked source of libzmq; otherwise Debian's is fetched
  --help              this text
TEXT
}

build=build-tsan
source=
install=yes
build_only=no
label=tsan
results=
pass=()
suites=()
while [ $# -gt 0 ]; do
    case "$1" in
        --build | --label | --results | --zmq-source)
            [ $# -ge 2 ] || { echo "tests/tsan.sh: $1 needs a value" >&2; exit 2; }
            case "$1" in
                --build) build=$2 ;;
                --label) label=$2 ;;
                --results) results=$(realpath -m "$2"); pass+=("$1" "$results") ;;
                --zmq-source) source=$(realpath "$2") ;;
            esac
            shift ;;
        --no-install) install=no; pass+=("$1") ;;
        --build-only) build_only=yes; pass+=("$1") ;;
        --help | -h) usage; exit 0 ;;
        -*) echo "tests/tsan.sh: unknown option $1; see --help" >&2; exit 2 ;;
        *) suites+=("$1") ;;
    esac
    shift
done
[ ${#suites[@]} -gt 0 ] || suites=(exec daemon exchange http mesh)

cd "$(dirname "$0")/.."
zmq=$PWD/$build-libzmq

# Debian's source package, from the archives that this machine installs from, without changing
# which those are.
fetch() {
    local parts=$zmq/sources lists=$zmq/lists file
    mkdir -p "$parts" "$lists/partial"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
        /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] && grep -q 'debian' "$file" || continue
        case "$file" in
            *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$parts/$(basename "$file")" ;;
            *) sed -n 's/^deb /deb-src /p' "$file" >"$parts/$(basename "$file" .list).list" ;;
        esac
    done
    local apt=(apt-get -q -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$parts"
        -o "Dir::State::Lists=$lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update && (cd "$zmq" && "${apt[@]}" source --download-only zeromq3) &&
        dpkg-source --no-check -x "$zmq"/zeromq3_*.dsc "$zmq/source"
}

rebuild() {
    [ -n "$source" ] || { fetch && source=$zmq/source; } || return 1
    local flags='-O1 -g1 -fsanitize=thread'
    cmake -S "$source" -B "$zmq/build" -DCMAKE_BUILD_TYPE=None -DCMAKE_C_FLAGS="$flags" \
        -DCMAKE_CXX_FLAGS="$flags" -DWITH_LIBSODIUM=ON -DENABLE_CURVE=ON -DBUILD_STATIC=OFF \
        -DBUILD_TESTS=OFF -DWITH_PERF_TOOL=OFF -DWITH_DOCS=OFF &&
        cmake --build "$zmq/build" --parallel "$(nproc)"
}

[ "$install" = no ] || packaging/build-deps.sh cmake dpkg-dev
if [ ! -f "$zmq/build/lib/libzmq.so.5" ]; then
    echo "Building libzmq with ThreadSanitizer"
    rm -rf "$zmq"
    mkdir -p "$zmq/build"
    if ! rebuild >"$zmq/log" 2>&1; then
        tail -n 30 "$zmq/log"
        echo "tests/tsan.sh: libzmq could not be rebuilt ($zmq/log). Its source comes by apt" \
            "from the archives in /etc/apt; or unpack it and name it with --zmq-source." >&2
        [ -z "$results" ] || [ "$build_only" = yes ] ||
            echo "$label libzmq 0 1 0 0.0" >>"$results"
        exit 1
    fi
fi

targets=()
for suite in "${suites[@]}"; do targets+=("tests/$suite/${suite}_test"); done

# Address space is laid out anew at each start in more ways than the sanitizer of GCC 12 knows, so
# that is turned off; a race ends the suite with this code. What one thread computes, and compares
# with float64, with files of other programs or on every instruction set, has no race to find.
unset SHOAL_REFERENCE
alone="*float64*,*instruction*set*,*every*ISA*,*demo*model*,quantised*"
export LD_LIBRARY_PATH=$zmq/build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export TSAN_OPTIONS="exitcode=66 second_deadlock_stack=1 ${TSAN_OPTIONS:-}"
exec setarch -R tests/run.sh --build "$build" --label "$label" "${pass[@]}" \
    --setup-args "-Db_sanitize=thread --buildtype=debug --optimization=1 -Dcpp_args=-g1" \
    --targets "${targets[*]}" \
    --test-args "--test-args=-tce=$alone --test-args=-tse=Fetcher,PieceStore" \
    "${suites[@]}"
