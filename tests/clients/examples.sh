#!/bin/bash
# Our own C programs, examples/c, as `make demo` shows them; queue ids may differ.
set -eu -o pipefail
"$EXAMPLES/programs.sh" | awk '/^0x/ { $2 = "ID" } { print }'
