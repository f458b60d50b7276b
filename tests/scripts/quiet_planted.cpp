// SPDX-License-Identifier: Apache-2.0
//
// What quiet_listener.cpp must find, each in a case of its own; quiet_planted.sh runs them.
#include <cstdio>
#include <iostream>

#include <unistd.h>

#include <ropeway_test.hpp>

TEST_CASE("quiet: only Catch2 and the test itself say something", "[quiet]") {
    WARN("a warning of Catch2");
    ropeway_test::say("measured: %d\n", 42);
    CHECK(1 + 1 == 2);
}
TEST_CASE("loud: printf", "[printf]") { std::printf("planted"); }
TEST_CASE("loud: standard stream", "[cout]") { std::cout << "planted"; }
TEST_CASE("loud: standard error stream", "[cerr]") { std::cerr << "planted"; }
TEST_CASE("loud: descriptor 2", "[write]") { CHECK(::write(2, "planted", 7) == 7); }
TEST_CASE("loud: and failing", "[failing]") {
    std::fputs("planted", stderr);
    CHECK(1 + 1 == 3);
}
TEST_CASE("skipped", "[skipping]") { ROPEWAY_SKIP("no such thing here"); }
