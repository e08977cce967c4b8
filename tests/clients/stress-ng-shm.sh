#!/bin/bash
# stress-ng --shm-sysv: segments made, attached, filled, checked and removed, verified.
# needs: shm
# shellcheck source=/dev/null
. "${0%/*}/stress.bash"
stress shm-sysv 2 400 --shm-sysv-bytes 2M --shm-sysv-segs 8
