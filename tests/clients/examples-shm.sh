#!/bin/bash
# Our own C programs of shared memory, examples/c, as `make demo` shows them; ids may differ.
# needs: sem shm
set -eu -o pipefail
"$EXAMPLES/programs-shm.sh" | awk '/^0x/ { $2 = "ID" } { print }'
