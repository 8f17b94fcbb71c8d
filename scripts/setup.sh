#!/usr/bin/env bash
# Installs what is missing for a stage of the Makefile: build, run, bench, lint,
# test.
# Looks first and touches nothing when nothing is missing, so that a second run
# is instant and works without a network.
set -euo pipefail
cd "$(dirname "$0")/.."
stage=${1:-build}

packages=(
  build-essential pkg-config ca-certificates git
  libavcodec-dev libavdevice-dev libavfilter-dev libavformat-dev libavutil-dev
  libswscale-dev libswresample-dev libpostproc-dev
  libvpx-dev libaom-dev libx264-dev libyuv-dev libopus-dev libopusfile-dev libspeexdsp-dev
)
speech=(ffmpeg espeak-ng fonts-dejavu-core fonts-noto-core curl)
others=(gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good linux-perf)
browsers=(chromium firefox-esr libnss3-tools openssl iproute2 nftables)
servers=(pebble nginx libnginx-mod-rtmp) # an ACME server and an RTMP server for tests
telephones=(baresip-core baresip-ffmpeg sip-tester kamailio tcpdump)
case $stage in
  build) ;;
  run)   packages+=("${speech[@]}") ;;
  bench) packages+=("${speech[@]}" "${others[@]}") ;;
  lint)  packages+=(shellcheck) ;;
  test)  packages+=(gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav "${speech[@]}" "${browsers[@]}" "${servers[@]}" "${telephones[@]}") ;;
  *)     echo "setup: no stage \"$stage\": want build, run, bench, lint or test" >&2; exit 2 ;;
esac

say() { echo "setup: $*" >&2; }
die() { say "$@"; exit 1; }

# Two makes at once (an editor's and a terminal's) must not fight over apt or .cache.
mkdir -p .cache
exec 9>.cache/setup.lock
flock 9

# --- Debian packages -------------------------------------------------------

# missing prints those of its arguments that dpkg does not know as installed.
missing() {
  local have
  have=$({ dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } | sed -n 's/^installed //p' | sort -u)
  comm -13 <(echo "$have") <(printf '%s\n' "$@" | sort -u)
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# install PACKAGE... installs those that are missing.
install() {
  local want
  mapfile -t want < <(missing "$@")
  if [ "${#want[@]}" = 0 ]; then return; fi
  say "installing ${want[*]}"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "not root, and there is no sudo: as root, run: apt-get update && apt-get install ${want[*]}"
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  if ! { as_root "${apt[@]}" update && as_root "${apt[@]}" install -y --no-install-recommends "${want[@]}"; } \
    >.cache/apt.log 2>&1 </dev/null; then
    tail -n 20 .cache/apt.log >&2
    die "apt-get failed; all that it said is in .cache/apt.log"
  fi
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  install "${packages[@]}"
else
  install() { :; }
  for tool in gcc pkg-config git; do
    command -v "$tool" >/dev/null || die "no $tool. This is not a Debian; install by hand what Debian 12 calls: ${packages[*]}, Go and Node"
  done
fi

# The FFmpeg binding is written against one FFmpeg: say so before the C compiler does.
ffmpeg=$(pkg-config --modversion libavcodec 2>/dev/null || true)
case $ffmpeg in
  59.*) ;;
  "") die "pkg-config does not find libavcodec; install what Debian 12 calls: ${packages[*]}" ;;
  *)  die "libavcodec is $ffmpeg, but mixdown builds against FFmpeg 5.1 (libavcodec 59), the one of Debian 12; use that, or deploy/Dockerfile" ;;
esac

# --- Go --------------------------------------------------------------------

# at_least HAVE WANT compares dotted versions.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

PATH=$PWD/.cache/go/bin:$PWD/.cache/node/bin:$PATH:/usr/local/go/bin
case $(uname -m) in
  x86_64)  go_arch=amd64 node_arch=x64 ;;
  aarch64) go_arch=arm64 node_arch=arm64 ;;
  *)       go_arch='' node_arch='' ;;
esac

go_version() { GOTOOLCHAIN=local go version 2>/dev/null | sed -E 's/^go version go([0-9.]+).*/\1/'; }

# fetch_go unpacks the toolchain into .cache/go. A toolchain is also a module,
# golang.org/toolchain, which any Go downloads and checks against the checksum
# database, Debian 12's 1.19 included. Go since 1.21 does the two steps after
# the download itself: go.mod files back under their name, tools executable.
fetch_go() {
  local version=$1 module scratch
  module=golang.org/toolchain@v0.0.1-go$version.linux-$go_arch
  [ -n "$go_arch" ] || die "install Go $version or newer: there is no ready toolchain for $(uname -m)"
  command -v go >/dev/null || install golang-go
  command -v go >/dev/null || die "no Go: install any Go, the right one is fetched with it"
  say "fetching the Go $version toolchain into .cache/go"
  scratch=$(mktemp -d .cache/go.XXXXXX)
  # A module of its own: Debian's Go cannot read this one's go.mod.
  if ! {
    echo "module scratch" >"$scratch/go.mod" &&
      (cd "$scratch" && GOMODCACHE=$PWD/mod GO111MODULE=on GOFLAGS=-modcacherw GOTOOLCHAIN=local \
        go mod download "$module") &&
      find "$scratch/mod/$module" -name _go.mod -execdir mv _go.mod go.mod ';' &&
      chmod -R a+x "$scratch/mod/$module/bin" "$scratch/mod/$module/pkg/tool/linux_$go_arch"
  } >&2; then
    rm -rf "$scratch"
    die "could not fetch the Go toolchain; install Go $version or newer by hand"
  fi
  rm -rf .cache/go
  mv "$scratch/mod/$module" .cache/go
  rm -rf "$scratch"
  hash -r
}

go_want=$(sed -n 's/^go //p' go.mod)
go_have=$(go_version || true)
if [ -z "$go_have" ] || ! at_least "$go_have" "$go_want"; then
  fetch_go "$go_want"
  go_have=$(go_version || true)
  [ -n "$go_have" ] || die "the toolchain in .cache/go does not run; delete it and try again"
fi

# --- Node ------------------------------------------------------------------

# Vite wants 20.19 or newer, or 22.12 or newer; 21 and the start of 22 lack what it needs.
node_fits() {
  local have
  have=$(node --version 2>/dev/null | tr -d v) || return 1
  case $have in
    20.*) at_least "$have" 20.19 ;;
    21.*) false ;;
    *)    at_least "$have" 22.12 ;;
  esac
}

# fetch_node puts Node and npm into .cache/node, from the packages that carry
# their binaries in the npm registry; Debian 12's own Node 18 is what asks for them.
fetch_node() {
  [ -n "$node_arch" ] || die "install Node 22.12 or newer: there is no ready package for $(uname -m)"
  command -v npm >/dev/null || install nodejs npm
  command -v npm >/dev/null || die "no npm: install Node 22.12 or newer"
  say "fetching Node 22 into .cache/node"
  rm -rf .cache/node
  mkdir -p .cache/node/bin
  npm install --prefix .cache/node --no-save --no-audit --no-fund --loglevel=error \
    "node-linux-$node_arch@22" npm@10 >&2 </dev/null ||
    die "could not fetch Node; install Node 22.12 or newer by hand"
  ln -s "../node_modules/node-linux-$node_arch/bin/node" .cache/node/bin/node
  ln -s ../node_modules/npm/bin/npm-cli.js .cache/node/bin/npm
  ln -s ../node_modules/npm/bin/npx-cli.js .cache/node/bin/npx
  hash -r
}

if ! node_fits || ! command -v npm >/dev/null; then
  fetch_node
  node_fits || die "the Node in .cache/node does not run; delete it and try again"
fi
