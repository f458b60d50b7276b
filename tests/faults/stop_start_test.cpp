// SPDX-License-Identifier: Apache-2.0
//
// Injection 4: the server stops, fast or at once, stays down, and starts. Callers get a typed error
// by their deadlines, tries follow the schedule, and with demand the pool is back within 250 ms of
// the server.
#include "fault_test.hpp"

#include <algorithm>

using namespace ropeway_test;

namespace {

void expect_down_and_up(stop_mode mode) {
    postgres_server server;
    rig ride{{.url = server.url_tcp(), .min_size = 2, .max_size = 3}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    auto held = ride->acquire(1s);
    REQUIRE(held);
    server.stop(mode);
    CHECK(held->exec("select 7", 1s).error().kind == resource_error_kind::broken);
    held.held().reset();
    REQUIRE(ride.seen().wait_for(resource_event_kind::lost));
    // Nobody waits: tries after 10, 50 and 250 ms, then after 1 s, 10 % more or less.
    REQUIRE(ride.seen().wait_for(resource_event_kind::retry, 4));
    const auto tries = ride.seen().of(resource_event_kind::retry);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(tries[i].count == i + 1);
    }
    CHECK(tries[0].lasted == 10ms);
    CHECK(tries[1].lasted == 50ms);
    CHECK(tries[2].lasted == 250ms);
    CHECK(tries[3].lasted >= 900ms);
    CHECK(tries[3].lasted <= 1100ms);
    for (std::size_t i = 1; i < 4; ++i) {
        CHECK(tries[i].at - tries[i - 1].at >= tries[i].lasted - 1ms);
    }
    CHECK(ride.log().wait_for("Reconnection attempt 3 after 0.25s delay"));
    CHECK(ride.log().has("Database connectivity lost, entering reconnection mode"));
    CHECK(ride.log().has("Reconnection attempt 1 after 0.01s delay"));
    CHECK(ride.log().has("Reconnection attempt 2 after 0.05s delay"));
    for (const auto& failed : ride.seen().of(resource_event_kind::open_failed)) {
        CHECK((failed.error == resource_error_kind::unavailable ||
               failed.error == resource_error_kind::recovering));
    }

    // A caller is told why, at its deadline and not later.
    resource_error_kind told = resource_error_kind::none;
    const auto late = overrun(100ms, [&] {
        auto refused = ride->acquire(100ms);
        told = refused ? resource_error_kind::none : why(refused.error());
    });
    CHECK(told == resource_error_kind::unavailable);
    CHECK(late <= allowed_overrun);
    const auto down = ride->snapshot();
    CHECK(down.total == 0);
    CHECK(down.state == ropeway::pool_state::recovering);
    CHECK(down.last_error == resource_error_kind::unavailable);

    server.start();
    CHECK(answers(ride.pool(), 2s));
    CHECK(ride.seen().wait_for(resource_event_kind::recovered));
    CHECK(ride.wait_idle(2));
    INFO(ride.seen().text());
    CHECK(ride.seen().count(resource_event_kind::lost) == 1);
    CHECK(ride.seen().count(resource_event_kind::recovered) == 1);
    CHECK(ride.log().wait_for("Connection pool recovered: "));
    CHECK(wait_until([&] { return ride->snapshot().state == ropeway::pool_state::healthy; }));
    CHECK(ride->snapshot().liveness == ropeway::liveness_state::healthy);
    CHECK(server.wait_backends(2));
    ride.end_without_leak(server);
}

}  // namespace

TEST_CASE(
    "a server stopped fast, down for a while, started: typed errors, the schedule, recovery") {
    require_postgres();
    expect_down_and_up(stop_mode::fast);
}

TEST_CASE(
    "a server stopped at once, down for a while, started: typed errors, the schedule, recovery") {
    require_postgres();
    expect_down_and_up(stop_mode::immediate);
}

TEST_CASE("with a caller waiting the pool is back within 250 ms of the server, in the median") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix(), .min_size = 1, .max_size = 2}};
    ride.start();
    std::vector<std::chrono::nanoseconds> took;
    for (std::size_t round = 0; round < 7; ++round) {
        REQUIRE(ride.wait_idle(1));
        server.stop(round % 2 == 0 ? stop_mode::fast : stop_mode::immediate);
        REQUIRE(ride.seen().wait_for(resource_event_kind::lost, round + 1));
        bool live = false;
        steady::time_point served{};
        std::thread caller{[&] {
            live = answers(ride.pool(), 10s);
            served = steady::now();
        }};
        const bool waits = wait_until([&] { return ride->snapshot().waiting == 1; });
        // Down long enough that tries without demand would be seconds apart.
        const bool tried = ride.seen().wait_for(resource_event_kind::retry, 4 * (round + 1));
        const host_jitter jitter;
        server.start();
        const auto lost_before = jitter.lost();
        const auto ready = steady::now();
        caller.join();
        const auto lost = jitter.lost() - lost_before;
        CHECK(waits);
        CHECK(tried);
        CHECK(live);
        took.push_back(std::max(served - ready - lost, std::chrono::nanoseconds{}));
    }
    std::sort(took.begin(), took.end());
    say("recovery with a caller waiting: median %.1f ms, most %.1f ms\n", in_ms(took[3]),
        in_ms(took.back()));
    CHECK(took[3] <= 250ms);
    // No two tries further apart than 200 ms while the caller waited.
    for (const auto& one : ride.seen().of(resource_event_kind::retry)) {
        CHECK(one.lasted <= 250ms);
    }
    ride.end_without_leak(server);
}
