// SPDX-License-Identifier: Apache-2.0
//
// Injection 14: shutdown with leases held and callers waiting, in time and beyond the deadline.
#include "fault_test.hpp"

#include <csignal>

using namespace ropeway_test;

namespace {

// Callers that wait for a lease of a pool that has none, and what became of them.
class waiters {
  public:
    waiters(pg_pool& pool, std::size_t count) : told_(count) {
        for (auto& told : told_) {
            threads_.emplace_back([&told, &pool] {
                auto got = pool.acquire(20s);
                told = got ? resource_error_kind::none : got.error().kind;
            });
        }
    }
    waiters(const waiters&) = delete;
    waiters& operator=(const waiters&) = delete;
    ~waiters() { join(); }
    const std::vector<resource_error_kind>& join() {
        for (std::thread& one : threads_) {
            one.join();
        }
        threads_.clear();
        return told_;
    }

  private:
    std::vector<resource_error_kind> told_;
    std::vector<std::thread> threads_{};
};

}  // namespace

TEST_CASE("a shutdown ends waits at once, waits for leases, and is done when they are back") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix(), .min_size = 2, .max_size = 2}};
    ride.start();
    auto one = ride->acquire(1s);
    auto two = ride->acquire(1s);
    REQUIRE(one);
    REQUIRE(two);
    waiters waiting{ride.pool(), 3};
    REQUIRE(wait_until([&] { return ride->snapshot().waiting == 3; }));
    ropeway::resource_shutdown_report report;
    std::thread closing{[&] { report = ride->shutdown(10s); }};
    for (const auto told : waiting.join()) {
        CHECK(told == resource_error_kind::closed);
    }
    auto refused = ride->acquire(1s);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == resource_error_kind::closed);
    // Leases go on to their ends.
    CHECK(ask(*one, "select 7") == "7");
    CHECK(ask(*two, "select pg_sleep(0.1)").empty());
    one.held().reset();
    two.held().reset();
    closing.join();
    CHECK(report.clean());
    CHECK(ride.log().wait_for("Connection pool shutting down: waiting for 2 connections in use"));
    CHECK(report.closed == 2);
    CHECK(report.lasted < 10s);
    CHECK(server.wait_backends(0));
    CHECK(ride->snapshot().state == ropeway::pool_state::terminated);
    ride.end_without_leak(server);
}

TEST_CASE("leases held beyond the deadline of a shutdown are dropped and listed by site") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp(), .min_size = 2, .max_size = 3}};
    ride.start();
    {
        auto one = ride->acquire(1s);
        auto two = ride->acquire(1s);
        REQUIRE(one);
        REQUIRE(two);
        ropeway::resource_shutdown_report report;
        const auto late = overrun(150ms, [&] { report = ride->shutdown(150ms); });
        CHECK(late <= 50ms);
        CHECK_FALSE(report.clean());
        REQUIRE(report.forced.size() == 2);
        for (const auto& holder : report.forced) {
            CHECK(holder.site.find("shutdown_test.cpp") != std::string::npos);
            CHECK(holder.held >= 150ms);
            CHECK_FALSE(holder.thread.empty());
        }
        CHECK(ride.seen().count(resource_event_kind::shutdown_forced) == 2);
        CHECK(ride->snapshot().closed[static_cast<std::size_t>(close_reason::forced)] == 2);
        CHECK(ride.log().wait_for("force-closed at shutdown: held for "));
        CHECK(ride.log().wait_for(" 2 connections forced"));
        // The server has lost them; their holders still may ask, and return them.
        CHECK(server.wait_backends(0));
    }
    CHECK(ride->shutdown(1s).forced.size() == 2);
    const auto now = ride->snapshot();
    CHECK(now.total == 0);
    CHECK(now.state == ropeway::pool_state::terminated);
    ride.expect_no_leak(server);
}

TEST_CASE("a shutdown while the server is gone does not wait for its farewells") {
    postgres_server server;
    rig ride{{.url = server.url_tcp(), .min_size = 3, .max_size = 3}};
    ride.start();
    REQUIRE(ride.wait_idle(3));
    for (const pid_t one : server.backends()) {
        server.signal_backend(one, SIGSTOP);
    }
    server.pause();
    ropeway::resource_shutdown_report report;
    CHECK(overrun(1500ms, [&] { report = ride->shutdown(1s); }) <= 0ms);
    CHECK(report.clean());
    server.resume();
    for (const pid_t one : server.backends()) {
        server.signal_backend(one, SIGCONT);
    }
    ride.end_without_leak(server);
}
