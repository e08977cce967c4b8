#!/bin/bash
# Installs what `make test`, `make check` and `make demo` need besides Rust: Debian packages, and
# Python's sysv_ipc with its own tests under the target directory. Quick when all is there already.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
data=${CARGO_TARGET_DIR:-$top/target}/clients

# The C compiler and make, the tools of the scripts, then the clients.
packages=(
	gcc libc6-dev make
	shellcheck strace util-linux
	fakeroot perl php-cli python3 python3-dev python3-venv stress-ng
)
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

# Built from its source as on any user's machine; the file's digest is pinned.
requirement="sysv_ipc==1.2.0 --hash=sha256:ef96ab33bb62e4d14142f0be0524dcc0c3c70c96442df2fc773c67b7c7514199"
if [ "$(cat "$data/requirement" 2>/dev/null)" != "$requirement" ]; then
	echo "setup: building Python's sysv_ipc"
	rm -rf "$data"
	mkdir -p "$data/sdist"
	/usr/bin/python3 -m venv "$data/venv"
	pip=("$data/venv/bin/pip" --quiet --disable-pip-version-check)
	echo "$requirement" >"$data/sdist/requirements.txt"
	"${pip[@]}" download --no-deps --no-binary sysv_ipc --require-hashes \
		--requirement "$data/sdist/requirements.txt" --dest "$data/sdist"
	mkdir "$data/sysv_ipc"
	tar --extract --gzip --strip-components=1 --directory="$data/sysv_ipc" \
		--file "$data"/sdist/sysv_ipc-*.tar.gz
	"${pip[@]}" install --no-deps "$data/sysv_ipc"
	echo "$requirement" >"$data/requirement"
fi
