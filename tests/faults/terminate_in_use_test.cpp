// SPDX-License-Identifier: Apache-2.0
//
// Injection 2: a session in use is terminated. Its holder gets a typed error, its slot another
// session.
#include "fault_test.hpp"

using namespace ropeway_test;

namespace {

// What the holder sees, and what becomes of the slot afterwards.
void expect_replaced(rig& ride, const postgres_server& server, std::uint64_t times) {
    CHECK(ride.seen().wait_for(resource_event_kind::closed, times));
    CHECK(ride.wait_idle(2));
    CHECK(ride.seen().closed(close_reason::broken) == times);
    CHECK(ride->snapshot().opened == 2 + times);
    CHECK(ride.log().wait_for("closed: broken after "));
    CHECK(server.wait_backends(2));
    CHECK(answers(ride.pool(), 1s));
}

}  // namespace

TEST_CASE("a session terminated between two commands: the second says broken, with its SQLSTATE") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix()}};
    ride.start();
    {
        auto held = ride->acquire(1s);
        REQUIRE(held);
        CHECK(ask(*held, "select 7") == "7");
        const int victim = held->backend_pid();
        REQUIRE(server.terminate(victim));
        REQUIRE(wait_ended(victim));
        const auto got = held->exec("select 7", 1s);
        CHECK_FALSE(got);
        CHECK(got.error().kind == resource_error_kind::broken);
        CHECK(got.error().code_text() == "57P01");
        CHECK(held->is_doomed());
        // Nothing more comes of it, at once and typed.
        const auto again = held->exec("select 7", 1s);
        CHECK(again.error().kind == resource_error_kind::broken);
    }
    expect_replaced(ride, server, 1);
    ride.end_without_leak(server);
}

TEST_CASE("a session terminated while its statement runs: the statement says so at once") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp()}};
    ride.start();
    auto held = ride->acquire(1s);
    REQUIRE(held);
    const int victim = held->backend_pid();
    ropeway::resource_error error;
    std::chrono::nanoseconds took{};
    std::thread holder{[&] {
        const auto begun = steady::now();
        error = held->exec("select pg_sleep(30)", 20s).error();
        took = steady::now() - begun;
    }};
    const std::string running =
        "select count(*) from pg_stat_activity where state = 'active' and pid = " +
        std::to_string(victim);
    const bool ran = wait_until([&] { return server.value(running) == "1"; });
    const bool terminated = server.terminate(victim);
    holder.join();
    CHECK(ran);
    CHECK(terminated);
    CHECK(error.kind == resource_error_kind::broken);
    CHECK(error.code_text() == "57P01");
    CHECK(took < 10s);
    held.held().reset();
    expect_replaced(ride, server, 1);
    ride.end_without_leak(server);
}
