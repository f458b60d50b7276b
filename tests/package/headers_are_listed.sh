#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# headers_are_listed.sh ROOT LIST: each public header on disk stands in a FILE_SET (LIST: one per line).
set -euo pipefail
cd "$1"
unlisted=$(comm -23 <(find pool consumer dispatcher runtime -path '*/include/*' -name '*.hpp' | sort -u) \
    <(sed -e '/^$/d' -e "s|^$1/||" "$2" | sort -u))
[[ -z $unlisted ]] || { printf 'in no FILE_SET, so never installed:\n%s\n' "$unlisted" >&2; exit 1; }
