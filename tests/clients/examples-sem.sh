#!/bin/bash
# Our own C programs of semaphores, examples/c, as `make demo` shows them; ids may differ.
# needs: sem
set -eu -o pipefail
"$EXAMPLES/programs-sem.sh" | awk '/^0x/ { $2 = "ID" } { print }'
