#!/bin/bash
# Python: the shared-memory tests out of the sdists of sysv_ipc and of posix_ipc (shm_open).
# needs: shm
set -e
"${0%/*}/unittest" sysv_ipc tests.test_memory

# One of posix_ipc's tests leaves its segment behind: a page, by a name of 3 to 12 letters.
touch begun
"${0%/*}/unittest" posix_ipc tests.test_memory
find /dev/shm -maxdepth 1 -newer begun -user "$(id -u)" -regextype egrep -regex '/dev/shm/[a-z]{3,12}' -size 4096c -delete
