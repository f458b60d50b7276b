#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# quiet_planted.sh PROGRAM: proves that quiet_listener.cpp finds what is written to descriptors 1 and 2, and lets through
# what Catch2 and the test itself say. Exit 1 with the first thing that is not so.
set -euo pipefail
program=${1:?usage: quiet_planted.sh PROGRAM}
expect() {  # EXIT_CODE TEXT TAG
    local output code=0
    output=$("$program" "[$3]" 2>&1) || code=$?
    if [[ $code != "$1" ]]; then
        echo "[$3] exited with $code, not with $1: $output"
        exit 1
    fi
    if [[ $output != *"$2"* ]]; then
        echo "[$3] does not say '$2': $output"
        exit 1
    fi
}
expect 0 "measured: 42" quiet
expect 0 "a warning of Catch2" quiet
expect 0 "All tests passed" quiet
for way in printf cout cerr write; do
    expect 86 "planted" $way
    expect 86 "not quiet" $way
done
expect 86 "1 + 1 == 3" failing
expect 77 "no such thing here" skipping
