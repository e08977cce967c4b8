#!/bin/sh
# Perl: IPC::SharedMem, and shmread and shmwrite, of the core distribution.
# needs: shm
exec perl "${0%/*}/ipc-shm.pl"
