// SPDX-License-Identifier: Apache-2.0
//
// Injection 13: a session is returned with state in it. The next holder sees nothing of it.
#include "fault_test.hpp"

#include <ropeway/pool/postgres/copy_writer.hpp>
#include <ropeway/pool/postgres/pipeline.hpp>
#include <ropeway/pool/postgres/transaction.hpp>

#include <libpq-fe.h>

using namespace ropeway_test;
using ropeway::postgres::connection;

namespace {

rig_params single(const postgres_server& server) {
    return {.url = server.url_unix(), .min_size = 1, .max_size = 1};
}

// Everything of a session that one holder could leave for the next, as one line.
constexpr const char* state =
    "select concat_ws(' | ', current_setting('search_path'), current_setting('work_mem'), "
    "current_setting('role'), current_setting('statement_timeout'), "
    "(select string_agg(x, ',') from pg_listening_channels() x), "
    "(select string_agg(relname, ',') from pg_class where relpersistence = 't'), "
    "(select string_agg(name, ',') from pg_prepared_statements), "
    "(select string_agg(name, ',') from pg_cursors where name <> ''), "
    "(select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), "
    "(select count(*) from marks))";

struct left_behind {
    const char* what;
    std::function<void(connection&)> leave;
    bool same_session;  // whether the session itself must survive: a reset is enough for it
};

void run(connection& on, const char* sql) { (void)on.exec(sql, 2s); }

std::vector<left_behind> everything() {
    return {
        {"an open transaction",
         [](connection& on) {
             run(on, "begin");
             run(on, "insert into marks values (1)");
         },
         true},
        {"a transaction object that was not committed",
         [](connection& on) {
             ropeway::postgres::transaction within{on};
             (void)within.exec("insert into marks values (2)");
         },
         true},
        {"a failed transaction",
         [](connection& on) {
             run(on, "begin");
             run(on, "insert into marks values (3)");
             run(on, "select 1/0");
         },
         true},
        {"a failed statement", [](connection& on) { run(on, "selekt 7"); }, true},
        {"a COPY in progress",
         [](connection& on) {
             ropeway::postgres::copy_writer copy{on, {.table = "marks"}};
             for (int i = 0; i < 20'000; ++i) {
                 (void)copy.row({i});
             }
         },
         false},
        {"a pipeline with rows unanswered",
         [](connection& on) {
             ropeway::postgres::pipeline rows{on, {.batch = 10}};
             for (int i = 0; i < 5; ++i) {
                 (void)rows.add_sql("insert into marks values ($1)", {i});
             }
         },
         false},
        {"pipeline mode entered by hand",
         [](connection& on) {
             (void)PQenterPipelineMode(static_cast<PGconn*>(on.native_handle()));
         },
         false},
        {"a query sent by hand and never read",
         [](connection& on) {
             (void)PQsendQuery(static_cast<PGconn*>(on.native_handle()), "select 'late'");
         },
         false},
        {"LISTEN", [](connection& on) { (void)on.listen("whispers"); }, true},
        {"LISTEN as text", [](connection& on) { run(on, "/* a note */ listen whispers"); }, true},
        {"a temporary table", [](connection& on) { run(on, "create temp table mine(n int)"); },
         true},
        {"a temporary table by SELECT INTO",
         [](connection& on) { run(on, "select 7 as n into temp mine2"); }, true},
        {"SET", [](connection& on) { run(on, "set work_mem = '77MB'"); }, true},
        {"SET behind another statement",
         [](connection& on) { run(on, "select 7; set search_path = nowhere"); }, true},
        {"set_config()",
         [](connection& on) { run(on, "select set_config('statement_timeout', '7777', false)"); },
         true},
        {"SET ROLE", [](connection& on) { run(on, "set role pg_read_all_stats"); }, true},
        {"a prepared statement", [](connection& on) { (void)on.prepare("mine", "select $1::int"); },
         true},
        {"PREPARE as text", [](connection& on) { run(on, "prepare mine2 as select 7"); }, true},
        {"a cursor WITH HOLD",
         [](connection& on) { run(on, "declare mine cursor with hold for select 7"); }, true},
        {"an advisory lock", [](connection& on) { run(on, "select pg_advisory_lock(77)"); }, true},
    };
}

void expect_forgotten(const postgres_server& server, ropeway::postgres::reset_policy policy) {
    rig_params how = single(server);
    how.connection = [&](ropeway::postgres::postgres_params& params) {
        params.reset = policy;
        params.prepared = {{"kept", "select 7"}};
    };
    rig ride{how};
    ride.start();
    std::string clean;
    {
        auto first = ride->acquire(2s);
        REQUIRE(first);
        clean = ask(*first, state);
    }
    for (const left_behind& one : everything()) {
        INFO(one.what);
        int session = 0;
        {
            auto holder = ride->acquire(2s);
            REQUIRE(holder);
            session = holder->backend_pid();
            one.leave(*holder);
        }
        // A reset or a new session, of a server that answers: far from the limits of both.
        std::optional<decltype(ride->acquire(2s))> got;
        CHECK(overrun(1s, [&] { got.emplace(ride->acquire(2s)); }) <= 0ms);
        auto& next = *got;
        REQUIRE(next);
        CHECK(ask(*next, state) == clean);
        CHECK_FALSE(next->in_transaction());
        // What the pool itself prepared when it connected is there for every holder.
        const auto kept = next->exec_prepared("kept", {});
        CHECK(kept);
        if (one.same_session) {
            CHECK(next->backend_pid() == session);
        }
    }
    CHECK(ride->snapshot().timeouts == 0);
    CHECK(ride.seen().closed(close_reason::broken) >= 2);  // both that owe an answer
    CHECK(ride.log().wait_for("closed: broken"));
    CHECK(ride.seen().closed(close_reason::failed_reset) == 0);
    CHECK_FALSE(ride.log().has("closed: failed reset"));
    ride.end_without_leak(server);
}

}  // namespace

TEST_CASE("what one holder leaves in a session, the next does not see") {
    postgres_server& server = shared_server();
    server.exec("drop table if exists marks");
    server.exec("create table marks(n int)");
    server.exec("grant all on marks to rider");
    server.exec("grant pg_read_all_stats to rider");
    SECTION("where the pool looks for what was left") {
        expect_forgotten(server, ropeway::postgres::reset_policy::if_dirty);
    }
    SECTION("where it forgets everything after each lease") {
        expect_forgotten(server, ropeway::postgres::reset_policy::always);
    }
    CHECK(server.value("select count(*) from marks") == "0");
}
