#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# is_in_readme.sh README PROGRAM OUTPUT: the program stands in the README to the letter, in a ```cpp block, and so
# does the output that its test saw.
set -euo pipefail
readme=$1 program=$2 output=$3
inside() { awk '/^```cpp$/{on=1; n++; next} /^```$/{on=0} on{print n "\t" $0}' "$readme"; }
blocks=$(inside | cut -f1 | sort -u)
for block in $blocks; do
    if diff -q <(inside | awk -F'\t' -v n="$block" '$1==n' | cut -f2-) "$program" >/dev/null; then
        grep -qxF -- "$output" "$readme" || { printf 'the output "%s" is not in %s\n' "$output" "$readme"; exit 1; }
        printf '1 passed, 0 failed\n'
        exit 0
    fi
done
printf '%s has no ```cpp block equal to %s\n' "$readme" "$program"
exit 1
