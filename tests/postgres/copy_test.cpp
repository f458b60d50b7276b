// SPDX-License-Identifier: Apache-2.0
//
// COPY in both formats: what went in comes out, all or nothing.
#include <limits>
#include <string>
#include <vector>

#include "fault_proxy.hpp"
#include "host_jitter.hpp"
#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;

[[nodiscard]] std::unique_ptr<pg::connection> session_with_table(std::string url = {}) {
    shared_server().exec(
        "DROP TABLE IF EXISTS copied; CREATE TABLE copied (a int2, b int4 CHECK (b <> 13), c int8, "
        "d float8, e text, f bytea, g bool); GRANT ALL ON copied TO rider");
    return open_session({.url = url.empty() ? shared_server().url_unix() : url});
}

[[nodiscard]] std::string count() { return shared_server().value("SELECT count(*) FROM copied"); }

TEST_CASE("Rows of each type go in as text and as the binary format, and come back the same") {
    const std::string awkward = "tab\t newline\n return\r backslash\\ \\N \\. quote' end";
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{'\\'}, std::byte{0xff}};
    for (const pg::copy_format format : {pg::copy_format::text, pg::copy_format::binary}) {
        const auto session = session_with_table();
        pg::copy_writer writer(*session, {.table = "copied", .format = format});
        REQUIRE(writer);
        CHECK(writer.row({std::int16_t{-3}, std::numeric_limits<std::int32_t>::min(),
                          std::numeric_limits<std::int64_t>::max(), -0.1, awkward, bytes, true}));
        CHECK(writer.row({nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr}));
        CHECK(writer.row({std::int16_t{0}, 0, std::int64_t{0},
                          std::numeric_limits<double>::infinity(), "", std::vector<std::byte>{},
                          false}));
        const auto ended = writer.finish();
        REQUIRE(ended);
        CHECK(ended.affected() == 3);
        const auto rows = session->exec("SELECT * FROM copied");
        REQUIRE(rows.rows() == 3);
        CHECK(rows.get<int>(0, 0) == -3);
        CHECK(rows.get<std::int32_t>(0, 1) == std::numeric_limits<std::int32_t>::min());
        CHECK(rows.get<std::int64_t>(0, 2) == std::numeric_limits<std::int64_t>::max());
        CHECK(rows.get<double>(0, 3) == -0.1);
        CHECK(rows.get<std::string>(0, 4) == awkward);
        CHECK(rows.get<std::vector<std::byte>>(0, 5) == bytes);
        CHECK(rows.get<bool>(0, 6));
        for (std::size_t column = 0; column < 7; ++column) {
            CHECK(rows.is_null(1, column));
            CHECK_FALSE(rows.is_null(2, column));
        }
        CHECK(rows.get<double>(2, 3) == std::numeric_limits<double>::infinity());
        CHECK(session->on_return() == ropeway::return_state::clean);
    }
}

TEST_CASE("Columns may be chosen, and many rows fill many blocks") {
    const auto session = session_with_table();
    pg::copy_writer writer(*session, {.table = "copied",
                                      .columns = {"b", "e"},
                                      .format = pg::copy_format::binary,
                                      .buffer_bytes = 1024});
    const std::string text(100, 'x');
    for (int row = 0; row < 20'000; ++row) {
        REQUIRE(writer.row({row == 13 ? 14 : row, text}));
    }
    CHECK(writer.rows() == 20'000);
    CHECK(writer.finish().affected() == 20'000);
    CHECK(count() == "20000");
}

TEST_CASE("A COPY that cannot begin says why, and the connection goes on") {
    const auto session = session_with_table();
    pg::copy_writer writer(*session, {.table = "nowhere"});
    CHECK_FALSE(writer);
    CHECK(writer.error().code_text() == "42P01");
    CHECK_FALSE(writer.row({1}));
    CHECK_FALSE(writer.finish());
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A row that the server refuses ends the COPY, and none is kept") {
    const auto session = session_with_table();
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}, .buffer_bytes = 1024});
    for (int row = 0; row < 20; ++row) {
        CHECK(writer.row({row}));
    }
    const auto ended = writer.finish();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().code_text() == "23514");
    CHECK(count() == "0");
    CHECK(session->exec("SELECT 1"));
    CHECK(session->on_return() == ropeway::return_state::clean);
}

TEST_CASE("What follows a row that the server refused is skipped, and the end tells why") {
    const auto session = session_with_table();
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}, .buffer_bytes = 1024});
    for (int row = 0; row < 1000 && writer.row({row}); ++row) {
    }
    // The refusal comes, or came while rows were sent and has been read along.
    pollfd look{session->idle_fd(), POLLIN, 0};
    static_cast<void>(::poll(&look, 1, 300));
    REQUIRE(writer);
    for (int more = 0; more < 1000; ++more) {
        CHECK(writer.row({more}));
    }
    CHECK_FALSE(writer.finish());
    CHECK(writer.error().code_text() == "23514");
    CHECK(count() == "0");
    CHECK(session->exec("SELECT 1"));
    CHECK(session->on_return() == ropeway::return_state::clean);
}

TEST_CASE("Notices during a COPY and a notification before it are delivered and do not end it") {
    static_cast<void>(session_with_table());
    shared_server().exec(
        "CREATE OR REPLACE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE NOTICE 'row %', NEW.b; RETURN NEW; END $$;"
        "CREATE TRIGGER say BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION say()");
    int notices = 0;
    int notifications = 0;
    const auto session = open_session({.url = shared_server().url_unix(),
                                       .on_notice = [&](const auto&) { ++notices; },
                                       .on_notification = [&](const auto&) { ++notifications; }});
    REQUIRE(session->listen("news"));
    shared_server().exec("NOTIFY news");
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}, .buffer_bytes = 1024});
    for (int row = 100; row < 20'100; ++row) {
        REQUIRE(writer.row({row}));
    }
    const auto ended = writer.finish();
    REQUIRE(ended);
    CHECK(ended.affected() == 20'000);
    CHECK(notices == 20'000);
    CHECK(notifications == 1);
    CHECK(count() == "20000");
}

TEST_CASE("A COPY whose session is terminated tells so") {
    const auto session = session_with_table();
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}, .buffer_bytes = 1024});
    REQUIRE(shared_server().terminate(session->backend_pid()));
    REQUIRE(shared_server().wait_backends(0));
    int rows = 100;
    while (rows < 1'000'000 && writer.row({rows})) {
        ++rows;
    }
    CHECK(rows < 1'000'000);
    CHECK(writer.error().kind == resource_error_kind::broken);
    CHECK(writer.error().code_text() == "57P01");
}

TEST_CASE("A COPY that is given up leaves nothing and a usable connection") {
    const auto session = session_with_table();
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}});
    CHECK(writer.row({1}));
    CHECK_FALSE(writer.abort("changed my mind"));
    CHECK(count() == "0");
    CHECK(session->exec("SELECT 1"));
    CHECK(session->on_return() == ropeway::return_state::clean);
}

TEST_CASE("A COPY that is cut in the middle is broken, and nothing is kept") {
    fault_proxy proxy(shared_server().port());
    const auto session = session_with_table(shared_server().url_tcp(proxy.port()));
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}, .buffer_bytes = 1024});
    proxy.set(flow_direction::to_server, {.cut_after = 50'000});
    int sent = 20;
    while (sent < 10'000'000 && writer.row({sent})) {
        ++sent;
    }
    const auto ended = writer.finish();
    CHECK_FALSE(ended);
    CHECK(sent < 10'000'000);
    CHECK(writer.error().kind == resource_error_kind::broken);
    CHECK(session->on_return() == ropeway::return_state::broken);
    CHECK(shared_server().wait_backends(0));
    CHECK(count() == "0");
}

TEST_CASE("A COPY whose last answer is cut is unknown") {
    fault_proxy proxy(shared_server().port());
    const auto session = session_with_table(shared_server().url_tcp(proxy.port()));
    pg::copy_writer writer(*session, {.table = "copied", .columns = {"b"}});
    CHECK(writer.row({1}));
    proxy.set(flow_direction::to_client, {.cut_after = 0});
    CHECK(writer.finish().error().kind == resource_error_kind::commit_unknown);
}

TEST_CASE("A COPY ends at its deadline where the server takes no more") {
    fault_proxy proxy(shared_server().port());
    const auto session = session_with_table(shared_server().url_tcp(proxy.port()));
    pg::copy_writer writer(
        *session, {.table = "copied", .columns = {"e"}, .buffer_bytes = 65'536, .timeout = 500ms});
    REQUIRE(writer);
    proxy.set({.black_hole = true});
    const std::string text(10'000, 'x');
    const host_jitter jitter;
    const auto begun = std::chrono::steady_clock::now();
    int rows = 0;
    while (rows < 100'000 && writer.row({text})) {
        ++rows;
    }
    const auto ended = writer.finish();
    CHECK(ended.error().kind == resource_error_kind::timeout);
    const auto lasted = std::chrono::steady_clock::now() - begun;
    CHECK(lasted < 2s + jitter.lost());
    CHECK(session->on_return() == ropeway::return_state::broken);
}

}  // namespace
