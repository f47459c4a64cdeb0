#!/bin/sh
# Runs the end-to-end tests: scripts/e2e.sh ARGUMENTS-OF-GO-TEST. The tests measure times beside each other on a machine that may be busy
# with other work. So the few that fail are run once more, one at a time, and the last lines name them. What fails twice, fails.
set -u
GO=${GO:-go}
most=4 # more failures than that are no accident

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() { # prints as it goes, and returns the status of the tests
	{ "$GO" test -tags e2e -count 1 "$@" ./test/e2e/... 2>&1; echo $? >"$log.status"; } | tee "$log"
	status=$(cat "$log.status")
	rm -f "$log.status"
	return "$status"
}

run "$@" && exit 0
failed=$(sed -n 's/^--- FAIL: \(Test[A-Za-z0-9_]*\) .*/\1/p' "$log" | sort -u)
count=$(echo "$failed" | grep -c .)
if [ "$count" -eq 0 ] || [ "$count" -gt $most ] || grep -q '^WARNING: DATA RACE\|^panic: \|no longer alive' "$log"; then
	exit 1
fi
echo "once more, by themselves: $failed"
run -parallel 1 -timeout 10m -run "^($(echo "$failed" | paste -sd'|'))\$" || exit 1
echo "passed by themselves, after they had failed beside others: $failed"
