#!/bin/sh
# Installs everything that is missing. If nothing is missing, it ends at once.
#
#	install.sh build    for building and running the server
#	install.sh test     for the tests, too
#	install.sh long     for make e2e-long, too
#	install.sh package  for building and testing packages
#	install.sh machine  for make e2e-package, too
#	install.sh arm64    for building the package of that architecture on another one; amd64 likewise
#
# Debian packages come from apt-get, with sudo unless we are root. If the installed Go is older than go.mod wants, a newer one comes from
# the Go module proxy: Debian 12 has Go 1.19, which cannot build this server but can fetch a newer Go.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

build="gcc libc6-dev pkg-config libavcodec-dev libavutil-dev libswresample-dev libswscale-dev libopus-dev ca-certificates"
test="dpkg-dev ffmpeg faad prometheus nginx libnginx-mod-rtmp coturn stunnel4 pebble baresip-core baresip-ffmpeg sip-tester kamailio linphone-cli chromium firefox-esr tshark python3 python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly"

long="caddy pulseaudio pulseaudio-utils"

# QEMU runs the program of the package for arm64.
machine="qemu-user-static"

package="dpkg-dev xz-utils lintian debootstrap systemd-container crun"

say() { echo "install: $*" >&2; }

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		say "must be root, or have sudo, to run: $*"
		exit 1
	fi
}

# missing prints the packages among its arguments that are not installed.
missing() {
	for package; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
	done
}

# without_services runs a command as root, and prevents packages from starting their services meanwhile: nginx would take port 80.
without_services() {
	policy=/usr/sbin/policy-rc.d
	if [ -e "$policy" ]; then
		as_root "$@"
		return
	fi
	trap 'as_root rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
	as_root "$@"
	as_root rm -f "$policy"
	trap - EXIT
}

packages() {
	want=$(missing "$@")
	[ -n "$want" ] || return 0
	if ! command -v apt-get >/dev/null; then
		say "this is not Debian: install what these packages are called here: $want"
		return 0
	fi
	say "Debian packages: $want"
	# The package lists are fetched only if the installation fails without: there are none, or they name versions that are gone.
	install="env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
	# shellcheck disable=SC2086 # words are meant to split
	without_services $install $want >&2 || {
		as_root apt-get update -q >&2
		without_services $install $want >&2
	}
	# The tests start these themselves. They should not start at every boot.
	for service in nginx prometheus caddy coturn; do
		case " $want " in *" $service "*)
			command -v systemctl >/dev/null && as_root systemctl disable -q "$service.service" >&2 || true ;;
		esac
	done
}

# toolchain fetches Go in the version of go.mod, as the module golang.org/toolchain. The checksum database checks it.
toolchain() {
	scripts/go version >/dev/null 2>&1 && return 0
	command -v go >/dev/null || packages golang-go
	version=$(sed -n 's/^go //p' go.mod)
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/transponder
	say "Go $version into $cache"
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/fetch.XXXXXX")
	# The module cache is read-only. The flag -modcacherw is newer than the Go of some old machines.
	trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
	module=golang.org/toolchain@v0.0.1-go$version.$(go env GOHOSTOS)-$(go env GOHOSTARCH)
	# In a folder of its own, because this Go cannot read our go.mod.
	(cd "$work" && GOTOOLCHAIN=local GOFLAGS='' GOMODCACHE="$work/mod" go mod download "$module")
	tree=$work/mod/$module
	chmod -R u+w "$tree"
	# A module zip has no permissions and no go.mod files of other modules, so they are restored here as in cmd/go/internal/toolchain.
	find "$tree/bin" "$tree/pkg/tool" -type f -exec chmod 755 {} +
	find "$tree/src" "$tree/test" -name _go.mod 2>/dev/null | while read -r file; do
		mv "$file" "$(dirname "$file")/go.mod"
	done
	rm -rf "$cache/go$version"
	mv "$tree" "$cache/go$version"
	chmod -R u+w "$work"
	rm -rf "$work"
	trap - EXIT
	scripts/go version >&2
}

# node installs Debian's Node, if there is none or if it is too old for the browser tests.
node() {
	major=$(command node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
	[ "${major:-0}" -ge 18 ] && command -v npm >/dev/null && return 0
	packages nodejs npm
}

# node_modules installs the npm packages of a folder as package-lock.json lists them. A copy of that file in node_modules shows that
# they are installed.
node_modules() {
	cd "$1"
	if ! cmp -s package-lock.json node_modules/.installed; then
		say "npm packages of $1"
		npm ci --no-audit --no-fund --loglevel=error >&2
		cp package-lock.json node_modules/.installed
	fi
	cd "$root"
}

# shellcheck disable=SC2086 # the lists are meant to split
case "${1:-}" in
build)
	packages $build
	toolchain
	;;
test)
	packages $build $test
	toolchain
	node
	node_modules test/e2e/browser
	;;
long)
	packages $long
	;;
package)
	packages $build $package
	toolchain
	;;
machine)
	packages $machine
	;;
amd64 | arm64)
	[ "$(dpkg --print-architecture)" = "$1" ] || packages "gcc-$(echo "$1" | sed 's/amd64/x86-64/; s/arm64/aarch64/')-linux-gnu" "libc6-dev-$1-cross"
	;;
*)
	echo "usage: install.sh build|test|long|package|machine|amd64|arm64" >&2
	exit 2
	;;
esac
