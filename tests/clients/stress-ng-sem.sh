#!/bin/bash
# stress-ng --sem-sysv: processes that wait for, time out on and undo on one semaphore, verified.
# It tries a command that there is not, by syscall(2).
# needs: sem
# itself: semctl\(0, 0, IPC_64\|0x7ffffeff
# shellcheck source=/dev/null
. "${0%/*}/stress.bash"
stress sem-sysv 2 20000
