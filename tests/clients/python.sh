#!/bin/bash
# Python: the message-queue tests out of the sdist of sysv_ipc.
exec "${0%/*}/unittest" sysv_ipc tests.test_message_queues
