// SPDX-License-Identifier: Apache-2.0
//
// The server that other tests rely on: it starts, stops in each way, and leaves nothing behind.
#include "postgres_test.hpp"

#include "child_process.hpp"

#include <csignal>
#include <filesystem>

#include <libpq-fe.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using ropeway_test::postgres_server;
using ropeway_test::shared_server;
using ropeway_test::stop_mode;

using session = std::unique_ptr<PGconn, decltype(&PQfinish)>;

session open(const std::string& url) { return {PQconnectdb(url.c_str()), PQfinish}; }

bool answers(const session& to) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> got{PQexec(to.get(), "SELECT 1"), PQclear};
    return PQresultStatus(got.get()) == PGRES_TUPLES_OK;
}

}  // namespace

TEST_CASE("the server lets a rider in through its socket and, with the password, by TCP") {
    postgres_server& server = shared_server();
    CHECK(answers(open(server.url_unix())));
    CHECK(answers(open(server.url_tcp())));
    std::string wrong = server.url_tcp();
    wrong.replace(wrong.find(server.password()), server.password().size(), "wrong");
    CHECK_FALSE(answers(open(wrong)));
    CHECK(server.value("show server_version_num") >= "150000");
}

TEST_CASE("the server counts its sessions, with and without a session of its own for it") {
    postgres_server& server = shared_server();
    REQUIRE(server.wait_backends(0));
    const session one = open(server.url_unix());
    const session two = open(server.url_tcp());
    CHECK(server.wait_backends(2));
    CHECK(server.count_sessions() == 2);
    CHECK(server.backends().size() == 2);
    CHECK(server.terminate(PQbackendPID(one.get())));
    CHECK(server.wait_backends(1));
    CHECK_FALSE(answers(one));
    CHECK(answers(two));
}

TEST_CASE("the server stops and starts in every way on the same port") {
    postgres_server& server = shared_server();
    const std::string url = server.url_tcp();
    for (const stop_mode mode : {stop_mode::smart, stop_mode::fast, stop_mode::immediate}) {
        server.stop(mode);
        CHECK_FALSE(server.running());
        CHECK_FALSE(answers(open(url)));
        server.start();
        CHECK(answers(open(url)));
    }
    const session held = open(url);
    server.kill9();
    CHECK_FALSE(answers(held));
    server.start();
    CHECK(answers(open(url)));
}

TEST_CASE("a paused postmaster lets sessions go on and answers no new one") {
    postgres_server& server = shared_server();
    REQUIRE(server.wait_backends(0));  // those of the test case before may still be leaving
    const session before = open(server.url_tcp());
    server.pause();
    CHECK(answers(before));
    CHECK(server.backends().size() == 1);
    const session late = open(server.url_tcp() + "?connect_timeout=2");
    CHECK(PQstatus(late.get()) == CONNECTION_BAD);
    server.resume();
    CHECK(answers(open(server.url_tcp())));
}

TEST_CASE("settings and the password change while the server runs") {
    postgres_server server{{.max_connections = 7}};
    CHECK(server.value("show max_connections") == "7");
    server.set("idle_session_timeout", "1234ms");
    server.reload();
    CHECK(server.value("show idle_session_timeout") == "1234ms");
    const std::string old = server.url_tcp();
    server.change_password("new-one");
    CHECK_FALSE(answers(open(old)));
    CHECK(answers(open(server.url_tcp())));
}

TEST_CASE("a standby follows its primary and becomes one itself") {
    postgres_server& primary = shared_server();
    primary.exec("create table if not exists carried(n int)");
    primary.exec("insert into carried values (7)");
    postgres_server standby{postgres_server::follows{primary}};
    REQUIRE(ropeway_test::wait_until([&] {
        return standby.value("select count(*) from pg_tables where tablename='carried'") == "1";
    }));
    CHECK(standby.value("select pg_is_in_recovery()") == "t");
    standby.promote();
    CHECK(standby.value("select pg_is_in_recovery()") == "f");
    standby.exec("insert into carried values (8)");
    CHECK(standby.value("select max(n) from carried") == "8");
    primary.exec("drop table carried");
}

TEST_CASE("a server ends with the test that was killed, and its folder with it") {
    ropeway_test::require_postgres();
    int ends[2]{};
    REQUIRE(::pipe(ends) == 0);
    // A child that starts a server and is killed before it can end it.
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            postgres_server server;
            const std::string told = std::to_string(server.pid()) + ' ' + server.folder();
            (void)!::write(ends[1], told.data(), told.size());
            ::pause();
        } catch (...) {
            // The parent reads the end of the pipe.
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    char text[200]{};
    const auto got = ::read(ends[0], text, sizeof text - 1);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    ::close(ends[0]);
    REQUIRE(got > 0);
    const std::string told{text};
    const pid_t postmaster = std::stoi(told);
    const std::string folder = told.substr(told.find(' ') + 1);
    CHECK(ropeway_test::wait_ended(postmaster));
    CHECK(ropeway_test::wait_until([&] { return !std::filesystem::exists(folder); }));
}
