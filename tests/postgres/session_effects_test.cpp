// SPDX-License-Identifier: Apache-2.0
//
// Which SQL texts can leave something behind, and which only read, as tables.
#include "session_effects.hpp"

#include "ropeway_test.hpp"

namespace {

using ropeway::postgres::detail::leaves_session_state;
using ropeway::postgres::detail::may_commit;
using ropeway::postgres::detail::only_reads;

TEST_CASE("Texts that can leave session state are found, however they are written") {
    for (const char* sql : {
             "SET search_path TO x",
             "set x=1",
             "  \n\tSET x = 1",
             "/* why */ SET x = 1",
             "-- why\nSET x = 1",
             "-- why\rSET x = 1",
             "-- why\r\nSET x = 1",
             "SELECT 1; SET x = 1",
             "BEGIN; SET SESSION x = 1; COMMIT",
             "SELECT 'a--b'; SET x = 1",
             "SELECT '/*'; SET x = 1 -- */",
             "SET local.tenant = '42'",
             "SET local .tenant = '42'",
             "SET local/**/.tenant = '42'",
             "SET transaction.x = 1",
             "SET constraints.x = 1",
             "SET /* local */ x = 1",
             "SET -- local\n x = 1",
             "RESET ALL",
             "LISTEN jobs",
             "UNLISTEN *",
             "PREPARE p AS SELECT 1",
             "DEALLOCATE ALL",
             "EXECUTE p",
             "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
             "LOAD 'x'",
             "DO $$ BEGIN END $$",
             "CALL p()",
             "DISCARD ALL",
             "CREATE TEMP TABLE t (a int)",
             "create temporary view v as select 1",
             "CREATE TABLE pg_temp.t (a int)",
             "SELECT 1 INTO TEMP t",
             "SELECT pg_advisory_lock(1)",
             "SELECT pg_try_advisory_lock_shared(1)",
             "SELECT set_config('x', 'y', false)",
         }) {
        CAPTURE(sql);
        CHECK(leaves_session_state(sql));
    }
}

TEST_CASE("Texts that leave nothing are not taken for such that do") {
    for (const char* sql : {
             "",
             ";",
             "SELECT 1",
             "UPDATE t SET a = 1",
             "UPDATE t\nSET a = 1",
             "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
             "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
             "SET LOCAL x = 1",
             "SET\tLOCAL\n\"x\" = 1",
             "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
             "SET CONSTRAINTS ALL DEFERRED",
             "SELECT pg_advisory_xact_lock(1)",
             "SELECT pg_try_advisory_xact_lock(1)",
             "SELECT temperature, preset FROM readings",
             "NOTIFY jobs",
             "BEGIN",
             "COMMIT",
             "CREATE TABLE t (a int)",
         }) {
        CAPTURE(sql);
        CHECK_FALSE(leaves_session_state(sql));
    }
}

TEST_CASE("Only a query that names no change counts as reading") {
    for (const char* sql :
         {"SELECT 1", "  select * from t", "SHOW all", "TABLE t", "VALUES (1)", "SELECT 1;",
          "SELECT 1 ;;\n", "BEGIN", "START TRANSACTION READ WRITE", "/* x */ SELECT 1"}) {
        CAPTURE(sql);
        // A comment's words stand before the query's: it errs to the careful side.
        CHECK(only_reads(sql) == (std::string_view(sql).front() != '/'));
    }
    for (const char* sql :
         {"", "INSERT INTO t VALUES (1)", "WITH x AS (DELETE FROM t) SELECT 1",
          "SELECT 1; DELETE FROM t", "SELECT 1; TRUNCATE t", "SELECT 1;DROP TABLE t",
          "SELECT 1; CALL p()", "BEGIN; TRUNCATE t; COMMIT", "SELECT '; -- '; TRUNCATE t",
          "SELECT 1 /* ; -- */; TRUNCATE t", "SELECT 1 INTO u", "COMMIT", "CALL p()"}) {
        CAPTURE(sql);
        CHECK_FALSE(only_reads(sql));
    }
}

TEST_CASE("Outside a transaction all that does more than read may commit") {
    CHECK_FALSE(may_commit("SELECT 1", false));
    CHECK(may_commit("INSERT INTO t VALUES (1)", false));
}

TEST_CASE("Within a transaction only what may end it other than by a rollback may commit") {
    for (const char* sql : {
             "COMMIT",
             "commit and chain",
             "END",
             "end work",
             "PREPARE TRANSACTION 'a'",
             "PREPARE /* it */ TRANSACTION 'a'",
             "INSERT INTO t VALUES (1); COMMIT",
             "-- done\nCOMMIT",
             "/* done */ COMMIT",
             "ROLLBACK; INSERT INTO t VALUES (1)",
             "ABORT; SELECT 1",
         }) {
        CAPTURE(sql);
        CHECK(may_commit(sql, true));
    }
    for (const char* sql : {
             "",
             "INSERT INTO t VALUES (1)",
             "SELECT CASE WHEN a THEN b END FROM t",
             "SELECT commit FROM t; UPDATE t SET a = 1",
             "PREPARE p AS SELECT 1",
             "ROLLBACK",
             "ROLLBACK TO SAVEPOINT s",
             "ABORT;",
         }) {
        CAPTURE(sql);
        CHECK_FALSE(may_commit(sql, true));
    }
}

}  // namespace
