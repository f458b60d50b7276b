#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# layers.sh ROOT: no include points upward. pool <- consumer <- dispatcher <- runtime <- programs.
# Below runtime nothing includes a logging, metrics, configuration, JSON, HTTP or CLI library; the umbrella header
# is for users. Prints FILE:LINE: reason for each hit; exit 1 if there is one.
set -euo pipefail
root=${1:?usage: layers.sh ROOT}
cd "$root"
mapfile -t files < <(find pool consumer dispatcher runtime -type f \( -name '*.hpp' -o -name '*.cpp' -o -name '*.h' -o -name '*.cc' \) 2>/dev/null | sort)
((${#files[@]})) || { echo "layers: no source file below $root" >&2; exit 2; }
awk '
    BEGIN {
        level["pool"] = 1; level["consumer"] = 2; level["dispatcher"] = 3; level["runtime"] = 4
        foreign = "^(spdlog|fmt|prometheus|yaml-cpp|nlohmann|CLI|httplib\\.h|zlib\\.h|libpq-fe\\.h|sqlite3\\.h)"
    }
    FNR == 1 { split(FILENAME, part, "/"); own = part[1]; program = FILENAME ~ /^runtime\/(cli|examples)\// }
    /^[ \t]*#[ \t]*include/ {
        target = $0
        sub(/^[ \t]*#[ \t]*include[ \t]*[<"]/, "", target)
        sub(/[>"].*$/, "", target)
        if (target ~ /(^|\/)\.\.\//) report("an include with .. hides its arrow")
        else if (target == "ropeway/ropeway.hpp") { if (!program) report("the umbrella header is for users") }
        else if (target ~ /^ropeway\//) {
            split(target, piece, "/")
            if (!(piece[2] in level)) report("no such module: " piece[2])
            else if (level[piece[2]] > level[own]) report(own " must not include " piece[2])
        }
        else if (own != "runtime" && FILENAME !~ /^pool\/adapters\// && target ~ foreign)
            report(own " must not include " target)
    }
    function report(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; hits++ }
    END { exit hits > 0 }' "${files[@]}"
