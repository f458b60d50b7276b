#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# check.sh SPIN FOLDER MODEL DEFINES [FAULT...]: checks MODEL.pml exhaustively with DEFINES, which must find no error; then
# with each planted FAULT, which must find one. Works in FOLDER. Exit: 0, or 1 with what was unexpected.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
spin=$1 folder=$2 model=$3 defines=$4
shift 4
rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"

# errors LEVEL DEFINE...: how many errors an exhaustive search finds, its program compiled with -OLEVEL.
errors() {
    local level=$1
    shift
    "$spin" -a "$@" "$here/$model.pml" >spin.log 2>&1 || { cat spin.log >&2; exit 1; }
    # bash drops -e in $(...): without these lines the program of the search before would run instead.
    rm -f pan
    cc "-O$level" -DSAFETY -DCOLLAPSE -w -o pan pan.c || exit 1
    ./pan -m1000000 >pan.log 2>&1 || true
    if grep -q 'max search depth too small\|out of memory' pan.log; then
        echo "$model: the search was cut short" >&2
        exit 1
    fi
    sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

# The whole space is worth -O1. A fault ends its search early: there the compiler takes most of the time, less at -O0.
read -ra always <<<"$defines"
found=$(errors 1 "${always[@]}")
states=$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' pan.log)
if [[ $found != 0 ]]; then
    echo "$model $defines: $found errors, expected none" >&2
    cat pan.log >&2
    exit 1
fi
echo "$model $defines: no error in $states states"
for fault in "$@"; do
    found=$(errors 0 "${always[@]}" "-D$fault")
    if [[ $found == 0 || -z $found ]]; then
        echo "$model $defines: the planted fault $fault was not found" >&2
        exit 1
    fi
    echo "$model $defines: found $fault"
done
