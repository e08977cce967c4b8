#!/bin/bash
# stress-ng --sem-sysv: processes that wait for, time out on and undo on one semaphore, verified.
# needs: sem
# shellcheck source=/dev/null
. "${0%/*}/stress.bash"
stress sem-sysv 2 20000
