#!/bin/sh
# Makes a folder with Debian's libraries of another architecture, to build the server with them, and with what dpkg-shlibdeps wants to know of them:
#
#	sysroot.sh arm64 FOLDER
#
# It uses apt's sources and keys of this machine, and changes nothing of this machine's dpkg. FOLDER/done shows that it is complete, and by which script
# it was made: by another one, it is made again.
set -eu

arch=$1
this=$(cksum <"$0")
[ "$(cat "$2/done" 2>/dev/null)" != "$this" ] || exit 0
rm -rf "$2"
mkdir -p "$2"
root=$(cd "$2" && pwd)
work=$root/work
mkdir -p "$work/lists/partial" "$work/archives/partial" "$root/dpkg/info" "$root/dpkg/updates"
: >"$work/status"
cat >"$work/apt.conf" <<EOF
Dir::State::lists "$work/lists";
Dir::State::status "$work/status";
Dir::State::extended_states "$work/extended_states";
Dir::Cache::archives "$work/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Architecture "$arch";
APT::Architectures "$arch";
APT::Sandbox::User "root";
EOF
export APT_CONFIG="$work/apt.conf"
apt-get update -q >&2
apt-get install -q -y --no-install-recommends --download-only \
	libc6-dev libavcodec-dev libavutil-dev libswresample-dev libswscale-dev libopus-dev >&2
: >"$root/dpkg/status"
echo 1 >"$root/dpkg/info/format"
echo "$arch" >"$root/dpkg/arch"
for deb in "$work"/archives/*.deb; do
	dpkg-deb -x "$deb" "$root"
	name=$(dpkg-deb -f "$deb" Package)
	[ "$(dpkg-deb -f "$deb" Multi-Arch)" != same ] || name=$name:$arch
	dpkg-deb -f "$deb" | sed '1a Status: install ok installed' >>"$root/dpkg/status"
	echo >>"$root/dpkg/status"
	dpkg-deb --fsys-tarfile "$deb" | tar -t | sed -n "s#^\./\(.*[^/]\)\$#$root/\1#p" >"$root/dpkg/info/$name.list"
	for file in symbols shlibs; do
		dpkg-deb -I "$deb" "$file" >"$root/dpkg/info/$name.$file" 2>/dev/null || rm "$root/dpkg/info/$name.$file"
	done
done
# Links to /lib and such mean this folder. libm.so is one: where it leads nowhere, the linker would take libm.a into the program.
find "$root" -type l -lname '/*' | while read -r link; do
	ln -snf "$root$(readlink "$link")" "$link"
done
rm -r "$work"
echo "$this" >"$root/done"
