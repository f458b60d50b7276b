#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# banned.sh ROOT: what this code base does not do. Prints FILE:LINE: [rule] text for each hit; exit 1 if there is one.
#   detach   a detached thread            async   std::async              sleep   a sleep in a test
#   alloc    raw new or delete            put     a slot given back outside the recycler
#   lock     a lock                       order   an atomic operation that does not name its memory order
#   todo     a note to oneself (spelled apart below, so that this file may be scanned too)
# banned_allowed.txt beside ROOT's scripts lists the files that may break a rule, each with its reason.
set -euo pipefail
root=${1:?usage: banned.sh ROOT}
allowed=$root/tests/scripts/banned_allowed.txt
cd "$root"
mapfile -t files < <(find pool consumer dispatcher runtime soak bench tests -type f \( -name '*.hpp' -o -name '*.cpp' -o \
    -name '*.h' -o -name '*.cc' -o -name 'CMakeLists.txt' -o -name '*.cmake' \) 2>/dev/null | sort)
((${#files[@]})) || { echo "banned: no source file below $root" >&2; exit 2; }
awk -v allowed="$allowed" '
    BEGIN {
        b = "(^|[^A-Za-z0-9_])"; e = "([^A-Za-z0-9_]|$)"
        note = b "(TO" "DO|FIX" "ME|XX" "X)" e
        lock = b "std::(recursive_|shared_|timed_|recursive_timed_|shared_timed_)?mutex" e "|" \
               b "std::(lock_guard|unique_lock|scoped_lock|shared_lock|condition_variable|condition_variable_any)" e "|" \
               b "pthread_(mutex|spin|rwlock|cond)_|" b "tbb::[a-z_]*mutex" e "|" b "std::call_once" e
        while ((getline line < allowed) > 0) {
            if (line ~ /^[ \t]*(#|$)/) continue
            n = split(line, field, /[ \t]+/)
            if (n < 3) { printf "%s: no reason given: %s\n", allowed, line; hits++; continue }
            may[field[1], field[2]] = 1
        }
    }
    FNR == 1 {
        in_comment = 0
        cpp = FILENAME ~ /\.(hpp|cpp|h|cc)$/
        library = FILENAME ~ /^(pool|consumer|dispatcher|runtime)\//
        test = FILENAME ~ /^tests\//
    }
    $0 ~ note { report("todo") }
    !cpp { next }
    {
        code = strip($0)
        if (code ~ /(\.|->)detach *\(/) report("detach")
        if (code ~ b "std::async" e) report("async")
        if (test && code ~ b "(sleep_for|sleep_until|usleep|(clock_)?nanosleep)" e) report("sleep")
        if (code ~ lock) report("lock")
        if (code ~ b "new +[A-Za-z_:(]" && code !~ b "new +\\(" && code !~ /operator +new/ || \
            code ~ b "delete( *\\[ *\\])? +[A-Za-z_:(*]" && code !~ /operator +delete/) report("alloc")
        if (code ~ /(\.|->)(put|put_n|put_raw|check_in|push_direct) *\(/ || \
            code ~ /(slab_?|storage *\( *\))(\.|->)release *\(/) report("put")
        if (library && (code ~ /(\.|->)(load|test_and_set) *\( *\)/ || \
            code ~ /(\.|->)(store|exchange|fetch_add|fetch_sub|fetch_or|fetch_and|fetch_xor) *\([^,()]*\)/ || \
            code ~ /(\.|->)compare_exchange_(weak|strong) *\([^,()]*,[^,()]*\)/)) report("order")
    }
    # The line without strings, character literals and comments.
    function strip(text,    out, at) {
        gsub(/\\./, "", text)
        gsub(/"[^"]*"/, "\"\"", text)
        gsub(/\x27[^\x27]\x27/, " ", text)
        out = ""
        while (text != "") {
            if (in_comment) {
                at = index(text, "*/")
                if (!at) return out
                text = substr(text, at + 2); in_comment = 0
            } else if (match(text, /\/\/|\/\*/)) {
                out = out substr(text, 1, RSTART - 1)
                if (substr(text, RSTART, 2) == "//") return out
                text = substr(text, RSTART + 2); in_comment = 1
            } else { out = out text; text = "" }
        }
        return out
    }
    function report(rule) {
        if ((rule, FILENAME) in may) return
        printf "%s:%d: [%s] %s\n", FILENAME, FNR, rule, $0
        hits++
    }
    END { exit hits > 0 }' "${files[@]}"
