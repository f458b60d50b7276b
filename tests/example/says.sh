#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# says.sh OUTPUT PROGRAM...: the program ends with 0, and its standard output is OUTPUT and an end of line.
set -euo pipefail
wanted=$1
shift
status=0
# The x keeps ends of line, which $() takes away.
said=$("$@" || status=$?; printf x; exit "${status:-0}") || status=$?
said=${said%x}
if [ "$status" -ne 0 ]; then
    printf 'the program ended with %d\n' "$status"
    exit 1
fi
if [ "$said" != "$wanted"$'\n' ]; then
    printf 'said "%s" in place of "%s"\n' "$said" "$wanted"
    exit 1
fi
printf '%s' "$said"
