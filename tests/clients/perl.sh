#!/bin/sh
# Perl: IPC::SysV and IPC::Msg of the core distribution.
exec perl "${0%/*}/ipc-msg.pl"
