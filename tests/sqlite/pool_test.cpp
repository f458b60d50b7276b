// SPDX-License-Identifier: Apache-2.0
//
// The sqlite adapter through resource_pool.
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/sqlite/transaction.hpp>

#include "sqlite_test.hpp"

namespace {

using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::sqlite::connection;
using ropeway::sqlite::make_connections;
using ropeway_test::temporary_folder;
using pool = ropeway::resource_pool<connection>;

std::uint64_t closed(const ropeway::resource_snapshot& of, ropeway::close_reason why) {
    return of.closed[static_cast<std::size_t>(why)];
}

TEST_CASE("leases of one pool see one database, in memory by default") {
    pool connections{make_connections({}), {.name = "memory"}};
    REQUIRE_FALSE(connections.start());
    REQUIRE(connections.acquire()->exec("CREATE TABLE t (v); INSERT INTO t VALUES (42)"));
    auto one = connections.acquire();
    auto two = connections.acquire();
    auto three = connections.acquire();
    REQUIRE(three);
    CHECK(three->exec("SELECT v FROM t").get<int>(0, 0) == 42);
    CHECK(connections.snapshot().active == 3);
    one.held().reset();
    two.held().reset();
    three.held().reset();
    CHECK(connections.shutdown(1s).clean());
}

TEST_CASE("max_uses counts statements: one lease with three of them is enough for three") {
    pool connections{make_connections({.prepared = {{"one", "SELECT ?1"}}}),
                     {.name = "worn", .min_size = 1, .max_size = 1, .max_uses = 3}};
    REQUIRE_FALSE(connections.start());
    const auto worn_out = [&] {
        static_cast<void>(connections.acquire(5s));  // behind what the last return began
        return closed(connections.snapshot(), ropeway::close_reason::uses);
    };
    {
        auto got = connections.acquire(5s);
        REQUIRE(got);
        CHECK(got->exec("SELECT 1"));
        CHECK(got->exec_params("SELECT ?1", {2}));
        CHECK(got->exec_prepared("one", {3}));
    }
    CHECK(worn_out() == 1);  // and the look was the next one's first
    REQUIRE(connections.acquire(5s)->exec("SELECT 1; SELECT 2"));
    CHECK(worn_out() == 2);
    CHECK(connections.acquire(5s)->exec("SELECT 1"));
    CHECK(connections.shutdown(1s).clean());
}

TEST_CASE("a statement counts as a use when it ran, well or not") {
    const auto alone = make_connections({})();
    REQUIRE(alone->begin(ropeway::resource_task::open).state == ropeway::step_state::done);
    CHECK(alone->take_uses() == 0);
    CHECK_FALSE(alone->exec("SELECT nothing"));  // does not compile
    CHECK_FALSE(alone->exec_params("SELECT ?1", {}));
    CHECK(alone->take_uses() == 0);
    CHECK(alone->exec("CREATE TABLE t (v UNIQUE); INSERT INTO t VALUES (1); -- and no more"));
    CHECK_FALSE(alone->exec("INSERT INTO t VALUES (1); SELECT 1"));
    CHECK(alone->take_uses() == 3);
}

TEST_CASE("what a holder left open is rolled back before the next one has it") {
    const temporary_folder folder;
    pool connections{make_connections({.path = folder.file("orders.db")}),
                     {.name = "orders", .min_size = 1, .max_size = 1}};
    REQUIRE_FALSE(connections.start());
    REQUIRE(connections.acquire()->exec("CREATE TABLE t (v)"));
    REQUIRE(connections.acquire()->exec("BEGIN; INSERT INTO t VALUES (1)"));
    auto next = connections.acquire(5s);
    REQUIRE(next);
    CHECK_FALSE(next->in_transaction());
    CHECK(next->exec("SELECT count(*) FROM t").get<int>(0, 0) == 0);
    REQUIRE(next->exec("CREATE TEMP TABLE t (v); INSERT INTO t VALUES (1), (2)"));
    next.held().reset();
    CHECK(connections.acquire(5s)->exec("SELECT count(*) FROM t").get<int>(0, 0) == 0);
    CHECK(connections.snapshot().opened == 1);
    CHECK(connections.shutdown(1s).clean());
}

TEST_CASE("after the file was replaced no lease has the old one") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    pool connections{make_connections({.path = path}),
                     {.name = "orders", .min_size = 2, .max_size = 4}};
    REQUIRE_FALSE(connections.start());
    REQUIRE(connections.acquire()->exec("CREATE TABLE old_one (v)"));
    for (const char* const end : {"", "-wal", "-shm"}) {
        std::filesystem::rename(path + end, folder.file("moved.db") + end);
    }
    auto got = connections.acquire(5s);
    REQUIRE(got);
    CHECK_FALSE(got->exec("SELECT * FROM old_one"));
    got.held().reset();
    CHECK(closed(connections.snapshot(), ropeway::close_reason::failed_check) >= 1);
    CHECK(connections.shutdown(1s).clean());
}

TEST_CASE("a pool of a file that cannot be opened says why it does not start") {
    const temporary_folder folder;
    pool connections{make_connections({.path = folder.file("absent/orders.db")}),
                     {.name = "orders", .acquire_timeout = 5s}};
    const auto failed = connections.start();
    REQUIRE(failed);
    CHECK(failed->cause.kind == resource_error_kind::unavailable);
    CHECK(failed->cause.code_text() == "14");
    CHECK(failed->text().find("check the path") != std::string::npos);
}

TEST_CASE("threads that all write lose no row and get no lock error") {
    constexpr int threads = 8;
    constexpr int rows_each = 50;
    const temporary_folder folder;
    pool connections{make_connections({.path = folder.file("orders.db"), .busy_timeout = 30s}),
                     {.name = "orders", .min_size = 2, .max_size = 4}};
    REQUIRE_FALSE(connections.start());
    REQUIRE(connections.acquire()->exec("CREATE TABLE t (who, v)"));
    std::vector<int> written(threads, 0);
    std::vector<std::thread> writers;
    for (int who = 0; who < threads; ++who) {
        writers.emplace_back([&, who] {
            for (int i = 0; i < rows_each; ++i) {
                auto lease = connections.acquire();
                if (!lease) {
                    return;
                }
                ropeway::sqlite::transaction work{*lease};
                if (work && work.exec_params("INSERT INTO t VALUES (?1, ?2)", {who, i}) &&
                    !work.commit()) {
                    ++written[static_cast<std::size_t>(who)];
                }
            }
        });
    }
    for (std::thread& writer : writers) {
        writer.join();
    }
    CHECK(written == std::vector<int>(threads, rows_each));
    CHECK(connections.acquire()->exec("SELECT count(*) FROM t").get<int>(0, 0) ==
          threads * rows_each);
    const auto now = connections.snapshot();
    CHECK(now.peak_active <= 4);
    CHECK(now.opened <= 4);
    CHECK(connections.shutdown(1s).clean());
}

}  // namespace
