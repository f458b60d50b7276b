#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# is_in_header.sh HEADER PROGRAM: what stands between the program's clang-format marks stands in the header's comment.
set -euo pipefail
header=$1 program=$2
example=$(sed -n '/^\/\/ clang-format off$/,/^\/\/ clang-format on$/p' "$program" | sed '1d;$d')
[[ -n $example ]] || { printf '%s has no example between clang-format marks\n' "$program"; exit 1; }
comment=$(sed -n 's|^//     ||p' "$header")
[[ $comment == *"$example"* ]] || { printf 'the example of %s is not in %s\n' "$program" "$header"; exit 1; }
printf '1 passed, 0 failed\n'
