#!/bin/bash
# Installs what `make test`, `make check` and `make demo` need besides Rust: Debian packages, and
# Python's sysv_ipc and posix_ipc with their own tests under the target directory. Quick when all is
# there already; the Python modules take about 10 s to build. `setup.sh bench` installs what
# `make bench` and `make instructions` need, and nothing else.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
data=${CARGO_TARGET_DIR:-$top/target}/clients

# The C compiler and make, the tools of the scripts, then the clients.
packages=(
	gcc libc6-dev make
	shellcheck strace util-linux
	apache2-bin apache2-utils curl fakeroot fio perl php-cli postgresql-15 python3 python3-dev
	python3-venv stress-ng x11-apps xvfb
)
if [ "${1-}" = bench ]; then
	packages=(g++ libboost-dev valgrind)
fi
missing=()
for package in "${packages[@]}"; do
	state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || state=
	[ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "setup: missing packages; as root: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	echo "setup: installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

if [ "${1-}" = bench ]; then
	exit
fi

# Built from their sources as on any user's machine; the files' digests are pinned.
requirements="sysv_ipc==1.2.0 --hash=sha256:ef96ab33bb62e4d14142f0be0524dcc0c3c70c96442df2fc773c67b7c7514199
posix_ipc==1.3.2 --hash=sha256:6923232111329954a8349f7d99f212b6e96b5206e77fbd39aaf1b3cb4a5e9260"
if [ "$(cat "$data/requirements" 2>/dev/null)" != "$requirements" ]; then
	echo "setup: building Python's sysv_ipc and posix_ipc"
	rm -rf "$data"
	mkdir -p "$data/sdist"
	/usr/bin/python3 -m venv "$data/venv"
	pip=("$data/venv/bin/pip" --quiet --disable-pip-version-check)
	echo "$requirements" >"$data/sdist/requirements.txt"
	"${pip[@]}" download --no-deps --no-binary sysv_ipc,posix_ipc --require-hashes \
		--requirement "$data/sdist/requirements.txt" --dest "$data/sdist"
	for module in sysv_ipc posix_ipc; do
		mkdir "$data/$module"
		tar --extract --gzip --strip-components=1 --directory="$data/$module" \
			--file "$data/sdist/$module"-*.tar.gz
		"${pip[@]}" install --no-deps "$data/$module"
	done
	echo "$requirements" >"$data/requirements"
fi
