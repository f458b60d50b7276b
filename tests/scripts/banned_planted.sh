#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# banned_planted.sh FOLDER: banned.sh reports each planted hit by its rule and line, and passes what only looks like one.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"
folder=${1:?usage: banned_planted.sh FOLDER}

plant() {
    rm -rf "$folder"
    mkdir -p "$folder/$(dirname "$1")" "$folder/tests/scripts"
    printf '// SPDX-License-Identifier: Apache-2.0\n%s\n' "$2" >"$folder/$1"
}
# reported RULE FILE LINE
reported() {
    plant "$2" "$3"
    local out
    out=$("$here/banned.sh" "$folder")
    expect_status 1 $? "$3"
    expect_text "$out" "$2:2: [$1]" "$3"
    printf '%s %s listed by the test\n' "$1" "$2" >"$folder/tests/scripts/banned_allowed.txt"
    "$here/banned.sh" "$folder" >/dev/null
    expect_status 0 $? "$3, in the list"
}
# clean FILE LINE
clean() {
    plant "$1" "$2"
    "$here/banned.sh" "$folder"
    expect_status 0 $? "$2"
}

reported detach runtime/src/a.cpp 'std::thread(run).detach();'
reported detach tests/pool/a_test.cpp 'worker->detach();'
reported async soak/a.cpp 'auto f = std::async(run);'
reported sleep tests/dispatcher/a_test.cpp 'std::this_thread::sleep_for(1ms);'
reported alloc dispatcher/src/a.cpp 'auto* e = new market_event;'
reported alloc consumer/include/ropeway/consumer/a.hpp 'E* e = new E(kind);'
reported alloc dispatcher/src/a.cpp 'delete event;'
reported alloc dispatcher/src/a.cpp 'delete[] events;'
reported put dispatcher/src/a.cpp 'pool.put(slot);'
reported put tests/pool/a_test.cpp 'pool->put_n(slots);'
reported put dispatcher/src/a.cpp 'slots_.check_in({index, generation});'
reported put soak/a.cpp 'pool.storage().release(held, meta, kind);'
reported lock dispatcher/src/a.cpp 'std::mutex m;'
reported lock pool/src/a.cpp 'const std::lock_guard hold(m);'
reported lock pool/src/a.cpp 'std::condition_variable_any ready;'
reported lock runtime/src/a.cpp 'pthread_mutex_lock(&m);'
reported order pool/src/a.cpp 'auto n = count.load();'
reported order pool/src/a.cpp 'count.fetch_add(1);'
reported order pool/src/a.cpp 'word.compare_exchange_strong(seen, wanted);'
reported todo pool/src/a.cpp "// TO""DO: later"
reported todo tests/CMakeLists.txt "# FIX""ME"
clean pool/src/a.cpp '// a std::mutex would do; a new slot; pool.put(x); thread.detach()'
clean pool/src/a.cpp '/* delete event; */ int x = 0;'
clean pool/src/a.cpp 'a(const a&) = delete;'
clean pool/src/a.cpp '::new (address) E(value);'
clean pool/src/a.cpp 'void* operator new(std::size_t size);'
clean pool/src/a.cpp 'log("new event, std::mutex");'
clean pool/src/a.cpp 'count.fetch_add(1, std::memory_order_relaxed);'
clean pool/src/a.cpp 'int renewed = newest + deleted;'
clean pool/src/a.cpp 'E* raw = owner.release();'
clean bench/a.cpp 'std::this_thread::sleep_for(1ms);'
plant pool/src/a.cpp 'std::mutex m;'
echo 'lock pool/src/a.cpp' >"$folder/tests/scripts/banned_allowed.txt"
out=$("$here/banned.sh" "$folder")
expect_status 1 $? "a list entry without a reason"
expect_text "$out" "no reason given" "a list entry without a reason"
finish
