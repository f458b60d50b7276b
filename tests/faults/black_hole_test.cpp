// SPDX-License-Identifier: Apache-2.0
//
// Injection 7: the network swallows everything, on idle sessions and with a statement in flight.
#include "fault_test.hpp"

#include <algorithm>

using namespace ropeway_test;

TEST_CASE("a statement in a black hole ends at its deadline, in whichever direction it was lost") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    rig ride{{.url = server.url_tcp(proxy.port()), .min_size = 1, .max_size = 1}};
    ride.start();
    std::vector<std::chrono::nanoseconds> late;
    std::uint64_t round = 0;
    for (const auto direction : {flow_direction::to_server, flow_direction::to_client,
                                 flow_direction::to_server, flow_direction::to_client}) {
        auto held = ride->acquire(2s);
        REQUIRE(held);
        proxy.set(direction, {.black_hole = true}, flow_scope::open_ones);
        late.push_back(overrun(60ms, [&] {
            CHECK(held->exec("select 'late'", 60ms).error().kind == resource_error_kind::timeout);
        }));
        CHECK(held->is_doomed());
        held.held().reset();
        CHECK(ride.seen().wait_for(resource_event_kind::closed, ++round));
        proxy.heal();
        auto next = ride->acquire(2s);
        REQUIRE(next);
        CHECK(ask(*next, "select 7") == "7");
    }
    std::sort(late.begin(), late.end());
    say("deadline in a black hole overrun by: most %.2f ms\n", in_ms(late.back()));
    CHECK(late.back() <= allowed_overrun);
    CHECK(ride.seen().closed(close_reason::broken) == 4);
    ride.end_without_leak(server);
}

TEST_CASE(
    "idle sessions in a black hole: acquire ends at its deadline, and is served once it heals") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    rig ride{{.url = server.url_tcp(proxy.port()),
              .min_size = 2,
              .max_size = 2,
              .pool = [](ropeway::resource_pool_params& params) {
                  params.validate = ropeway::validation::always;
                  // Longer than a busy machine takes for either without any fault.
                  params.probe_timeout = 150ms;
                  params.connect_timeout = 600ms;
              }}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    proxy.set({.black_hole = true});
    resource_error_kind told = resource_error_kind::none;
    const auto late = overrun(1200ms, [&] {
        auto refused = ride->acquire(1200ms);
        told = refused ? resource_error_kind::none : why(refused.error());
    });
    CHECK(late <= allowed_overrun);
    CHECK(told == resource_error_kind::unavailable);
    CHECK(ride.seen().wait_for(resource_event_kind::closed, 2));
    CHECK(ride.seen().closed(close_reason::failed_probe) == 2);
    CHECK(ride.log().wait_for("closed: failed probe after "));
    CHECK(ride.seen().wait_for(resource_event_kind::lost));
    proxy.heal();
    CHECK(answers(ride.pool(), 5s));
    CHECK(ride.wait_idle(2));
    ride.end_without_leak(server);
}

TEST_CASE("nobody asks: the pool finds by itself that idle sessions lie in a black hole") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    rig ride{{.url = server.url_tcp(proxy.port()),
              .min_size = 2,
              .max_size = 2,
              .pool = [](ropeway::resource_pool_params& params) {
                  params.liveness = ropeway::liveness_presets::fast();
                  params.connect_timeout = 1000ms;
              }}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    REQUIRE(ride->snapshot().liveness == ropeway::liveness_state::healthy);
    const host_jitter jitter;
    const auto swallowed = steady::now();
    proxy.set({.black_hole = true});
    REQUIRE(wait_until(
        [&] {
            const auto now = ride->snapshot().liveness;
            return now == ropeway::liveness_state::unhealthy ||
                   now == ropeway::liveness_state::reconnecting;
        },
        10s));
    const auto found = steady::now() - swallowed;
    say("preset fast found a black hole after %.0f ms\n", in_ms(found));
    CHECK(found <= ropeway::liveness_presets::fast().detects_within() + jitter.lost() + 20ms);
    CHECK(ride.log().wait_for("Connection pool liveness: healthy -> suspect"));
    CHECK(ride.log().wait_for("Connection pool liveness: suspect -> unhealthy"));
    proxy.heal();
    CHECK(answers(ride.pool(), 5s));
    ride.end_without_leak(server);
}
