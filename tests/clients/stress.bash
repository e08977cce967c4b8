# shellcheck shell=bash
# stress STRESSOR PROCESSES OPERATIONS [OPTION...]: stress-ng, verifying.
# Its operations are counted, so that every run does the same; how long they take is left out.
stress() {
	local what=$1 processes=$2 operations=$3 report
	shift 3
	if ! report=$(stress-ng "--$what" "$processes" "--$what-ops" "$operations" --verify \
		--metrics-brief --timeout 60 "$@" 2>&1); then
		printf '%s\n' "$report" >&2
		echo "stress-ng --$what $*: failed"
		return 1
	fi
	printf '%s\n' "$report" | sed -n \
		-e "s/.*\\] \\($what  *[0-9][0-9]*\\)  .*/\\1 operations/p" \
		-e 's/.*\(fail\|error\|warn\)/\1/p' \
		-e 's/.*\(successful run completed\).*/\1/p'
}
