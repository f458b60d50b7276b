// SPDX-License-Identifier: Apache-2.0
//
// Injection 8: the connection is cut, with and without TCP's farewell, within a result, a COPY and
// a COMMIT. What may or may not have been done is said to be unknown; done again under a key, the
// count is exact.
#include "fault_test.hpp"

#include <ropeway/pool/postgres/copy_writer.hpp>
#include <ropeway/pool/postgres/transaction.hpp>

using namespace ropeway_test;
using ropeway::postgres::copy_writer;
using ropeway::postgres::transaction;

namespace {

rig_params through(const postgres_server& server, const fault_proxy& proxy) {
    return {.url = server.url_tcp(proxy.port()), .min_size = 1, .max_size = 1};
}

void make_table(const postgres_server& server) {
    server.exec("drop table if exists marks");
    server.exec("create table marks(n int)");
    server.exec("grant all on marks to rider");
}

std::string marks(const postgres_server& server) {
    // The server may still be at what it was sent before the cut.
    const std::string busy =
        "select count(*) from pg_stat_activity where usename = 'rider' and state <> 'idle'";
    (void)wait_until([&] { return server.value(busy) == "0"; });
    return server.value("select count(*) from marks");
}

}  // namespace

TEST_CASE(
    "a connection cut within a result: broken, replaced, nothing of it is taken for a result") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    std::uint64_t cuts = 0;
    for (const cut_kind how : {cut_kind::fin, cut_kind::rst}) {
        for (const std::uint64_t behind : {0U, 1U, 5U, 1000U, 100'000U}) {
            INFO("cut " << (how == cut_kind::fin ? "fin" : "rst") << " behind byte " << behind);
            auto held = ride->acquire(2s);
            REQUIRE(held);
            proxy.set(flow_direction::to_client, {.cut_after = behind, .cut = how},
                      flow_scope::open_ones);
            const auto got =
                held->exec("select repeat('x', 1000) from generate_series(1, 1000)", 2s);
            CHECK_FALSE(got);
            CHECK(got.rows() == 0);
            CHECK(got.error().kind == resource_error_kind::broken);
            held.held().reset();
            CHECK(ride.seen().wait_for(resource_event_kind::closed, ++cuts));
            CHECK(answers(ride.pool(), 2s));
        }
    }
    CHECK(ride.seen().closed(close_reason::broken) == cuts);
    CHECK(ride.log().wait_for("closed: broken after "));
    ride.end_without_leak(server);
}

TEST_CASE("a connection cut within a COPY: an error, and the server keeps no row") {
    postgres_server& server = shared_server();
    make_table(server);
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    for (const cut_kind how : {cut_kind::fin, cut_kind::rst}) {
        auto held = ride->acquire(2s);
        REQUIRE(held);
        copy_writer copy{*held, {.table = "marks", .timeout = 5s}};
        REQUIRE(copy);
        proxy.set(flow_direction::to_server, {.cut_after = 20'000, .cut = how},
                  flow_scope::open_ones);
        // On and on: rows go into buffers for a while before the writer can know.
        int rows = 0;
        while (rows < 50'000'000 && copy.row({rows})) {
            ++rows;
        }
        CHECK(rows < 50'000'000);
        const auto got = copy.finish();
        CHECK_FALSE(got);
        INFO(got.error().text);
        CHECK(got.error().kind == resource_error_kind::broken);
        held.held().reset();
        CHECK(server.wait_backends(1));
        CHECK(marks(server) == "0");
    }
    ride.end_without_leak(server);
}

TEST_CASE("the answer to a COPY's end is lost: unknown, and the rows are there") {
    postgres_server& server = shared_server();
    make_table(server);
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    auto held = ride->acquire(2s);
    REQUIRE(held);
    copy_writer copy{*held, {.table = "marks", .timeout = 5s}};
    REQUIRE(copy);
    for (int i = 0; i < 100; ++i) {
        REQUIRE(copy.row({i}));
    }
    proxy.set(flow_direction::to_client, {.cut_after = 0}, flow_scope::open_ones);
    CHECK(copy.finish().error().kind == resource_error_kind::commit_unknown);
    CHECK(marks(server) == "100");
    held.held().reset();
    ride.end_without_leak(server);
}

TEST_CASE("a connection cut within a COMMIT: unknown, whether the server did it or not") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    for (const cut_kind how : {cut_kind::fin, cut_kind::rst}) {
        for (const bool done : {true, false}) {
            INFO((done ? "the answer is lost" : "the COMMIT is lost"));
            make_table(server);
            auto held = ride->acquire(2s);
            REQUIRE(held);
            transaction within{*held};
            REQUIRE(within.exec("insert into marks values (1)"));
            proxy.set(done ? flow_direction::to_client : flow_direction::to_server,
                      {.cut_after = 0, .cut = how}, flow_scope::open_ones);
            const auto error = within.commit();
            CHECK(error.kind == resource_error_kind::commit_unknown);
            CHECK_FALSE(is_retryable(error.kind));
            CHECK(marks(server) == (done ? "1" : "0"));
            held.held().reset();
        }
    }
    ride.end_without_leak(server);
}

TEST_CASE("a COMMIT in a black hole: unknown at its deadline, whether the server did it or not") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    constexpr auto limit = 500ms;  // of BEGIN as well, which has to succeed
    for (const bool done : {true, false}) {
        INFO((done ? "the answer is lost" : "the COMMIT is lost"));
        make_table(server);
        auto held = ride->acquire(2s);
        REQUIRE(held);
        transaction within{*held, {.timeout = limit}};
        REQUIRE(within.exec("insert into marks values (1)", 5s));
        proxy.set(done ? flow_direction::to_client : flow_direction::to_server,
                  {.black_hole = true}, flow_scope::open_ones);
        const auto late = overrun(
            limit, [&] { CHECK(within.commit().kind == resource_error_kind::commit_unknown); });
        CHECK(late <= allowed_overrun);
        held.held().reset();
        if (!done) {
            // What the hole holds would get through when it heals.
            proxy.cut(cut_kind::rst);
        }
        CHECK(marks(server) == (done ? "1" : "0"));
        proxy.heal();
    }
    ride.end_without_leak(server);
}

TEST_CASE("a connection cut before COMMIT: broken, not unknown, and nothing was done") {
    postgres_server& server = shared_server();
    make_table(server);
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    auto held = ride->acquire(2s);
    REQUIRE(held);
    transaction within{*held};
    REQUIRE(within.exec("insert into marks values (1)"));
    proxy.cut(cut_kind::rst);
    const auto got = within.exec("insert into marks values (2)");
    CHECK(got.error().kind == resource_error_kind::broken);
    const auto error = within.commit();
    CHECK(error.kind != resource_error_kind::none);
    CHECK(error.kind != resource_error_kind::commit_unknown);
    CHECK(marks(server) == "0");
    held.held().reset();
    ride.end_without_leak(server);
}

TEST_CASE("work under a key, its COMMIT cut and done again: exactly once each") {
    postgres_server& server = shared_server();
    make_table(server);
    server.exec("drop table if exists ropeway_idempotency");
    server.exec(ropeway::postgres::idempotency_table());
    server.exec("grant all on ropeway_idempotency to rider");
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    constexpr int jobs = 12;
    for (int job = 0; job < jobs; ++job) {
        INFO("job " << job);
        bool cut = false;
        const auto outcome = ropeway::postgres::run_transaction(
            ride.pool(), {.key = "job " + std::to_string(job), .timeout = 10s},
            [&](transaction& within) {
                auto error =
                    within.exec("insert into marks values (" + std::to_string(job) + ")").error();
                if (!cut && job % 3 != 2) {
                    cut = true;
                    proxy.set(job % 3 == 0 ? flow_direction::to_client : flow_direction::to_server,
                              {.cut_after = 0, .cut = job % 2 == 0 ? cut_kind::rst : cut_kind::fin},
                              flow_scope::open_ones);
                }
                return error;
            });
        INFO(outcome.error.text);
        CHECK(outcome);
        CHECK(outcome.attempts == (job % 3 == 2 ? 1U : 2U));
        CHECK(outcome.was_done_before == (job % 3 == 0));
    }
    CHECK(marks(server) == std::to_string(jobs));
    CHECK(server.value("select count(distinct n) from marks") == std::to_string(jobs));
    ride.end_without_leak(server);
}

TEST_CASE("work without a key is not done again when its COMMIT is unknown") {
    postgres_server& server = shared_server();
    make_table(server);
    fault_proxy proxy{server.port()};
    rig ride{through(server, proxy)};
    ride.start();
    const auto outcome =
        ropeway::postgres::run_transaction(ride.pool(), {.timeout = 10s}, [&](transaction& within) {
            auto error = within.exec("insert into marks values (1)").error();
            proxy.set(flow_direction::to_client, {.cut_after = 0}, flow_scope::open_ones);
            return error;
        });
    CHECK(outcome.error.kind == resource_error_kind::commit_unknown);
    CHECK(outcome.attempts == 1);
    CHECK(marks(server) == "1");
    ride.end_without_leak(server);
}
