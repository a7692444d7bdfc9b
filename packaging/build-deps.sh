#!/usr/bin/env bash
# Installs the Debian packages that building Shoal needs, and those named as arguments, as far as
# they are missing; with a NAME:ARCHITECTURE that architecture is made known to dpkg. Needs root or sudo
# only then. Everything is said on standard error.
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
mapfile -t foreign < <(printf '%s\n' "${missing[@]}" | sed -n 's/.*://p' | sort -u |
    grep -vxF -e "$(dpkg --print-architecture)" -f <(dpkg --print-foreign-architectures))

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && sudo true; }; then
        echo "Packages are missing and only root can install them. Run:"
        for architecture in "${foreign[@]}"; do echo "  sudo dpkg --add-architecture $architecture"; done
        echo "  sudo apt-get update && sudo apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120)
for architecture in "${foreign[@]}"; do "${as_root[@]}" dpkg --add-architecture "$architecture"; done
"${apt[@]}" update </dev/null
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null
