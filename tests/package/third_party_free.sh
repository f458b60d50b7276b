#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# third_party_free.sh ROOT COMPILER WORK: asks the preprocessor (-M) which files the public headers reach. None may
# belong to a third party. A planted header that does include one proves that the question is asked rightly.
set -euo pipefail
root=$1 compiler=$2 work=$3
foreign='/(tbb|oneapi|concurrentqueue|moodycamel|spdlog|fmt|mimalloc[^/]*|zlib\.h|zconf\.h|prometheus|yaml-cpp|nlohmann|CLI|httplib\.h|libpq-fe\.h|sqlite3\.h|catch2|benchmark)(/|$)'
mapfile -t headers < <(cd "$root" && find pool consumer dispatcher runtime -path '*/include/*' -name '*.hpp' | sort)
includes=()
for folder in "$root"/{pool,consumer,dispatcher,runtime}/include "$root"/pool/adapters/*/include "$root"/{pool,runtime,dispatcher}/*/include; do
    [[ ! -d $folder ]] || includes+=(-I "$folder")
done

# reached FILE: every third-party file it reaches, one per line
reached() {
    local files
    files=$("$compiler" -std=c++20 "${includes[@]}" -M -x c++ "$1") || exit 2
    tr -s ' \\\n' '\n' <<<"$files" | grep -vF "$root/" | grep -E "$foreign" || true
}

mkdir -p "$work"
echo '#include <zlib.h>' >"$work/planted.hpp"
[[ -n $(reached "$work/planted.hpp") ]] || { echo 'the planted include of zlib.h was not seen' >&2; exit 1; }

((${#headers[@]})) || { echo "no public header below $root" >&2; exit 1; }
for header in "${headers[@]}"; do echo "#include \"$root/$header\""; done >"$work/all.hpp"
hits=$(reached "$work/all.hpp")
if [[ -n $hits ]]; then
    for header in "${headers[@]}"; do
        first=$(reached "$root/$header" | head -n 1)
        [[ -z $first ]] || echo "$header reaches $first" >&2
    done
    exit 1
fi
echo "${#headers[@]} public headers reach no third party"
