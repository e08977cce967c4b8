#!/bin/bash
# Python: the shared-memory tests out of the sdists of sysv_ipc and of posix_ipc (shm_open).
# needs: shm
set -e
"${0%/*}/unittest" sysv_ipc tests.test_memory
"${0%/*}/unittest" posix_ipc tests.test_memory
