// SPDX-License-Identifier: Apache-2.0
//
// What a holder leaves behind does not reach the next one.
#include <string>

#include <libpq-fe.h>

#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::return_state;

[[nodiscard]] std::string value(pg::connection& on, const char* sql) {
    const auto answer = on.exec(sql);
    return answer && answer.rows() > 0 ? std::string(answer.text(0, 0)) : answer.error().text;
}

TEST_CASE("A session that did nothing special goes back clean") {
    const auto session = open_session();
    CHECK(session->exec("SELECT 1"));
    CHECK(session->exec("SELECT 1 / 0").error().kind == ropeway::resource_error_kind::invalid);
    CHECK(session->on_return() == return_state::clean);
}

TEST_CASE("Each command counts as one use until the next return, what the pool does as none") {
    shared_server().exec(
        "DROP TABLE IF EXISTS counted; CREATE TABLE counted (a int);"
        "GRANT ALL ON counted TO rider");
    const auto session = open_session({.url = shared_server().url_unix(),
                                       .prepared = {{"add", "INSERT INTO counted VALUES ($1)"}}});
    CHECK(session->take_uses() == 0);
    CHECK(session->exec("SELECT 1; SELECT 2"));
    CHECK_FALSE(session->exec_params("SELECT $1 / 0", {1}));
    CHECK(session->exec_prepared("add", {1}));
    CHECK(session->take_uses() == 3);
    CHECK(session->take_uses() == 0);
    CHECK(session->prepare("mine", "SELECT 1"));
    CHECK(session->listen("news"));
    CHECK(session->take_uses() == 2);
    {
        pg::pipeline batch(*session, {.batch = 2});
        for (int i = 0; i != 5; ++i) {
            CHECK(batch.add("add", std::initializer_list<pg::parameter>{i}));
        }
        CHECK(batch.finish().done == 5);
    }
    CHECK(session->take_uses() == 5);
    {
        pg::copy_writer rows(*session, {.table = "counted"});
        for (int i = 0; i != 5; ++i) {
            CHECK(rows.row(std::initializer_list<pg::parameter>{i}));
        }
        CHECK(rows.finish());
    }
    CHECK(session->take_uses() == 1);
    {
        pg::transaction kept(*session);
        CHECK(kept.exec_prepared("add", {2}));
        CHECK_FALSE(kept.commit());
        pg::transaction dropped(*session);
        CHECK(dropped.exec("SELECT 1"));
    }
    CHECK(session->take_uses() == 5);
    CHECK(give_back(*session));
    CHECK(run_task(*session, ropeway::resource_task::probe));
    CHECK(session->take_uses() == 0);
}

TEST_CASE(
    "Through a pool, one lease with as many statements as max_uses is the connection's last") {
    ropeway::resource_pool<pg::connection> pool(
        pg::make_connections({.url = shared_server().url_unix()}),
        {.name = "worn", .min_size = 1, .max_size = 1, .max_uses = 3});
    REQUIRE_FALSE(pool.start());
    const auto pid_after = [&](int statements) {
        auto got = pool.acquire(5s);
        REQUIRE(got);
        for (int i = 0; i != statements; ++i) {
            CHECK(got->exec("SELECT 1"));
        }
        return got->backend_pid();
    };
    const int first = pid_after(2);
    CHECK(pid_after(0) == first);
    const int second = pid_after(3);
    CHECK(second != first);
    CHECK(pid_after(0) != second);
    CHECK(pool.snapshot().closed[static_cast<std::size_t>(ropeway::close_reason::uses)] == 2);
    CHECK(pool.shutdown(1s).clean());
}

TEST_CASE("An open transaction is rolled back, a failed one too") {
    shared_server().exec(
        "DROP TABLE IF EXISTS left_open; CREATE TABLE left_open (a int);"
        "GRANT ALL ON left_open TO rider");
    const auto session = open_session();
    for (const char* end : {"SELECT 1", "SELECT 1 / 0"}) {
        REQUIRE(session->exec("BEGIN"));
        REQUIRE(session->exec("INSERT INTO left_open VALUES (1)"));
        static_cast<void>(session->exec(end));
        CHECK(session->on_return() == return_state::dirty);
        REQUIRE(run_task(*session, ropeway::resource_task::reset));
        CHECK_FALSE(session->in_transaction());
        CHECK(value(*session, "SELECT count(*) FROM left_open") == "0");
        CHECK(session->on_return() == return_state::clean);
    }
}

TEST_CASE("Settings, temporary tables, LISTEN, cursors, locks and statements are forgotten") {
    const auto session = open_session({.url = shared_server().url_unix(),
                                       .session_sql = {"SET work_mem = '8MB'"},
                                       .prepared = {{"one", "SELECT 1"}}});
    const char* const leftovers[]{
        "SET work_mem = '3MB'",
        "CREATE TEMP TABLE mine (a int)",
        "LISTEN jobs",
        "SELECT pg_advisory_lock(42)",
        "PREPARE own AS SELECT 2",
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
    };
    for (const char* sql : leftovers) {
        REQUIRE(session->exec(sql));
        CHECK(session->on_return() == return_state::dirty);
        REQUIRE(run_task(*session, ropeway::resource_task::reset));
    }
    CHECK(value(*session, "SHOW work_mem") == "8MB");
    CHECK(value(*session, "SELECT to_regclass('pg_temp.mine') IS NULL") == "t");
    CHECK(value(*session, "SELECT count(*) FROM pg_listening_channels()") == "0");
    CHECK(value(*session, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0");
    CHECK(value(*session, "SELECT count(*) FROM pg_cursors") == "0");
    CHECK(value(*session, "SELECT string_agg(name, ',') FROM pg_prepared_statements") == "one");
    CHECK(session->exec_prepared("one", {}));
}

TEST_CASE("The policies always and never do what they say") {
    const auto always =
        open_session({.url = shared_server().url_unix(), .reset = pg::reset_policy::always});
    CHECK(always->exec("SELECT 1"));
    CHECK(always->on_return() == return_state::dirty);
    REQUIRE(run_task(*always, ropeway::resource_task::reset));

    const auto never =
        open_session({.url = shared_server().url_unix(), .reset = pg::reset_policy::never});
    CHECK(never->exec("SET work_mem = '3MB'"));
    CHECK(never->on_return() == return_state::clean);
    CHECK(value(*never, "SHOW work_mem") == "3MB");
    CHECK(never->exec("BEGIN"));
    CHECK(never->on_return() == return_state::dirty);
    REQUIRE(run_task(*never, ropeway::resource_task::reset));
    CHECK(value(*never, "SHOW work_mem") == "3MB");
}

TEST_CASE("A session whose raw handle was used is reset") {
    const auto session = open_session();
    auto* raw = static_cast<PGconn*>(session->native_handle());
    PQclear(PQexec(raw, "SET work_mem = '3MB'"));
    CHECK(session->on_return() == return_state::dirty);
    REQUIRE(run_task(*session, ropeway::resource_task::reset));
    CHECK(value(*session, "SHOW work_mem") == "4MB");
}

TEST_CASE("A COPY towards the server is ended, and nothing of it kept") {
    shared_server().exec(
        "DROP TABLE IF EXISTS half_copied; CREATE TABLE half_copied (a int);"
        "GRANT ALL ON half_copied TO rider");
    const auto session = open_session();
    {
        pg::copy_writer writer(*session, {.table = "half_copied"});
        REQUIRE(writer);
        CHECK(writer.row({1}));
    }
    CHECK(session->on_return() == return_state::dirty);
    REQUIRE(run_task(*session, ropeway::resource_task::reset));
    CHECK(value(*session, "SELECT count(*) FROM half_copied") == "0");
    // By way of exec() too, which refuses it.
    CHECK_FALSE(session->exec("COPY half_copied FROM STDIN"));
    CHECK(session->on_return() == return_state::dirty);
    REQUIRE(run_task(*session, ropeway::resource_task::reset));
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A session that is owed an answer is dropped: COPY out, a query, a pipeline") {
    for (const int which : {0, 1, 2}) {
        const auto session = open_session();
        auto* raw = static_cast<PGconn*>(session->native_handle());
        if (which == 0) {
            CHECK_FALSE(session->exec("COPY (SELECT generate_series(1, 1000)) TO STDOUT"));
        } else if (which == 1) {
            CHECK(PQsendQuery(raw, "SELECT pg_sleep(1)") == 1);
        } else {
            CHECK(PQenterPipelineMode(raw) == 1);
            CHECK(PQsendQueryParams(raw, "SELECT 1", 0, nullptr, nullptr, nullptr, nullptr, 0) ==
                  1);
            CHECK(PQpipelineSync(raw) == 1);
        }
        CHECK(session->on_return() == return_state::broken);
    }
}

TEST_CASE("Pipeline mode without anything owed is left") {
    const auto session = open_session();
    auto* raw = static_cast<PGconn*>(session->native_handle());
    REQUIRE(PQenterPipelineMode(raw) == 1);
    CHECK(session->on_return() == return_state::dirty);
    REQUIRE(run_task(*session, ropeway::resource_task::reset));
    CHECK(session->exec("SELECT 1"));
}

}  // namespace
