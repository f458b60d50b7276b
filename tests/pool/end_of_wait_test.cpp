// SPDX-License-Identifier: Apache-2.0
//
// Ends of waits, up to the clock's own end.
#include <ropeway/pool/end_of_wait.hpp>

#include <chrono>

#include "ropeway_test.hpp"

using namespace std::chrono_literals;
using ropeway::detail::end_of_wait;
using time_point = std::chrono::steady_clock::time_point;

TEST_CASE("a wait ends that long after it began, and one that is negative at once") {
    const time_point from{1h};
    CHECK(end_of_wait(from, 1ns) == from + 1ns);
    CHECK(end_of_wait(from, 5min) == from + 5min);
    CHECK(end_of_wait(from, 0s) == from);
    CHECK(end_of_wait(from, -1ns) == from);
    CHECK(end_of_wait(from, std::chrono::nanoseconds::min()) == from);
}

TEST_CASE("a wait that is too long for the clock ends at the clock's end, in any unit") {
    constexpr time_point never = time_point::max();
    for (const time_point from : {time_point{}, time_point{1ns}, time_point{24h * 365}, never}) {
        CHECK(end_of_wait(from, std::chrono::nanoseconds::max()) == never);
        CHECK(end_of_wait(from, std::chrono::milliseconds::max()) == never);
        CHECK(end_of_wait(from, std::chrono::hours::max()) == never);
    }
    CHECK(end_of_wait(never - 10ns, 9ns) == never - 1ns);
    CHECK(end_of_wait(never - 10ns, 10ns) == never);
    CHECK(end_of_wait(never - 10ns, 11ns) == never);
}

TEST_CASE("a clock before its origin has room for every wait") {
    const time_point from{-1h};
    CHECK(end_of_wait(from, 2h) == time_point{1h});
    CHECK(end_of_wait(from, std::chrono::nanoseconds::max()) == time_point::max());
    CHECK(end_of_wait(time_point::min(), 1s) == time_point::min() + 1s);
}
