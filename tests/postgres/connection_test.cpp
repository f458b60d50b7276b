// SPDX-License-Identifier: Apache-2.0
//
// Opening, commands, results, and what stays behind: nothing.
#include <ropeway/pool/postgres/connection.hpp>

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::resource_health;
using ropeway::resource_task;

TEST_CASE("A connection opens over a unix socket and over TCP with a password") {
    for (const std::string& url : {shared_server().url_unix(), shared_server().url_tcp()}) {
        const auto session = open_session({.url = url});
        CHECK(session->backend_pid() > 0);
        CHECK(session->server_version() >= 150000);
        const auto answer = session->exec("SELECT 1 AS one");
        REQUIRE(answer);
        CHECK(answer.rows() == 1);
        CHECK(answer.get<int>(0, *answer.column("one")) == 1);
        CHECK(session->on_return() == ropeway::return_state::clean);
    }
}

TEST_CASE("A host name is resolved when the settings are made, and all its addresses are tried") {
    std::string url = shared_server().url_tcp();
    const std::string address = "127.0.0.1";
    url.replace(url.find(address), address.size(), "localhost");
    for (const bool resolve : {true, false}) {
        const auto made = std::make_shared<pg::settings>(
            pg::postgres_params{.url = url, .resolve_names = resolve});
        CHECK(open_session(made)->exec("SELECT 1"));
        made->resolve_again();
        CHECK(open_session(made)->exec("SELECT 1"));
    }
    // A second host where the first has nobody.
    const std::string port = std::to_string(shared_server().port());
    url.replace(url.find("localhost:" + port), 10 + port.size(), "127.0.0.1:1,127.0.0.1:" + port);
    CHECK(open_session({.url = url})->exec("SELECT 1"));
}

TEST_CASE("A password that is replaced is used by the next open") {
    postgres_server& server = shared_server();
    const auto made = std::make_shared<pg::settings>(
        pg::postgres_params{.url = server.url_tcp(), .options = {{"password", "not-this-one"}}});
    pg::connection session(made);
    CHECK_FALSE(run_task(session, ropeway::resource_task::open));
    CHECK(session.error().kind == resource_error_kind::authentication);
    made->set_password(server.password());
    CHECK(run_task(session, ropeway::resource_task::open));
    CHECK(session.exec("SELECT 1"));
}

TEST_CASE("Values of each type go in and come back") {
    const auto session = open_session();
    const std::vector<std::byte> bytes{std::byte{0}, std::byte{0xff}, std::byte{'a'}};
    const auto answer = session->exec_params(
        "SELECT $1::bool, $2::int2, $3::int4, $4::int8, $5::float8, $6::text, $7::bytea, $8::int4, "
        "$9::numeric",
        {true, std::int16_t{-7}, 40'000, std::int64_t{1} << 40, 0.1, "it's \"text\"", bytes,
         nullptr, ~std::uint64_t{0}});
    REQUIRE(answer);
    CHECK(answer.get<bool>(0, 0));
    CHECK(answer.get<std::int16_t>(0, 1) == -7);
    CHECK(answer.get<int>(0, 2) == 40'000);
    CHECK(answer.get<std::int64_t>(0, 3) == std::int64_t{1} << 40);
    CHECK(answer.get<double>(0, 4) == 0.1);
    CHECK(answer.get<std::string>(0, 5) == "it's \"text\"");
    CHECK(answer.get<std::vector<std::byte>>(0, 6) == bytes);
    CHECK(answer.is_null(0, 7));
    CHECK(answer.get<std::optional<int>>(0, 7) == std::nullopt);
    CHECK(answer.get<std::uint64_t>(0, 8) == ~std::uint64_t{0});
    CHECK_THROWS_AS(answer.get<int>(0, 7), pg::bad_value);
    CHECK_THROWS_AS(answer.get<int>(0, 5), pg::bad_value);
    CHECK_THROWS_AS(answer.get<std::int16_t>(0, 2), pg::bad_value);
    CHECK_THROWS_AS(answer.get<int>(1, 0), pg::bad_value);
}

TEST_CASE("More parameters than fit in place are bound as well") {
    const auto session = open_session();
    std::vector<pg::parameter> values;
    std::string sql = "SELECT 0";
    int sum = 0;
    for (int at = 1; at <= 40; ++at) {
        values.emplace_back(at);
        sql += " + $" + std::to_string(at) + "::int4";
        sum += at;
    }
    const auto answer = session->exec_params(sql, values);
    REQUIRE(answer);
    CHECK(answer.get<int>(0, 0) == sum);
}

TEST_CASE("A failed statement is a value with its SQLSTATE, and the connection goes on") {
    const auto session = open_session();
    const auto answer = session->exec("SELECT 1 / 0");
    REQUIRE_FALSE(answer);
    CHECK(answer.error().kind == resource_error_kind::invalid);
    CHECK(answer.error().code_text() == "22012");
    CHECK(answer.error().text.find("division by zero") != std::string::npos);
    CHECK(session->exec("SELECT 1"));
    CHECK_FALSE(session->is_doomed());
}

TEST_CASE("A statement with a zero byte in it is refused, and none of it runs") {
    const auto session = open_session();
    const std::string_view sql{"SELECT 1\0; SELECT 2", 19};
    for (const auto& answer :
         {session->exec(sql), session->exec_params(sql, {}), session->prepare("p", sql),
          session->prepare({"p\0", 2}, "SELECT 1"), session->exec_prepared({"p\0", 2}, {}),
          session->listen({"a\0", 2})}) {
        CHECK(answer.error().kind == resource_error_kind::invalid);
        CHECK(answer.error().text.find("zero byte") != std::string::npos);
    }
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("Text with a zero byte in it is refused as a parameter; bytes may hold one") {
    const auto session = open_session(
        {.url = shared_server().url_unix(), .prepared = {{"length", "SELECT length($1::text)"}}});
    const pg::parameter text(std::string("ab\0cd", 5));
    for (const auto& answer : {session->exec_params("SELECT length($2)", {"x", text}),
                               session->exec_prepared("length", {text})}) {
        CHECK(answer.error().kind == resource_error_kind::invalid);
        CHECK(answer.error().text.find("zero byte") != std::string::npos);
        CHECK(answer.error().text.find("ab") == std::string::npos);
    }
    const pg::parameter::bytes bytes{std::byte{'a'}, std::byte{0}, std::byte{'b'}};
    CHECK(session->exec_params("SELECT length($1)", {bytes}).get<int>(0, 0) == 3);
}

TEST_CASE("Rows affected are those that the statement changed, not those that it read") {
    const auto session = open_session();
    REQUIRE(session->exec("CREATE TEMP TABLE t (id int, v int)"));
    CHECK(session->exec("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3) RETURNING id").affected() ==
          3);
    CHECK(session->exec("UPDATE t SET v = 0 WHERE id > 1").affected() == 2);
    CHECK(session->exec("SELECT * FROM t").affected() == 0);
    CHECK(session->exec("CREATE TEMP TABLE u AS SELECT * FROM t").affected() == 0);
    CHECK(session->exec("BEGIN; DECLARE c CURSOR FOR SELECT * FROM t; FETCH 2 FROM c").affected() ==
          0);
    CHECK(session->exec("COMMIT").affected() == 0);
    CHECK(session->exec("DELETE FROM t").affected() == 3);
}

TEST_CASE("Several statements in one text give the result of the last") {
    const auto session = open_session();
    const auto answer = session->exec("SELECT 1; SELECT 2, 3");
    REQUIRE(answer);
    CHECK(answer.columns() == 2);
    CHECK(answer.get<int>(0, 1) == 3);
    CHECK_FALSE(session->exec("SELECT 1; SELECT nothing; SELECT 3"));
}

TEST_CASE("A probe is one round trip that leaves the session as it was") {
    const auto session = open_session();
    CHECK(run_task(*session, resource_task::probe));
    CHECK(session->on_return() == ropeway::return_state::clean);
    CHECK(session->exec("SELECT 1"));
    CHECK(run_task(*session, resource_task::probe));
}

TEST_CASE("A refused open says why: password, database, role, port") {
    postgres_server& server = shared_server();
    struct refusal {
        pg::postgres_params params;
        resource_error_kind kind;
        std::string code;
    };
    const refusal refusals[]{
        {{.url = server.url_tcp(), .options = {{"password", "wrong-horse"}}},
         resource_error_kind::authentication,
         "28P01"},
        {{.url = server.url_tcp(), .options = {{"dbname", "nowhere"}}},
         resource_error_kind::invalid,
         "3D000"},
        {{.url = server.url_unix(), .options = {{"user", "nobody_here"}}},
         resource_error_kind::authentication,
         "28000"},
        {{.url = "postgresql://rider@127.0.0.1:1/postgres"}, resource_error_kind::unavailable, ""},
        {{.url = server.url_tcp(), .options = {{"sslmode", "require"}}},
         resource_error_kind::invalid,
         ""},
    };
    for (const refusal& each : refusals) {
        pg::connection session(std::make_shared<pg::settings>(each.params));
        CHECK_FALSE(run_task(session, resource_task::open));
        CAPTURE(session.error().text);
        CHECK(session.error().kind == each.kind);
        CHECK(session.error().code_text() == each.code);
        CHECK(session.error().text.find("wrong-horse") == std::string::npos);
        CHECK(session.error().text.find(server.password()) == std::string::npos);
        CHECK(session.error().text.find("LOCATION") == std::string::npos);
    }
}

TEST_CASE("A connection that was dropped opens again") {
    const auto session = open_session();
    session->drop();
    CHECK(session->check() == resource_health::dead);
    CHECK_FALSE(session->exec("SELECT 1"));
    CHECK(run_task(*session, resource_task::open));
    CHECK(session->exec("SELECT 1"));
    CHECK(run_task(*session, resource_task::close));
    CHECK(session->idle_fd() == -1);
}

TEST_CASE("A farewell ends the session at the server") {
    const auto beside = open_session();
    for (int round = 0; round < 20; ++round) {
        const auto session = open_session();
        const std::string pid = std::to_string(session->backend_pid());
        CHECK(run_task(*session, resource_task::close));
        // At once: a session that lingered would be one more than the pool's maximum.
        const auto left = beside->exec("SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid);
        CHECK(left.get<int>(0, 0) == 0);
    }
}

TEST_CASE("Sockets of connections are closed on exec") {
    const auto session = open_session({.url = shared_server().url_tcp()});
    CHECK((::fcntl(session->idle_fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("A forked child neither uses nor ends its parent's session") {
    const auto session = open_session();
    const pid_t child = ::fork();
    if (child == 0) {
        const bool refused = !session->exec("SELECT 1");
        const bool broken = session->on_return() == ropeway::return_state::broken;
        session->drop();
        ::_exit(refused && broken ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(session->check() == resource_health::usable);
    CHECK(session->exec("SELECT 1"));
}

}  // namespace
