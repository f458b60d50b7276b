// SPDX-License-Identifier: Apache-2.0
//
// The common front, on SQLite; tests/postgres has what concerns the server.
#include <ropeway/runtime/database.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/runtime/runtime.hpp>
#include <ropeway_test.hpp>

namespace {

using namespace std::chrono_literals;
using ropeway::database_connection;
using ropeway::database_connections;
using ropeway::load_pool_config;
using ropeway::resource_error_kind;
using pool = ropeway::resource_pool<database_connection>;

TEST_CASE("without any setting a program leases connections to SQLite in memory") {
    const auto config = load_pool_config({});
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    auto lease = connections.acquire();
    REQUIRE(lease);
    CHECK(lease->kind() == ropeway::database_kind::sqlite);
    REQUIRE(lease->exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"));
    const auto put = lease->exec("INSERT INTO t (name) VALUES ($1), ($2)", {"one", std::nullopt});
    REQUIRE(put);
    CHECK(put.affected == 2);
    auto other = connections.acquire();
    const auto got = other->exec("SELECT id, name, id / 4.0 FROM t ORDER BY id");
    REQUIRE(got);
    CHECK(got.columns.at(1) == "name");
    REQUIRE(got.rows.size() == 2);
    CHECK(got.affected == 0);
    CHECK(got.text(0, 1) == "one");
    CHECK(got.text(1, 2) == "0.5");
    CHECK_FALSE(got.rows[1][1].has_value());
    CHECK(got.text(1, 1).empty());
    CHECK(got.text(2, 0).empty());
    CHECK(got.text(0, 3).empty());
    lease.held().reset();
    other.held().reset();
    CHECK(connections.shutdown(1s).clean());
}

TEST_CASE("a failure is a value, and what a holder left open is gone for the next") {
    const auto config = load_pool_config({.settings = {{"min_size", "1"}, {"max_size", "1"}}});
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    {
        auto lease = connections.acquire();
        const auto failed = lease->exec("SELECT * FROM absent");
        CHECK_FALSE(failed);
        CHECK(failed.error.kind == resource_error_kind::invalid);
        CHECK(failed.rows.empty());
        REQUIRE(lease->exec("CREATE TABLE t (v); BEGIN; INSERT INTO t VALUES (1)"));
    }
    auto next = connections.acquire();
    REQUIRE(next);
    CHECK(next->exec("SELECT count(*) FROM t").text(0, 0) == "0");
    next.held().reset();
    CHECK(connections.shutdown(1s).clean());
}

TEST_CASE("command_timeout of the config ends a statement") {
    const auto config = load_pool_config({.settings = {{"command_timeout", "1"}}});
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    auto lease = connections.acquire();
    const char* const endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    CHECK(lease->exec(endless, {}, 20ms).error.kind == resource_error_kind::timeout);
    CHECK(lease->exec(endless).error.kind == resource_error_kind::timeout);
}

TEST_CASE(
    "a runtime owns such a pool: leased while it runs, told in its health, closed at its stop") {
    const auto config = load_pool_config({});
    ropeway::runtime rt{{.workers = {.count = 1}}};
    auto& connections = rt.add_pool<database_connection>(config, database_connections(config));
    rt.start();
    CHECK(connections.acquire()->exec("SELECT 42").text(0, 0) == "42");
    const auto health = rt.health();
    REQUIRE(health.pools.size() == 1);
    CHECK(health.pools[0].name == "database");
    CHECK(health.status == ropeway::health_status::healthy);
    CHECK(rt.stop(5s).clean());
    CHECK(connections.acquire().error().kind == resource_error_kind::closed);
}

/// Work that fails so many times with `kind`, then asks for 42.
struct failing_work {
    resource_error_kind kind;
    int failures;
    std::shared_ptr<int> calls = std::make_shared<int>(0);
    ropeway::database_rows operator()(database_connection& on) const {
        if ((*calls)++ < failures) {
            return {.error = {kind, {}, "as scripted"}};
        }
        return on.exec("SELECT 42");
    }
};

TEST_CASE("repeatable work is tried POOL_RETRY_ATTEMPTS times, each on a lease of its own") {
    const auto config = load_pool_config({.environment = {{"POOL_RETRY_ATTEMPTS", "4"}}});
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    const failing_work thrice{resource_error_kind::transient, 3};
    const auto done = ropeway::run_repeatable(connections, config, thrice);
    CHECK(done);
    CHECK(done.attempts == 4);
    CHECK(done.rows.text(0, 0) == "42");
    CHECK(connections.snapshot().acquired == 4);
    CHECK(connections.snapshot().active == 0);
    const failing_work always{resource_error_kind::broken, 1000};
    const auto failed = ropeway::run_repeatable(connections, config, always);
    CHECK_FALSE(failed);
    CHECK(failed.attempts == 4);
    CHECK(*always.calls == 4);
    CHECK(failed.rows.error.text == "as scripted");
    const failing_work twice{resource_error_kind::transient, 2};
    CHECK(ropeway::run_repeatable(connections, config, twice, std::chrono::nanoseconds::max())
              .attempts == 3);
    const failing_work in_time{resource_error_kind::transient, 1};
    CHECK(ropeway::run_repeatable(connections, config, in_time, -1ns).attempts == 1);
}

TEST_CASE("work is not repeated after what does not go away, nor beyond its time") {
    const auto config = load_pool_config({.environment = {{"POOL_RETRY_ATTEMPTS", "10"}}});
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    for (const auto kind : {resource_error_kind::invalid, resource_error_kind::commit_unknown,
                            resource_error_kind::canceled}) {
        const auto failed = ropeway::run_repeatable(connections, config, failing_work{kind, 1});
        CHECK(failed.attempts == 1);
        CHECK(failed.rows.error.kind == kind);
    }
    // The first delay is 50 ms, less a tenth at most: a second try would begin too late.
    const auto late = ropeway::run_repeatable(
        connections, config, failing_work{resource_error_kind::transient, 1}, 40ms);
    CHECK(late.attempts == 1);
    CHECK(late.rows.error.kind == resource_error_kind::transient);
    CHECK(connections.shutdown(1s).clean());
    const auto closed =
        ropeway::run_repeatable(connections, config, failing_work{resource_error_kind::none, 0});
    CHECK(closed.attempts == 1);
    CHECK(closed.rows.error.kind == resource_error_kind::closed);
}

TEST_CASE("a URL that its adapter refuses is refused before there is a pool") {
    auto config = load_pool_config({});
    config.database_url = "mysql://host/orders";
    CHECK_THROWS_AS(database_connections(config), std::invalid_argument);
}

}  // namespace
