// SPDX-License-Identifier: Apache-2.0
//
// Injection 3: one server process dies by SIGKILL. The server drops every session and recovers; the
// pool says that it is lost and recovering, and restores its minimum.
#include "fault_test.hpp"

#include <csignal>

using namespace ropeway_test;

TEST_CASE(
    "a killed server process ends every session: the pool recovers and restores its minimum") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix(), .min_size = 3, .max_size = 3}};
    ride.start();
    REQUIRE(ride.wait_idle(3));
    {
        auto held = ride->acquire(1s);
        REQUIRE(held);
        const auto before = server.backends();
        server.signal_backend(held->backend_pid(), SIGKILL);
        for (const pid_t gone : before) {
            REQUIRE(wait_ended(gone));
        }
        const auto got = held->exec("select 7", 1s);
        CHECK(got.error().kind == resource_error_kind::broken);
    }
    // A caller waits through the recovery and gets a live session; how long the server takes is its
    // own affair, 5 s is far beyond.
    CHECK(answers(ride.pool(), 5s));
    CHECK(ride.seen().wait_for(resource_event_kind::lost));
    CHECK(ride.seen().wait_for(resource_event_kind::recovered));
    CHECK(ride.wait_idle(3));
    INFO(ride.seen().text());
    CHECK(ride.seen().count(resource_event_kind::lost) == 1);
    CHECK(ride.seen().count(resource_event_kind::recovered) == 1);
    CHECK(ride.log().wait_for("Connection pool recovered: "));
    CHECK(ride.log().has("Database connectivity lost, entering reconnection mode"));
    CHECK(ride.seen().closed(close_reason::broken) == 1);
    CHECK(ride.seen().closed(close_reason::failed_check) == 2);
    // A try that met the recovery was told so; one that came later met nothing.
    for (const auto& failed : ride.seen().of(resource_event_kind::open_failed)) {
        INFO(failed.text);
        const bool typed = failed.error == resource_error_kind::recovering ||
                           failed.error == resource_error_kind::unavailable;
        CHECK(typed);
    }
    CHECK(server.wait_backends(3));
    ride.end_without_leak(server);
}

TEST_CASE("a server that is shutting down answers `recovering`, and so says the pool") {
    postgres_server server;
    rig ride{{.url = server.url_tcp(), .min_size = 1, .max_size = 2}};
    ride.start();
    auto held = ride->acquire(1s);
    REQUIRE(held);
    // A smart shutdown lets our session live and takes no new one.
    server.signal_backend(server.pid(), SIGTERM);
    REQUIRE(wait_until([&] {
        auto refused = ride->acquire(20ms);
        return !refused && why(refused.error()) == resource_error_kind::recovering;
    }));
    CHECK(ask(*held, "select 7") == "7");
    auto refused = ride->acquire(100ms);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().cause.code_text() == "57P03");
    CHECK(refused.error().holders.size() == 1);
    CHECK(ride.log().wait_for("the database system is shutting down"));
    // Its last session ended, the server ends; started again, the pool finds it.
    held.held().doom();
    held.held().reset();
    REQUIRE(wait_ended(server.pid()));
    server.stop();
    server.start();
    CHECK(answers(ride.pool(), 2s));
    ride.end_without_leak(server);
}
