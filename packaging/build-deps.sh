#!/usr/bin/env bash
# Installs the Debian packages that building Shoal needs, and those named as arguments, as far as
# they are missing. Needs root or sudo only then. Everything is said on standard error.
set -euo pipefail
exec >&2

packages=(
    g++ meson ninja-build pkg-config python3
    libzmq3-dev cppzmq-dev libmsgpack-cxx-dev libtomlplusplus-dev libsodium-dev
    libssl-dev libcli11-dev libmicrohttpd-dev nlohmann-json3-dev libspdlog-dev libfmt-dev
    libpcre2-dev libsystemd-dev libedit-dev libqrencode-dev libcurl4-openssl-dev doctest-dev "$@"
)

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
        missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && sudo true; }; then
        echo "Packages are missing and only root can install them. Run:"
        echo "  sudo apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
"${apt[@]}" update </dev/null
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
