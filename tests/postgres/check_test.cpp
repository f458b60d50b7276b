// SPDX-License-Identifier: Apache-2.0
//
// A look without a round trip: an end that has reached our socket is always seen, and unasked input
// is not taken for one.
#include <csignal>

#include <poll.h>

#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::resource_health;

/// Waits until something has arrived at the session's socket.
bool input_arrives(const pg::connection& session) {
    pollfd look{session.idle_fd(), POLLIN, 0};
    return ::poll(&look, 1, 5000) == 1;
}

/// Waits until the other end has closed it.
bool end_arrives(const pg::connection& session) {
    pollfd look{session.idle_fd(), POLLRDHUP, 0};
    return ::poll(&look, 1, 5000) == 1;
}

TEST_CASE("An idle session is usable, and a look at it leaves it so") {
    const auto session = open_session();
    for (int look = 0; look < 1000; ++look) {
        REQUIRE(session->check() == resource_health::usable);
    }
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A terminated session is dead at the first look after its end arrived, and says why") {
    for (const std::string& url : {shared_server().url_unix(), shared_server().url_tcp()}) {
        const auto session = open_session({.url = url});
        REQUIRE(shared_server().terminate(session->backend_pid()));
        REQUIRE(end_arrives(*session));
        CHECK(session->check() == resource_health::dead);
        CHECK(session->error().code_text() == "57P01");
        CHECK(session->error().kind == resource_error_kind::broken);
        CHECK(session->check() == resource_health::dead);
    }
}

TEST_CASE("The server's last words are enough: the end behind them need not have arrived") {
    for (int round = 0; round < 20; ++round) {
        const auto session = open_session();
        REQUIRE(shared_server().terminate(session->backend_pid()));
        REQUIRE(input_arrives(*session));
        REQUIRE(session->check() == resource_health::dead);
    }
}

TEST_CASE("A killed server process is seen without a word from it") {
    postgres_server server;
    const auto session = open_session({.url = server.url_unix()});
    server.kill9();
    REQUIRE(end_arrives(*session));
    CHECK(session->check() == resource_health::dead);
    CHECK(session->error().kind == resource_error_kind::broken);
}

TEST_CASE("A notification is delivered by a look, and the session stays usable") {
    std::string heard;
    const auto session = open_session(
        {.url = shared_server().url_unix(), .on_notification = [&](const pg::notification& told) {
             heard += std::string(told.channel) + "=" + std::string(told.payload) + ";";
         }});
    REQUIRE(session->listen("jobs"));
    const auto other = open_session();
    REQUIRE(other->exec("NOTIFY jobs, 'first'"));
    REQUIRE(input_arrives(*session));
    CHECK(session->check() == resource_health::usable);
    CHECK(heard == "jobs=first;");
    REQUIRE(other->exec("NOTIFY jobs, 'second'"));
    CHECK(session->wait_for_notifications(5s) >= 1);
    CHECK(heard == "jobs=first;jobs=second;");
    CHECK(session->wait_for_notifications(1ms) == 0);
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A parameter that the server changed is told with the next answer") {
    const auto session = open_session();
    postgres_server& server = shared_server();
    CHECK(session->parameter_status("IntervalStyle") == "postgres");
    server.set("IntervalStyle", "iso_8601");
    server.reload();
    CHECK(session->check() == resource_health::usable);
    CHECK(session->exec("SELECT 1"));
    CHECK(session->exec("SELECT 1"));
    CHECK(session->parameter_status("IntervalStyle") == "iso_8601");
}

TEST_CASE("Notices go to the callback with their severity and code") {
    std::string heard;
    const auto session =
        open_session({.url = shared_server().url_unix(), .on_notice = [&](const pg::notice& told) {
                          heard += std::string(told.severity) + " " + std::string(told.code) + " " +
                                   std::string(told.text) + ";";
                      }});
    REQUIRE(session->exec("DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$"));
    CHECK(heard == "WARNING 01000 mind the gap;");
}

TEST_CASE("A session timed out by the server is dead with that reason") {
    const auto session = open_session(
        {.url = shared_server().url_unix(), .session_sql = {"SET idle_session_timeout = '20ms'"}});
    REQUIRE(end_arrives(*session));
    CHECK(session->check() == resource_health::dead);
    CHECK(session->error().code_text() == "57P05");
}

TEST_CASE("A session terminated in the middle of a command gives a typed error and is doomed") {
    const auto session = open_session();
    const int pid = session->backend_pid();
    // The session ends itself: no other thread is needed.
    const auto answer = session->exec("SELECT pg_terminate_backend(pg_backend_pid())");
    REQUIRE_FALSE(answer);
    CHECK(pid > 0);
    CHECK(answer.error().kind == resource_error_kind::broken);
    CHECK(answer.error().code_text() == "57P01");
    CHECK(session->is_doomed());
    CHECK(session->on_return() == ropeway::return_state::broken);
}

}  // namespace
