// SPDX-License-Identifier: Apache-2.0
//
// Injection 5: one server process is stopped (SIGSTOP). What waits for it ends at its deadline; the
// session is never pooled again, and its late rows reach nobody.
#include "fault_test.hpp"

#include <algorithm>
#include <csignal>

using namespace ropeway_test;

TEST_CASE("a statement on a stopped session ends at its deadline, and its answer reaches nobody") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix(), .min_size = 1, .max_size = 2}};
    ride.start();
    std::vector<std::chrono::nanoseconds> late;
    std::vector<int> stopped;
    for (std::uint64_t round = 1; round <= 5; ++round) {
        auto held = ride->acquire(2s);
        REQUIRE(held);
        const int victim = held->backend_pid();
        stopped.push_back(victim);
        server.signal_backend(victim, SIGSTOP);
        late.push_back(overrun(60ms, [&] {
            const auto got = held->exec("select 'late'", 60ms);
            CHECK(got.error().kind == resource_error_kind::timeout);
        }));
        CHECK(held->is_doomed());
        held.held().reset();
        REQUIRE(ride.seen().wait_for(resource_event_kind::closed, round));
        // Its answer, if it comes, comes now.
        server.signal_backend(victim, SIGCONT);
        for (int n = 0; n < 10; ++n) {
            auto next = ride->acquire(2s);
            REQUIRE(next);
            CHECK(std::count(stopped.begin(), stopped.end(), next->backend_pid()) == 0);
            CHECK(ask(*next, "select " + std::to_string(n)) == std::to_string(n));
        }
    }
    std::sort(late.begin(), late.end());
    say("deadline of a stopped session overrun by: median %.2f ms, most %.2f ms\n", in_ms(late[2]),
        in_ms(late.back()));
    CHECK(late.back() <= allowed_overrun);
    CHECK(ride.seen().closed(close_reason::broken) == 5);
    CHECK(ride.log().wait_for("closed: broken after "));
    // The cancel requests were served or died with their sessions.
    CHECK(wait_until([&] {
        return std::none_of(stopped.begin(), stopped.end(),
                            [](int pid) { return state_of(pid) != '\0'; });
    }));
    ride.end_without_leak(server);
}

TEST_CASE(
    "an idle session that is stopped is not lent: its probe ends in time and another is taken") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp(),
              .min_size = 2,
              .max_size = 2,
              .pool = [](ropeway::resource_pool_params& params) {
                  params.validate = ropeway::validation::always;
                  params.probe_timeout = 200ms;
              }}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    int victim = 0;
    {
        auto one = ride->acquire(1s);
        REQUIRE(one);
        victim = one->backend_pid();
    }
    server.signal_backend(victim, SIGSTOP);
    auto next = ride->acquire(2s);
    REQUIRE(next);
    CHECK(next->backend_pid() != victim);
    CHECK(ask(*next, "select 7") == "7");
    CHECK(ride.seen().wait_for(resource_event_kind::closed));
    CHECK(ride.seen().closed(close_reason::failed_probe) == 1);
    CHECK(ride.log().wait_for("closed: failed probe after "));
    server.signal_backend(victim, SIGCONT);
    next.held().reset();
    CHECK(ride.wait_idle(2));
    ride.end_without_leak(server);
}

TEST_CASE("where every session is stopped, and new ones too, acquire ends at its deadline") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp(),
              .min_size = 1,
              .max_size = 1,
              .pool = [](ropeway::resource_pool_params& params) {
                  params.validate = ropeway::validation::always;
              }}};
    ride.start();
    REQUIRE(ride.wait_idle(1));
    for (const pid_t one : server.backends()) {
        server.signal_backend(one, SIGSTOP);
    }
    server.pause();
    const auto late = overrun(120ms, [&] {
        auto refused = ride->acquire(120ms);
        CHECK_FALSE(refused);
    });
    CHECK(late <= allowed_overrun);
    CHECK(ride->snapshot().timeouts == 1);
    for (const pid_t one : server.backends()) {
        server.signal_backend(one, SIGCONT);
    }
    server.resume();
    CHECK(answers(ride.pool(), 5s));
    ride.end_without_leak(server);
}
