// SPDX-License-Identifier: Apache-2.0
//
// The common front on PostgreSQL: what database_test.cpp asks of SQLite.
#include <ropeway/runtime/database.hpp>

#include <chrono>
#include <string>
#include <string_view>

#include <postgres_test.hpp>
#include <ropeway/pool/resource_pool.hpp>

namespace {

using namespace std::chrono_literals;
using ropeway::database_connection;
using ropeway::database_connections;
using ropeway::resource_error_kind;
using pool = ropeway::resource_pool<database_connection>;

ropeway::pool_config config_of(const ropeway_test::postgres_server& server) {
    return ropeway::load_pool_config({.environment = {{"DATABASE_URL", server.url_tcp()},
                                                      {"POOL_MIN_SIZE", "1"},
                                                      {"POOL_MAX_SIZE", "1"},
                                                      {"POOL_COMMAND_TIMEOUT", "1"}}});
}

TEST_CASE("DATABASE_URL chooses the server; parameters, NULL and counts read as SQLite's do") {
    const auto config = config_of(ropeway_test::shared_server());
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    auto lease = connections.acquire();
    REQUIRE(lease);
    CHECK(lease->kind() == ropeway::database_kind::postgres);
    REQUIRE(lease->exec("CREATE TEMP TABLE t (id serial, name text); SELECT 1"));
    const auto put = lease->exec("INSERT INTO t (name) VALUES ($1), ($2)", {"one", std::nullopt});
    REQUIRE(put);
    CHECK(put.affected == 2);
    const auto got = lease->exec("SELECT id, name FROM t ORDER BY id");
    REQUIRE(got.rows.size() == 2);
    CHECK(got.affected == 0);
    CHECK(got.columns.at(1) == "name");
    CHECK(got.text(0, 1) == "one");
    CHECK_FALSE(got.rows[1][1].has_value());
    lease.held().reset();

    auto next = connections.acquire();
    REQUIRE(next);
    const auto gone = next->exec("SELECT * FROM t");
    CHECK(gone.error.kind == resource_error_kind::invalid);
    CHECK(gone.error.code_text() == "42P01");
    next.held().reset();
    CHECK(connections.shutdown(5s).clean());
}

TEST_CASE("command_timeout of the config ends a statement, whose connection is replaced") {
    const auto config = config_of(ropeway_test::shared_server());
    pool connections{database_connections(config), config.pool};
    REQUIRE_FALSE(connections.start());
    {
        auto lease = connections.acquire();
        CHECK(lease->exec("SELECT pg_sleep(30)").error.kind == resource_error_kind::timeout);
    }
    auto next = connections.acquire(5s);
    REQUIRE(next);
    CHECK(next->exec("SELECT 42").text(0, 0) == "42");
    next.held().reset();
    CHECK(connections.snapshot().opened == 2);
    CHECK(connections.shutdown(5s).clean());
}

TEST_CASE("a server's notices are records of the log that was given, under the pool's name") {
    std::string line;
    {
        ropeway::logging_params params;
        // Called on the log's thread, which has ended when `line` is read.
        params.callback = [&](ropeway::log_level, std::string_view written) { line = written; };
        ropeway::logger log{params};
        const auto config = config_of(ropeway_test::shared_server());
        pool connections{database_connections(config, &log), config.pool};
        REQUIRE_FALSE(connections.start());
        CHECK(connections.acquire()->exec("DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$"));
        CHECK(connections.shutdown(5s).clean());
    }
    CHECK(line.find("Database notice pool=database severity=WARNING code=01000 "
                    "text=\"mind the gap\"") != std::string::npos);
}

}  // namespace
