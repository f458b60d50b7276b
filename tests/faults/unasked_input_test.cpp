// SPDX-License-Identifier: Apache-2.0
//
// Injection 12: what a server says unasked. A notification, a changed parameter and a notice are no
// reason to drop a session; the end of a session that was idle too long is, unseen by callers.
#include "fault_test.hpp"

#include <ropeway/runtime/notice_log.hpp>

using namespace ropeway_test;

TEST_CASE("an idle session that gets a notification is readable and not dead") {
    postgres_server& server = shared_server();
    std::atomic<int> notified{0};
    rig ride{{.url = server.url_unix(),
              .min_size = 1,
              .max_size = 1,
              .connection = [&](ropeway::postgres::postgres_params& how) {
                  // Kept across leases, so that an idle session still listens.
                  how.reset = ropeway::postgres::reset_policy::never;
                  how.session_sql = {"listen signals"};
                  how.on_notification = [&](const ropeway::postgres::notification& what) {
                      // Relaxed: a count, read after the acquire that made it.
                      notified.fetch_add(what.payload == "stop at the top" ? 1 : 100,
                                         std::memory_order_relaxed);
                  };
              }}};
    ride.start();
    for (int round = 1; round <= 10; ++round) {
        REQUIRE(ride.wait_idle(1));
        server.exec("notify signals, 'stop at the top'");
        // What was said is read, and where it makes the session doubtful a probe asks: 500 ms each.
        CHECK(overrun(500ms, [&] {
                  auto held = ride->acquire(1s);
                  REQUIRE(held);
                  CHECK(ask(*held, "select 7") == "7");
              }) <= 0ms);
    }
    CHECK(notified.load(std::memory_order_relaxed) == 10);
    CHECK(ride.log().wait_for("Connection 1 opened in "));
    CHECK_FALSE(ride.log().has("closed: "));
    CHECK(ride->snapshot().opened == 1);
    CHECK(ride->snapshot().timeouts == 0);
    ride.end_without_leak(server);
}

TEST_CASE("a parameter that the server changes reaches the session, which lives on") {
    postgres_server server;
    rig ride{{.url = server.url_unix(), .min_size = 1, .max_size = 1}};
    ride.start();
    for (const char* zone : {"Europe/Zurich", "Asia/Tokyo"}) {
        server.set("timezone", zone);
        server.reload();
        REQUIRE(wait_until([&] {
            auto held = ride->acquire(1s);
            return held && ask(*held, "show timezone") == zone &&
                   held->parameter_status("TimeZone") == zone;
        }));
        // Said once, it is no reason to wait for anything.
        CHECK(overrun(500ms, [&] { CHECK(answers(ride.pool(), 1s)); }) <= 0ms);
    }
    CHECK(ride.log().wait_for("Connection 1 opened in "));
    CHECK_FALSE(ride.log().has("closed: "));
    CHECK(ride->snapshot().timeouts == 0);
    CHECK(ride->snapshot().opened == 1);
    ride.end_without_leak(server);
}

TEST_CASE("a notice goes to its callback, with severity and SQLSTATE") {
    postgres_server& server = shared_server();
    std::string said;
    std::optional<ropeway::notice_log> log;
    rig ride{{.url = server.url_unix(),
              .min_size = 1,
              .max_size = 1,
              .connection = [&](ropeway::postgres::postgres_params& how) {
                  how.on_notice = [&](const ropeway::postgres::notice& what) {
                      said += std::string{what.severity} + ' ' + std::string{what.code} + ' ' +
                              std::string{what.text} + '\n';
                      (*log)(what);
                  };
              }}};
    log.emplace(ride.logger(), "ride");
    ride.start();
    auto held = ride->acquire(1s);
    REQUIRE(held);
    CHECK(overrun(500ms, [&] {
              CHECK(ask(*held, "do $$ begin raise warning 'wind from the west'; end $$").empty());
          }) <= 0ms);
    CHECK(ride.log().wait_for("Database notice pool=ride severity=WARNING code=01000"));
    CHECK(ride.log().has("wind from the west"));
    CHECK(said.find("WARNING 01000 wind from the west") != std::string::npos);
    CHECK(ask(*held, "select 7") == "7");
    held.held().reset();
    CHECK(ride.wait_idle(1));
    CHECK_FALSE(ride.log().has("closed: "));
    CHECK(ride->snapshot().opened == 1);
    ride.end_without_leak(server);
}

TEST_CASE("sessions that the server ends for idleness are replaced, and no caller sees one") {
    postgres_server server{{.settings = {{"idle_session_timeout", "60ms"}}}};
    rig ride{{.url = server.url_tcp()}};
    ride.start();
    std::size_t asked = 0;
    const auto until = steady::now() + 1s;
    while (steady::now() < until) {
        auto held = ride->acquire(2s);
        REQUIRE(held);
        // Below the server's patience even on a busy machine most of the time; where the session
        // ended between acquire and use, the error says whose doing it was.
        const auto got = held->exec("select 7", 1s);
        if (!got) {
            CHECK(got.error().kind == resource_error_kind::broken);
            CHECK(got.error().code_text() == "57P05");
        }
        asked += got ? 1U : 0U;
        held.held().reset();
        pause_for(20ms);
    }
    CHECK(asked >= 3);
    CHECK(ride->snapshot().timeouts == 0);
    CHECK(ride.seen().wait_for(resource_event_kind::closed, 3));
    CHECK(ride.seen().closed(close_reason::failed_check) >= 1);
    CHECK(ride.log().wait_for("terminating connection due to idle-session timeout"));
    ride.end_without_leak(server);
}
