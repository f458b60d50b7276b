// SPDX-License-Identifier: Apache-2.0
//
// Rows without a round trip each: counted, and a wrong one named.
#include <string>

#include "fault_proxy.hpp"
#include "host_jitter.hpp"
#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;

[[nodiscard]] std::unique_ptr<pg::connection> session_with_table(std::string url = {}) {
    shared_server().exec(
        "DROP TABLE IF EXISTS rows; CREATE TABLE rows (id int PRIMARY KEY, t text);"
        "GRANT ALL ON rows TO rider");
    return open_session({.url = url.empty() ? shared_server().url_unix() : url,
                         .prepared = {{"put", "INSERT INTO rows VALUES ($1, $2)"}}});
}

[[nodiscard]] std::string count() { return shared_server().value("SELECT count(*) FROM rows"); }

TEST_CASE("All rows of a pipeline arrive, whole batches and the rest") {
    const auto session = session_with_table();
    pg::pipeline writer(*session, {.batch = 100, .in_flight = 2});
    for (int row = 0; row < 1234; ++row) {
        REQUIRE(writer.add("put", {row, "text"}));
    }
    const auto& report = writer.finish();
    CHECK(report);
    CHECK(report.rows == 1234);
    CHECK(report.done == 1234);
    CHECK(report.changed == 1234);
    CHECK(report.refused + report.unknown == 0);
    CHECK(count() == "1234");
    CHECK(session->on_return() == ropeway::return_state::clean);
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A statement with a zero byte in it is not sent, and its row is named") {
    const auto session = session_with_table();
    pg::pipeline writer(*session);
    REQUIRE(writer.add("put", {1, "text"}));
    CHECK_FALSE(writer.add_sql({"DELETE FROM rows\0 WHERE id = 2", 30}, {}));
    CHECK_FALSE(writer.add({"put\0", 4}, {2, "text"}));
    const auto& report = writer.finish();
    CHECK(report.error.kind == resource_error_kind::invalid);
    CHECK(report.error.text.find("row 1: ") == 0);
    CHECK(report.first_failed_row == 1);
    CHECK(report.done == 1);
    CHECK(count() == "1");
    pg::pipeline other(*session);
    CHECK_FALSE(other.add("put", {3, std::string("te\0xt", 5)}));
    CHECK(other.finish().error.kind == resource_error_kind::invalid);
    CHECK(count() == "1");
}

TEST_CASE("A row that the server refuses is named, its batch is not kept, and no more is sent") {
    const auto session = session_with_table();
    pg::pipeline writer(*session, {.batch = 10, .in_flight = 1});
    int sent = 0;
    for (int row = 0; row < 1000; ++row) {
        if (!writer.add("put", {row == 25 ? 3 : row, nullptr})) {
            break;
        }
        ++sent;
    }
    const auto& report = writer.finish();
    CHECK_FALSE(report);
    CHECK(sent < 100);
    CHECK(report.first_failed_row == 25);
    CHECK(report.error.code_text() == "23505");
    CHECK(report.error.text.find("row 25: ") == 0);
    CHECK(report.rows == report.done + report.refused);
    CHECK(report.refused >= 10);
    CHECK(count() == std::to_string(report.done));
    CHECK_FALSE(session->is_doomed());
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("Within a transaction nothing of a pipeline stays without COMMIT") {
    const auto session = session_with_table();
    pg::transaction work(*session);
    pg::pipeline writer(*session, {.batch = 10});
    for (int row = 0; row < 30; ++row) {
        CHECK(writer.add_sql("INSERT INTO rows VALUES ($1)", {row}));
    }
    CHECK(writer.finish().done == 30);
    CHECK_FALSE(work.rollback());
    CHECK(count() == "0");
}

TEST_CASE("Rows larger than the socket's buffer do not lock both sides") {
    const auto session = session_with_table();
    const std::string large(200'000, 'x');
    pg::pipeline writer(*session, {.batch = 20, .in_flight = 8});
    for (int row = 0; row < 100; ++row) {
        REQUIRE(writer.add_sql("INSERT INTO rows VALUES ($1, $2) RETURNING t", {row, large}));
    }
    CHECK(writer.finish().done == 100);
}

TEST_CASE("A pipeline whose connection is cut says what is done and what is unknown") {
    fault_proxy proxy(shared_server().port());
    const auto session = session_with_table(shared_server().url_tcp(proxy.port()));
    pg::pipeline writer(*session, {.batch = 10, .in_flight = 3});
    proxy.set(flow_direction::to_client, {.cut_after = 500});
    for (int row = 0; row < 1000 && writer.add("put", {row, nullptr}); ++row) {
    }
    const auto& report = writer.finish();
    CHECK_FALSE(report);
    // Each batch commits by itself.
    CHECK(report.error.kind == resource_error_kind::commit_unknown);
    CHECK(report.rows == report.done + report.refused + report.unknown);
    CHECK(report.unknown > 0);
    CHECK(session->is_doomed());
    const auto kept = static_cast<std::uint64_t>(std::stoll(count()));
    CHECK(kept >= report.done);
    CHECK(kept <= report.done + report.unknown);
}

TEST_CASE("A pipeline cut within a transaction is unknown only if it was to commit") {
    fault_proxy proxy(shared_server().port());
    for (const auto& [last, kind] : {std::pair{"SELECT 1", resource_error_kind::broken},
                                     std::pair{"COMMIT", resource_error_kind::commit_unknown}}) {
        CAPTURE(last);
        const auto session = session_with_table(shared_server().url_tcp(proxy.port()));
        REQUIRE(session->exec("BEGIN"));
        pg::pipeline writer(*session);
        CHECK(writer.add("put", {1, nullptr}));
        CHECK(writer.add_sql(last, {}));
        proxy.set(flow_direction::to_client, {.cut_after = 0});
        const auto& report = writer.finish();
        CHECK(report.error.kind == kind);
        CHECK(report.unknown == 2);
        proxy.heal();
    }
}

TEST_CASE("A pipeline ends at its deadline, and its connection is dropped") {
    const auto session = session_with_table();
    pg::pipeline writer(*session, {.batch = 1, .in_flight = 1, .timeout = 50ms});
    const host_jitter jitter;
    const auto begun = std::chrono::steady_clock::now();
    CHECK(writer.add_sql("SELECT pg_sleep(5)", {}));
    CHECK_FALSE(writer.add_sql("SELECT pg_sleep(5)", {}));
    const auto& report = writer.finish();
    CHECK(report.error.kind == resource_error_kind::timeout);
    const auto lasted = std::chrono::steady_clock::now() - begun;
    CHECK(lasted < 1s + jitter.lost());
    CHECK(session->on_return() == ropeway::return_state::broken);
}

TEST_CASE("A pipeline that is left unfinished does not hand its answers to the next holder") {
    const auto session = session_with_table();
    {
        pg::pipeline writer(*session, {.batch = 10});
        CHECK(writer.add("put", {1, nullptr}));
    }
    CHECK(session->on_return() == ropeway::return_state::broken);
}

}  // namespace
