// SPDX-License-Identifier: Apache-2.0
//
// Statements and session SQL at connect: one round trip, errors by name, there again after a reset.
#include <string>
#include <vector>

#include "session.hpp"

namespace {

using namespace ropeway_test;
using ropeway::resource_error_kind;

TEST_CASE("What is prepared at connect is there for the first command") {
    const auto session =
        open_session({.url = shared_server().url_unix(),
                      .session_sql = {"SET application_name = 'first'", "SET work_mem = '5MB'"},
                      .prepared = {{"add", "SELECT $1::int + $2::int"},
                                   {"name", "SELECT current_setting($1)"}}});
    const auto sum = session->exec_prepared("add", {2, 3});
    REQUIRE(sum);
    CHECK(sum.get<int>(0, 0) == 5);
    CHECK(session->exec_prepared("name", {"application_name"}).text(0, 0) == "first");
    CHECK(session->exec_prepared("name", {"work_mem"}).text(0, 0) == "5MB");
    CHECK(session->on_return() == ropeway::return_state::clean);
}

TEST_CASE("A statement that cannot be prepared fails the open and is named") {
    pg::connection session(std::make_shared<pg::settings>(
        pg::postgres_params{.url = shared_server().url_unix(),
                            .session_sql = {"SET work_mem = '5MB'"},
                            .prepared = {{"good", "SELECT 1"}, {"bad", "SELECT nothing"}}}));
    CHECK_FALSE(run_task(session, ropeway::resource_task::open));
    CHECK(session.error().kind == resource_error_kind::invalid);
    CHECK(session.error().code_text() == "42703");
    CHECK(session.error().text.find("prepared 'bad'") != std::string::npos);
}

TEST_CASE("Session SQL that fails fails the open, and its password is not told") {
    pg::connection session(std::make_shared<pg::settings>(
        pg::postgres_params{.url = shared_server().url_unix(),
                            .session_sql = {"ALTER ROLE nobody_here PASSWORD 'hush-hush'"}}));
    CHECK_FALSE(run_task(session, ropeway::resource_task::open));
    CHECK(session.error().text.find("session_sql") != std::string::npos);
    CHECK(session.error().text.find("hush") == std::string::npos);
}

TEST_CASE("A statement of a holder's own lasts as long as its lease") {
    const auto session = open_session();
    REQUIRE(session->prepare("own", "SELECT $1::int * 2"));
    CHECK(session->exec_prepared("own", {21}).get<int>(0, 0) == 42);
    CHECK(give_back(*session));
    CHECK(session->exec_prepared("own", {21}).error().code_text() == "26000");
}

}  // namespace
