// SPDX-License-Identifier: Apache-2.0
//
// Injection 1: an idle session is terminated. The next acquire is live, the caller sees nothing.
#include "fault_test.hpp"

using namespace ropeway_test;

TEST_CASE("of two idle sessions one is terminated: the next lease is the other, at once") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix()}};
    ride.start();
    for (std::uint64_t round = 1; round <= 100; ++round) {
        REQUIRE(ride.wait_idle(2));
        int victim = 0;
        {
            auto one = ride->acquire(1s);
            REQUIRE(one);
            victim = one->backend_pid();
        }
        REQUIRE(server.terminate(victim));
        // Once the process is gone its end of our socket is closed.
        REQUIRE(wait_ended(victim));
        auto next = ride->acquire(1s);
        REQUIRE(next);
        CHECK(next->backend_pid() != victim);
        CHECK(ask(*next, "select 7") == "7");
    }
    CHECK(ride.wait_idle(2));
    const auto now = ride->snapshot();
    CHECK(now.acquired == 200);
    CHECK(now.timeouts == 0);
    CHECK(now.refused == 0);
    CHECK(now.closed[static_cast<std::size_t>(close_reason::failed_check)] == 100);
    CHECK(now.opened == 102);
    CHECK(ride.log().wait_for("Connection 102 opened in "));
    CHECK(ride.log().has("Connection pool initialized: min_size=2, max_size=4"));
    CHECK(ride.log().has("closed: failed check after "));
    CHECK_FALSE(ride.log().has("Database connectivity lost"));
    CHECK(server.wait_backends(2));
    ride.end_without_leak(server);
}

TEST_CASE(
    "all idle sessions are terminated: the next lease is a new one, and the minimum is kept") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp(), .min_size = 3, .max_size = 3}};
    ride.start();
    for (std::uint64_t round = 1; round <= 5; ++round) {
        REQUIRE(ride.wait_idle(3));
        const auto victims = server.backends();
        REQUIRE(victims.size() == 3);
        for (const pid_t victim : victims) {
            REQUIRE(server.terminate(victim));
            REQUIRE(wait_ended(victim));
        }
        CHECK(answers(ride.pool(), 2s));
    }
    CHECK(ride.wait_idle(3));
    const auto now = ride->snapshot();
    CHECK(now.timeouts == 0);
    CHECK(now.closed[static_cast<std::size_t>(close_reason::failed_check)] == 15);
    CHECK(now.opened == 18);
    CHECK(now.open_failed == 0);
    ride.end_without_leak(server);
}

TEST_CASE("the end of an idle session is seen and mended without any caller") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix()}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    REQUIRE(server.terminate(server.backends().front()));
    CHECK(ride.seen().wait_for(resource_event_kind::closed));
    CHECK(ride.seen().wait_for(resource_event_kind::opened, 3));
    CHECK(ride.wait_idle(2));
    CHECK(ride->snapshot().acquired == 0);
    ride.end_without_leak(server);
}
