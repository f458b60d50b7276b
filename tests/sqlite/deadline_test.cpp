// SPDX-License-Identifier: Apache-2.0
//
// A statement ends at its deadline, whether it computes or waits for a lock.
#include <chrono>
#include <functional>
#include <thread>

#include <ropeway/pool/resource_time.hpp>

#include "sqlite_test.hpp"

namespace {

using namespace std::chrono_literals;
using ropeway::resource_clock_point;
using ropeway::resource_error_kind;
using ropeway::sqlite::make_connections;
using ropeway_test::opened;
using ropeway_test::temporary_folder;

const char* const endless =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

/// Moves only while somebody waits: a wait of five seconds takes no time.
class leaping_time final : public ropeway::resource_time {
  public:
    resource_clock_point now() noexcept override { return now_; }
    void start(ropeway::resource_loop&, std::string_view) override {}
    void stop(ropeway::resource_loop&) noexcept override {}
    void wake(ropeway::resource_loop&) noexcept override {}
    void wait(std::atomic<std::uint32_t>&, std::uint32_t,
              resource_clock_point until) noexcept override {
        now_ = until;
    }
    void notify(std::atomic<std::uint32_t>&) noexcept override {}
    short poll(int, short, resource_clock_point until) noexcept override {
        ++waits;
        now_ = until;
        if (in_wait) {
            in_wait();
        }
        return 0;
    }
    int waits = 0;
    std::function<void()> in_wait{};

  private:
    resource_clock_point now_{1h};
};

TEST_CASE("a statement that computes for ever ends at its deadline; the connection stays usable") {
    const auto on = opened(make_connections({}));
    auto best = 1000ms;
    // A try that a busy host made late proves nothing; a deadline that is missed is missed always.
    for (int i = 0; i < 20 && best > 35ms; ++i) {
        const auto begun = std::chrono::steady_clock::now();
        const auto ended = on->exec(endless, 30ms);
        const auto lasted = std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::steady_clock::now() - begun);
        CHECK(ended.error().kind == resource_error_kind::timeout);
        CHECK(ended.error().text.find("passed its deadline") != std::string::npos);
        CHECK(lasted >= 30ms);
        best = std::min(best, lasted);
    }
    CHECK(best <= 35ms);
    CHECK(on->exec("SELECT 1").get<int>(0, 0) == 1);
    CHECK(on->on_return() == ropeway::return_state::clean);
}

TEST_CASE("the params' command_timeout holds where a statement names no deadline") {
    const auto on = opened(make_connections({.command_timeout = 20ms}));
    CHECK(on->exec(endless).error().kind == resource_error_kind::timeout);
    CHECK(on->exec_params(endless, {}).error().kind == resource_error_kind::timeout);
}

TEST_CASE("a statement may have for ever, and does not run where its deadline has passed") {
    const auto on = opened(make_connections({.command_timeout = 20ms}));
    constexpr auto for_ever = std::chrono::nanoseconds::max();
    // Longer than the progress handler takes to look at the clock.
    CHECK(on->exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) "
                   "SELECT max(i) FROM n",
                   for_ever)
              .get<int>(0, 0) == 300'000);
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    for (const std::chrono::nanoseconds passed : {-1ns, std::chrono::nanoseconds::min()}) {
        CHECK(on->exec("INSERT INTO t VALUES (1)", passed).error().kind ==
              resource_error_kind::timeout);
        CHECK(on->exec_params("INSERT INTO t VALUES (?1)", {1}, passed).error().kind ==
              resource_error_kind::timeout);
    }
    CHECK(on->exec("SELECT count(*) FROM t").get<int>(0, 0) == 0);
}

TEST_CASE("a statement that waits for a lock ends at the earlier of busy_timeout and deadline") {
    leaping_time time;
    const temporary_folder folder;
    const auto make =
        make_connections({.path = folder.file("orders.db"), .busy_timeout = 5s, .time = &time});
    const auto one = opened(make);
    const auto two = opened(make);
    REQUIRE(one->exec("CREATE TABLE t (v); BEGIN IMMEDIATE"));

    auto begun = time.now();
    CHECK(two->exec("INSERT INTO t VALUES (1)").error().kind == resource_error_kind::transient);
    CHECK(time.now() - begun == 5s);
    CHECK(time.waits > 100);

    begun = time.now();
    CHECK(two->exec("INSERT INTO t VALUES (1)", 2s).error().kind == resource_error_kind::timeout);
    CHECK(time.now() - begun == 2s);
}

TEST_CASE("a task of the pool waits for no lock: it says when to be resumed") {
    leaping_time time;
    const temporary_folder folder;
    const auto make = make_connections({.path = folder.file("orders.db"),
                                        .journal_mode = ropeway::sqlite::journal::rollback,
                                        .time = &time});
    const auto one = opened(make);
    REQUIRE(one->exec("CREATE TABLE t (v); BEGIN EXCLUSIVE"));
    const auto two = make();
    const auto step = two->begin(ropeway::resource_task::open);
    CHECK(step.state == ropeway::step_state::wants_read);
    CHECK(step.fd == -1);
    CHECK(step.after > 0ns);
    CHECK(time.waits == 0);
    CHECK(two->resume().state == ropeway::step_state::wants_read);
    REQUIRE(one->exec("COMMIT"));
    CHECK(two->resume().state == ropeway::step_state::done);
    CHECK(two->exec("SELECT * FROM t"));
}

TEST_CASE("cancel() ends a statement that waits for a lock, and no later one") {
    leaping_time time;
    const temporary_folder folder;
    const auto make =
        make_connections({.path = folder.file("orders.db"), .busy_timeout = 5s, .time = &time});
    const auto one = opened(make);
    const auto two = opened(make);
    REQUIRE(one->exec("CREATE TABLE t (v); BEGIN IMMEDIATE"));
    time.in_wait = [&] { two->cancel(); };
    const auto begun = time.now();
    CHECK(two->exec("INSERT INTO t VALUES (1)", 3s).error().kind == resource_error_kind::canceled);
    CHECK(time.now() - begun < 20ms);
    CHECK(time.waits == 1);

    time.in_wait = nullptr;
    CHECK(two->exec("INSERT INTO t VALUES (1)", 3s).error().kind == resource_error_kind::timeout);
    REQUIRE(one->exec("COMMIT"));
    two->cancel();
    CHECK(two->exec("INSERT INTO t VALUES (1)"));
    CHECK(two->on_return() == ropeway::return_state::clean);
}

TEST_CASE("cancel() from another thread ends the statement in progress") {
    const auto on = opened(make_connections({}));
    std::atomic<bool> ended{false};
    std::thread other{[&] {
        while (!ended.load(std::memory_order_relaxed)) {  // Relaxed: only ends the loop
            on->cancel();
            std::this_thread::yield();
        }
    }};
    const auto canceled = on->exec(endless);
    ended.store(true, std::memory_order_relaxed);
    other.join();
    CHECK(canceled.error().kind == resource_error_kind::canceled);
    CHECK(canceled.error().text.find("deadline") == std::string::npos);
    CHECK(on->exec("SELECT 1"));
}

}  // namespace
