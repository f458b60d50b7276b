// SPDX-License-Identifier: Apache-2.0
//
// What a holder leaves behind never reaches the next one.
#include <sqlite3.h>

#include "sqlite_test.hpp"

namespace {

using ropeway::resource_task;
using ropeway::return_state;
using ropeway::sqlite::make_connections;
using ropeway_test::opened;
using ropeway_test::run_task;

TEST_CASE("what changes only rows comes back clean") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v); INSERT INTO t VALUES (1); SELECT * FROM t"));
    REQUIRE(on->exec("BEGIN; INSERT INTO t VALUES (2); COMMIT"));
    REQUIRE(on->exec("PRAGMA journal_mode; PRAGMA table_info(t); PRAGMA user_version"));
    CHECK_FALSE(on->exec("SELECT * FROM absent"));
    CHECK(on->on_return() == return_state::clean);
}

TEST_CASE("an open transaction is rolled back") {
    const auto on = opened(make_connections({.prepared = {{"one", "SELECT 1"}}}));
    REQUIRE(on->exec("CREATE TABLE t (v); BEGIN; INSERT INTO t VALUES (1)"));
    CHECK(on->on_return() == return_state::dirty);
    CHECK(run_task(*on, resource_task::reset));
    CHECK(on->on_return() == return_state::clean);
    CHECK(on->exec("SELECT count(*) FROM t").get<int>(0, 0) == 0);
    CHECK(on->exec_prepared("one"));
}

TEST_CASE("what outlives a transaction in the session is gone after a reset") {
    const char* const left = GENERATE("CREATE TEMP TABLE x (v)", "CREATE TEMP VIEW x AS SELECT 1",
                                      "ATTACH ':memory:' AS x", "PRAGMA foreign_keys = OFF",
                                      "PRAGMA case_sensitive_like(1)");
    INFO(left);
    const auto on = opened(make_connections({.prepared = {{"one", "SELECT 1"}}}));
    REQUIRE(on->exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)"));
    REQUIRE(on->exec(left));
    CHECK(on->on_return() == return_state::dirty);
    CHECK(run_task(*on, resource_task::reset));
    CHECK(on->on_return() == return_state::clean);
    CHECK_FALSE(on->exec("SELECT * FROM x"));
    CHECK(on->exec("PRAGMA database_list").rows() == 1);
    CHECK(on->exec("PRAGMA foreign_keys").get<int>(0, 0) == 1);
    CHECK(on->exec("SELECT 'a' LIKE 'A'").get<bool>(0, 0));
    CHECK(on->exec("SELECT v FROM t").get<int>(0, 0) == 1);
    CHECK(on->exec_prepared("one"));
}

TEST_CASE("what a prepared statement leaves in the session is gone after a reset") {
    const char* const left = GENERATE("CREATE TEMP TABLE x (v)", "ATTACH ':memory:' AS x");
    INFO(left);
    const auto on = opened(make_connections({.prepared = {{"one", "SELECT 1"}, {"leave", left}}}));
    CHECK(on->exec_prepared("one"));
    CHECK(on->on_return() == return_state::clean);
    for (int round = 0; round < 2; ++round) {
        // In the second round it would fail if the first one's were there.
        REQUIRE(on->exec_prepared("leave"));
        CHECK(on->on_return() == return_state::dirty);
        CHECK(run_task(*on, resource_task::reset));
        CHECK(on->on_return() == return_state::clean);
    }
}

TEST_CASE("a reset that finds the lock held opens the connection when it is resumed") {
    const auto make = make_connections({.prepared = {{"one", "SELECT 1"}}});
    const auto one = opened(make);
    const auto two = opened(make);
    REQUIRE(two->exec("CREATE TEMP TABLE x (v)"));
    CHECK(two->on_return() == return_state::dirty);
    REQUIRE(one->exec("BEGIN IMMEDIATE; CREATE TABLE t (v)"));
    CHECK(two->begin(resource_task::reset).state == ropeway::step_state::wants_read);
    CHECK(two->resume().state == ropeway::step_state::wants_read);
    REQUIRE(one->exec("COMMIT"));
    CHECK(two->resume().state == ropeway::step_state::done);
    CHECK(two->check() == ropeway::resource_health::usable);
    CHECK(two->on_return() == return_state::clean);
    CHECK(two->exec_prepared("one"));
    CHECK_FALSE(two->exec("SELECT * FROM x"));
}

TEST_CASE("a statement left unfinished on the native handle does not reach the next holder") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v); INSERT INTO t VALUES (1), (2)"));
    sqlite3_stmt* rest = nullptr;
    REQUIRE(sqlite3_prepare_v2(on->native_handle(), "SELECT v FROM t", -1, &rest, nullptr) ==
            SQLITE_OK);
    REQUIRE(sqlite3_step(rest) == SQLITE_ROW);
    CHECK(on->on_return() == return_state::dirty);
    CHECK(run_task(*on, resource_task::reset));
    sqlite3_finalize(rest);
    CHECK(on->exec("DROP TABLE t"));
    CHECK(on->on_return() == return_state::clean);
}

}  // namespace
