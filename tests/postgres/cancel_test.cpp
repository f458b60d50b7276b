// SPDX-License-Identifier: Apache-2.0
//
// Deadlines of commands, and what becomes of the command at the server.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <future>
#include <thread>
#include <vector>

#include "fault_proxy.hpp"
#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using steady = std::chrono::steady_clock;

[[nodiscard]] bool server_is_quiet(std::chrono::milliseconds patience) {
    const auto end = steady::now() + patience;
    while (steady::now() < end) {
        if (shared_server().value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'rider' "
                                  "AND state = 'active'") == "0") {
            return true;
        }
    }
    return false;
}

TEST_CASE(
    "A command ends at its deadline, the server is told, and the connection never lent again") {
    for (const std::string& url : {shared_server().url_unix(), shared_server().url_tcp()}) {
        const auto session = open_session({.url = url});
        std::vector<double> late_ms;
        const auto begun = steady::now();
        const auto answer = session->exec("SELECT pg_sleep(30)", 50ms);
        const auto lasted = steady::now() - begun;
        REQUIRE_FALSE(answer);
        CHECK(answer.error().kind == resource_error_kind::timeout);
        CHECK(lasted >= 50ms);
        CHECK(lasted < 1s);  // how late exactly is the last test case's
        CHECK(session->is_doomed());
        CHECK(session->exec("SELECT 1").error().kind == resource_error_kind::broken);
        CHECK(session->on_return() == ropeway::return_state::broken);
        // Still open here: only the cancel request can have ended the server's work.
        CHECK(server_is_quiet(5s));
        CHECK(session->idle_fd() >= 0);
    }
}

TEST_CASE("A stopped backend costs no more than the deadline") {
    const auto session = open_session({.url = shared_server().url_tcp()});
    const int backend = session->backend_pid();
    shared_server().signal_backend(backend, SIGSTOP);
    const auto begun = steady::now();
    CHECK(session->exec("SELECT 1", 30ms).error().kind == resource_error_kind::timeout);
    CHECK(steady::now() - begun < 1s);
    shared_server().signal_backend(backend, SIGCONT);
}

TEST_CASE("A cancel request through a black hole does not hold the caller") {
    fault_proxy proxy(shared_server().port());
    {
        const auto session =
            open_session({.url = shared_server().url_tcp(proxy.port()), .cancel_timeout = 2000ms});
        proxy.set({.black_hole = true});
        const auto begun = steady::now();
        CHECK(session->exec("SELECT 1", 30ms).error().kind == resource_error_kind::timeout);
        CHECK(steady::now() - begun < 1s);
    }
    SUCCEED("settings, session and sender ended");
}

TEST_CASE("A cancel request whose connect does not complete is finished or given up by a thread") {
    // Nothing accepts here and the queue of connects is full: a connect stays in progress.
    const auto made = std::make_shared<pg::settings>(
        pg::postgres_params{.url = shared_server().url_unix(), .cancel_timeout = 60'000ms});
    const auto session = open_session(made);
    shared_server().pause();
    const auto begun = steady::now();
    // The postmaster is stopped: its socket's queue takes the request for later.
    CHECK(session->exec("SELECT pg_sleep(30)", 30ms).error().kind == resource_error_kind::timeout);
    CHECK(steady::now() - begun < 1s);
    shared_server().resume();
    CHECK(server_is_quiet(5s));
}

TEST_CASE("Another thread cancels a command by a token") {
    const auto session = open_session();
    const pg::cancel_token token = session->make_cancel_token();
    std::atomic<bool> answered{false};
    std::thread other([token, &answered] {
        // A request that comes before the command has begun cancels nothing: it is repeated.
        while (!answered.load(std::memory_order_relaxed)) {  // Relaxed: only ends the loop
            if (!server_is_quiet(1ms)) {
                static_cast<void>(token.request());
            }
        }
    });
    const auto answer = session->exec("SELECT pg_sleep(30)", 20s);
    answered.store(true, std::memory_order_relaxed);
    other.join();
    CHECK(answer.error().kind == resource_error_kind::canceled);
    CHECK(answer.error().code_text() == "57014");
    // Nobody can tell whether a request is still on its way.
    CHECK(session->is_doomed());
    CHECK(session->on_return() == ropeway::return_state::broken);
    session->drop();
    CHECK_FALSE(token.request());
}

TEST_CASE("A statement timeout of the server is a cancel, and the connection goes on") {
    const auto session = open_session(
        {.url = shared_server().url_unix(), .session_sql = {"SET statement_timeout = '30ms'"}});
    CHECK(session->exec("SELECT pg_sleep(5)").error().kind == resource_error_kind::canceled);
    CHECK_FALSE(session->is_doomed());
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("Deadlines are kept to 5 ms, less what this machine itself is late") {
    const auto session_of = [] { return open_session(); };
    std::vector<double> own;
    std::vector<double> late;
    for (int round = 0; round < 40; ++round) {
        pollfd nothing{-1, 0, 0};
        auto begun = steady::now();
        ::poll(&nothing, 1, 5);
        own.push_back(std::chrono::duration<double, std::milli>(steady::now() - begun).count() - 5);
        const auto session = session_of();
        begun = steady::now();
        static_cast<void>(session->exec("SELECT pg_sleep(30)", 5ms));
        late.push_back(std::chrono::duration<double, std::milli>(steady::now() - begun).count() -
                       5);
    }
    std::sort(own.begin(), own.end());
    std::sort(late.begin(), late.end());
    // The 90th of 100: one hiccup of a shared machine proves nothing about the deadline.
    CAPTURE(own[36], late[36], own.back(), late.back());
    CHECK(late[36] - own[36] <= 5.0);
}

}  // namespace
