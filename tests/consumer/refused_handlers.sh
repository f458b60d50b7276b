#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# refused_handlers.sh ROOT COMPILER: what the types refuse, by compiling it. A right program first, so that a
# broken compiler command does not pass for a refusal.
set -uo pipefail
root=${1:?usage: refused_handlers.sh ROOT COMPILER}
compiler=${2:?usage: refused_handlers.sh ROOT COMPILER}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

# What each of the programs includes; read once, and kept as the compiler left it.
cat >"$folder/first.hpp" <<CPP
#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/pool/event_pool.hpp>
struct bad { int price; };
CPP
command=("$compiler" -std=gnu++20 -I"$root/pool/include" -I"$root/consumer/include" -I"$root/dispatcher/include")
"${command[@]}" -x c++-header "$folder/first.hpp" -o "$folder/first.hpp.gch" || exit 1

# compiles NAME BODY: the body inside a function that has a dispatcher `d` and an event type `bad`.
compiles() {
    cat >"$folder/$1.cpp" <<CPP
void use(ropeway::dispatcher<ropeway::market_event>& d, ropeway::event_pool<ropeway::market_event>& pool) {
    static_cast<void>(d); static_cast<void>(pool);
    $2
}
CPP
    "${command[@]}" -fsyntax-only -include "$folder/first.hpp" "$folder/$1.cpp" 2>"$folder/$1.err"
}

accepted() {
    compiles "$1" "$2" || { echo "FAILED: $1 does not compile:"; head -n 20 "$folder/$1.err"; failures=$((failures + 1)); }
}

# refused NAME BODY EXPECTED_TEXT
refused() {
    if compiles "$1" "$2"; then
        echo "FAILED: $1 compiles"
        failures=$((failures + 1))
    elif ! grep -q -- "$3" "$folder/$1.err"; then
        echo "FAILED: $1 is refused, but not by '$3':"
        head -n 20 "$folder/$1.err"
        failures=$((failures + 1))
    fi
}

accepted right_handler \
    'auto s = d.subscribe("a", ropeway::overflow::block, {}, [](const ropeway::market_event&) {});'
refused handler_of_another_type \
    'auto s = d.subscribe("a", ropeway::overflow::block, {}, [](const bad&) {});' handler_for
refused handler_without_event \
    'auto s = d.subscribe("a", ropeway::overflow::block, {}, [] {});' handler_for
refused no_overflow_policy \
    'auto s = d.subscribe("a", [](const ropeway::market_event&) {});' 'no matching function'
refused event_without_kind 'ropeway::dispatcher<bad> wrong;' event_type
accepted handle_moves 'auto a = pool.get(); auto b = std::move(a);'
refused handle_copies 'auto a = pool.get(); auto b = a;' 'deleted'
refused put_past_the_recycler 'auto a = pool.get(); pool.put(a.get());' 'has no member named'
refused put_into_the_slots 'auto a = pool.get(); pool.slots().put(a.slot());' 'has no member named'

((failures == 0)) && echo "all as expected"
exit $((failures > 0))
