#!/bin/bash
# stress-ng --msg: two writers and two readers, every message verified, also by types.
# shellcheck source=/dev/null
. "${0%/*}/stress.bash"
stress msg 2 20000 || exit
stress msg 2 20000 --msg-types 10
