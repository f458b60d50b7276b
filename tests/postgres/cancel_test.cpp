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
#include "host_jitter.hpp"
#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using steady = std::chrono::steady_clock;

// PostgreSQL forgets a cancel request that comes while it still reads the command. A deadline that
// is to end a command at the server leaves its process this long to wake and read it.
constexpr auto until_read = 500ms;

[[nodiscard]] bool server_is_quiet(std::chrono::milliseconds limit = ropeway_test::patience) {
    const auto end = steady::now() + limit;
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
        const host_jitter jitter;
        const auto begun = steady::now();
        const auto answer = session->exec("SELECT pg_sleep(30)", until_read);
        const auto lasted = steady::now() - begun;
        REQUIRE_FALSE(answer);
        CHECK(answer.error().kind == resource_error_kind::timeout);
        CHECK(lasted >= until_read);
        CHECK(lasted < 2s + jitter.lost());  // how late exactly is the last test case's
        CHECK(session->is_doomed());
        CHECK(session->exec("SELECT 1").error().kind == resource_error_kind::broken);
        CHECK(session->on_return() == ropeway::return_state::broken);
        // Still open here: only the cancel request can have ended the server's work.
        CHECK(server_is_quiet());
        CHECK(session->idle_fd() >= 0);
    }
}

TEST_CASE("A stopped backend costs no more than the deadline") {
    const auto session = open_session({.url = shared_server().url_tcp()});
    const int backend = session->backend_pid();
    shared_server().signal_backend(backend, SIGSTOP);
    const host_jitter jitter;
    const auto begun = steady::now();
    CHECK(session->exec("SELECT 1", 30ms).error().kind == resource_error_kind::timeout);
    const auto lasted = steady::now() - begun;
    CHECK(lasted < 1s + jitter.lost());
    shared_server().signal_backend(backend, SIGCONT);
}

TEST_CASE("A cancel request through a black hole does not hold the caller") {
    fault_proxy proxy(shared_server().port());
    {
        const auto session =
            open_session({.url = shared_server().url_tcp(proxy.port()), .cancel_timeout = 2000ms});
        proxy.set({.black_hole = true});
        const host_jitter jitter;
        const auto begun = steady::now();
        CHECK(session->exec("SELECT 1", 30ms).error().kind == resource_error_kind::timeout);
        const auto lasted = steady::now() - begun;
        CHECK(lasted < 1s + jitter.lost());
    }
    SUCCEED("settings, session and sender ended");
}

TEST_CASE("A cancel request to a paused postmaster does not hold the caller, and arrives later") {
    const auto made = std::make_shared<pg::settings>(
        pg::postgres_params{.url = shared_server().url_unix(), .cancel_timeout = 60'000ms});
    const auto session = open_session(made);
    auto ended = resource_error_kind::none;
    std::chrono::nanoseconds lasted{};
    const host_jitter jitter;
    std::thread caller([&] {
        const auto begun = steady::now();
        ended = session->exec("SELECT pg_sleep(30)", until_read).error().kind;
        lasted = steady::now() - begun;
    });
    const bool runs = shared_server().wait_runs(session->backend_pid(), "SELECT");
    // Its socket's queue takes the request for later.
    shared_server().pause();
    caller.join();
    CHECK(runs);
    CHECK(ended == resource_error_kind::timeout);
    CHECK(lasted < 2s + jitter.lost());
    shared_server().resume();
    CHECK(server_is_quiet());
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

TEST_CASE("A token is without effect once its lease was returned") {
    const auto session = open_session();
    const pg::cancel_token first = session->make_cancel_token();
    REQUIRE(give_back(*session));
    CHECK_FALSE(first.request());
    CHECK_FALSE(session->is_doomed());
    CHECK(session->exec("SELECT pg_sleep(0.1)"));
    // The next holder's own token has asked: the first one does not go along with it.
    const pg::cancel_token second = session->make_cancel_token();
    CHECK(second.request());
    CHECK(second.request());
    CHECK_FALSE(first.request());
    CHECK(session->on_return() == ropeway::return_state::broken);
}

TEST_CASE("Of a request and a return at the same time either keeps the other from the session") {
    const auto session = open_session();
    int requested = 0;
    int returned = 0;
    const auto end = steady::now() + 20s;
    for (int round = 0; round < 150 && steady::now() < end; ++round) {
        const pg::cancel_token token = session->make_cancel_token();
        std::atomic<int> ready{0};
        const auto meet = [&ready] {
            // Relaxed: only that both have come counts.
            ready.fetch_add(1, std::memory_order_relaxed);
            while (ready.load(std::memory_order_relaxed) < 2) {
            }
        };
        bool asked = false;
        std::thread other([&] {
            meet();
            asked = token.request();
        });
        meet();
        const bool broken = session->on_return() == ropeway::return_state::broken;
        other.join();
        REQUIRE(asked == broken);
        ++(broken ? requested : returned);
        if (broken) {
            session->drop();
            REQUIRE(run_task(*session, ropeway::resource_task::open));
        }
    }
    CAPTURE(requested, returned);
    CHECK(requested + returned > 0);
}

TEST_CASE("A statement timeout of the server is a cancel, and the connection goes on") {
    const auto session = open_session(
        {.url = shared_server().url_unix(), .session_sql = {"SET statement_timeout = '30ms'"}});
    CHECK(session->exec("SELECT pg_sleep(5)").error().kind == resource_error_kind::canceled);
    CHECK_FALSE(session->is_doomed());
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A command may have for ever, and is not sent where its deadline has passed") {
    constexpr auto for_ever = std::chrono::nanoseconds::max();
    const auto session = open_session();
    CHECK(session->exec("SELECT pg_sleep(0.02)", for_ever));
    CHECK(session->listen("news", for_ever));
    // From another session: its own the server may tell with that command's answer.
    CHECK(open_session()->exec("NOTIFY news", for_ever));
    CHECK(session->wait_for_notifications(for_ever) == 1);
    for (const std::chrono::nanoseconds passed : {-1ns, std::chrono::nanoseconds::min()}) {
        CHECK(session->wait_for_notifications(passed) == 0);
        CHECK(session->exec("SELECT pg_sleep(5)", passed).error().kind ==
              resource_error_kind::timeout);
        CHECK(session->exec_params("SELECT $1", {1}, passed).error().kind ==
              resource_error_kind::timeout);
        CHECK_FALSE(session->is_doomed());
    }
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("Deadlines are kept to 5 ms, less what this machine itself is late") {
    std::vector<double> late;
    for (int round = 0; round < 40; ++round) {
        const auto session = open_session();
        const auto over =
            overrun(5ms, [&] { static_cast<void>(session->exec("SELECT pg_sleep(30)", 5ms)); });
        late.push_back(std::chrono::duration<double, std::milli>(over).count());
    }
    std::sort(late.begin(), late.end());
    // The 90th of 100: one hiccup of a shared machine proves nothing about the deadline.
    CAPTURE(late[36], late.back());
    CHECK(late[36] <= std::chrono::duration<double, std::milli>(allowed_overrun).count());
}

}  // namespace
