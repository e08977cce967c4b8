#!/bin/bash
# Python: the semaphore tests out of the sdist of sysv_ipc.
# needs: sem
exec "${0%/*}/unittest" sysv_ipc tests.test_semaphores
