#!/bin/sh
# Runs every fuzz target of the tree, one after another, for FUZZTIME each. It stops at the first failure.
set -eu
cd "$(dirname "$0")/.."

grep -rE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' internal bench api 2>/dev/null |
	sed 's|^\(.*\)/[^/]*:func \(Fuzz[A-Za-z0-9_]*\)(.*|\1 \2|' | sort |
	while read -r package target; do
		echo "$package $target"
		"${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzzminimizetime 10x -fuzztime "${FUZZTIME:-1m}" "./$package" </dev/null
	done
