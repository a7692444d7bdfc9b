#!/usr/bin/env bash
# Builds Debian packages of what git tracks here, and a folder that apt installs them from.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: packaging/package.sh [options] [amd64|arm64|all]

Builds the packages for this machine's architecture, the one that is named, or both, and puts them
into a repository for apt. Another architecture is built with a cross compiler.

  --version V        the packages' version (default: the latest in packaging/debian/changelog)
  --output DIR       where all of it goes (default build/packages)
  --sign KEY         sign the repository with this key of gpg's, so that apt trusts it by the key
  --no-install       do not install missing packages
  --help             this text

It leaves in DIR:
  *.deb              the packages, each with a .buildinfo and a .changes
  apt/               the repository, of all packages that were ever built into DIR: to be served as
                     it is by a web server, or used from the disk; apt/shoal.sources says how
Two builds of the same commit and version give the same packages, bit by bit.
TEXT
}

refuse() {
    echo "package.sh: $1" >&2
    exit 2
}

output=build/packages
version=
key=
install=yes
wanted=$(dpkg --print-architecture)
while [ $# -gt 0 ]; do
    case "$1" in
        --version | --output | --sign)
            [ $# -ge 2 ] || refuse "$1 needs a value"
            declare "$(case "$1" in --version) echo version ;; --output) echo output ;; *) echo key ;; esac)=$2"
            shift ;;
        --no-install) install=no ;;
        --help | -h) usage; exit 0 ;;
        amd64 | arm64 | all) wanted=$1 ;;
        *) refuse "unknown option or architecture $1; see --help" ;;
    esac
    shift
done
cd "$(dirname "$0")/.."
output=$(realpath -m -- "$output")
version=${version:-$(dpkg-parsechangelog -l packaging/debian/changelog -S Version 2>/dev/null ||
    sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)}
architectures=("$wanted")
[ "$wanted" != all ] || architectures=(amd64 arm64)

prepare() { # architecture
    local packages=(debhelper po-debconf dpkg-dev apt-utils) library
    if [ "$1" != "$(dpkg --print-architecture)" ]; then
        packages+=("crossbuild-essential-$1" "pkgconf:$1")
        for library in edit fmt microhttpd pcre2 qrencode curl4-openssl sodium spdlog ssl systemd zmq3; do
            packages+=("lib$library-dev:$1")
        done
        # Headers alone, but what tells where they are is of one architecture.
        packages+=("cppzmq-dev:$1" "libtomlplusplus-dev:$1")
    fi
    packaging/build-deps.sh "${packages[@]}"
}

build() { # architecture, which packages: any or all of them
    local folder=$output/source/shoal-$version
    rm -rf "$output/source"
    mkdir -p "$folder"
    # What is tracked, as it is in the work tree. Files get the release's time: dpkg makes younger ones
    # that old, but leaves older ones what another checkout may not have.
    local time
    time=$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)
    git ls-files -z --cached |
        tar --create --null --files-from - --owner=0 --group=0 --mtime="@$time" |
        tar --extract --no-same-permissions --directory "$folder"
    mv "$folder/packaging/debian" "$folder/debian"
    sed -i "1s/(.*)/($version)/" "$folder/debian/changelog"
    local options=(--build="$2" --unsigned-source --unsigned-changes --no-check-builddeps)
    [ "$1" = "$(dpkg --print-architecture)" ] || options+=(--host-arch "$1" --build-profiles="cross,nocheck")
    # debhelper gives what it runs another home, where ccache would find nothing.
    (cd "$folder" && CCACHE_DIR=${CCACHE_DIR:-$HOME/.cache/ccache} dpkg-buildpackage "${options[@]}")
    mv "$output"/source/*.{deb,buildinfo,changes} "$output/"
    mv "$output"/source/*.ddeb "$output/" 2>/dev/null || true
    rm -rf "$output/source"
}

# Versions that were built before stay, so that whoever publishes the folder can go back.
index() {
    local apt=$output/apt architecture
    local suite=$apt/dists/stable
    rm -rf "$apt/dists"
    mkdir -p "$apt/pool"
    cp -u "$output"/*.deb "$apt/pool/"
    cd "$apt"
    for architecture in amd64 arm64; do
        local folder=dists/stable/main/binary-$architecture
        mkdir -p "$folder"
        apt-ftparchive --arch "$architecture" packages pool >"$folder/Packages"
        gzip -9nk "$folder/Packages"
    done
    apt-ftparchive \
        -o APT::FTPArchive::Release::Origin=Shoal -o APT::FTPArchive::Release::Label=Shoal \
        -o APT::FTPArchive::Release::Suite=stable -o APT::FTPArchive::Release::Codename=stable \
        -o APT::FTPArchive::Release::Components=main \
        -o "APT::FTPArchive::Release::Architectures=amd64 arm64" \
        release dists/stable >Release.new
    mv Release.new "$suite/Release"
    local trust="Trusted: yes"
    if [ -n "$key" ]; then
        gpg --batch --yes --local-user "$key" --clearsign --output "$suite/InRelease" "$suite/Release"
        gpg --batch --yes --local-user "$key" --armor --detach-sign --output "$suite/Release.gpg" \
            "$suite/Release"
        gpg --batch --yes --export --output shoal-archive-keyring.gpg "$key"
        trust="Signed-By: /usr/share/keyrings/shoal-archive-keyring.gpg"
    fi
    printf '%s\n' "Types: deb" "URIs: file:$apt" "Suites: stable" "Components: main" "$trust" \
        >shoal.sources
}

mkdir -p "$output"
for architecture in "${architectures[@]}"; do
    [ "$install" = no ] || prepare "$architecture"
    # What every architecture has alike is built once.
    kind=any
    [ "$architecture" != "${architectures[0]}" ] || kind=any,all
    build "$architecture" "$kind"
done
index
echo "Packages of Shoal $version are in $output, and for apt in $output/apt"
