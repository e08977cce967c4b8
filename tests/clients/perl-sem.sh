#!/bin/sh
# Perl: IPC::Semaphore of the core distribution.
# needs: sem
exec perl "${0%/*}/ipc-sem.pl"
