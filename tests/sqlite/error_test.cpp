// SPDX-License-Identifier: Apache-2.0
//
// The taxonomy: what SQLite says, as kinds that a program decides by.
#include <csignal>
#include <string>

#include <sys/resource.h>

#include <ropeway/pool/sqlite/transaction.hpp>

#include "sqlite_test.hpp"

namespace {

using ropeway::resource_error_kind;
using ropeway::sqlite::make_connections;
using ropeway_test::opened;
using ropeway_test::temporary_folder;

TEST_CASE("a violated constraint and wrong SQL are invalid") {
    const auto on = opened(make_connections({}));
    REQUIRE(
        on->exec("CREATE TABLE p (id INTEGER PRIMARY KEY, v NOT NULL UNIQUE CHECK (v > 0));"
                 "CREATE TABLE c (p REFERENCES p); INSERT INTO p VALUES (1, 1)"));
    struct {
        const char* sql;
        const char* code;
    } const cases[] = {
        {"INSERT INTO p VALUES (1, 2)", "1555"},
        {"INSERT INTO p VALUES (2, 1)", "2067"},
        {"INSERT INTO p VALUES (2, NULL)", "1299"},
        {"INSERT INTO p VALUES (2, 0)", "275"},
        {"INSERT INTO c VALUES (9)", "787"},
        {"INSERT INTO p VALUES ('x', 2)", "20"},
        {"SELEC 1", "1"},
        {"SELECT * FROM absent", "1"},
    };
    for (const auto& one : cases) {
        INFO(one.sql);
        const auto failed = on->exec(one.sql);
        CHECK(failed.error().kind == resource_error_kind::invalid);
        CHECK(failed.error().code_text() == one.code);
        CHECK_FALSE(failed.error().text.empty());
        CHECK(on->error().text == failed.error().text);
    }
    CHECK(on->on_return() == ropeway::return_state::clean);
}

TEST_CASE("a lock that another connection holds is transient") {
    const temporary_folder folder;
    const auto make = make_connections(
        {.path = folder.file("orders.db"), .busy_timeout = std::chrono::milliseconds{0}});
    const auto one = opened(make);
    const auto two = opened(make);
    REQUIRE(one->exec("CREATE TABLE t (v); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)"));
    const auto failed = two->exec("INSERT INTO t VALUES (2)");
    CHECK(failed.error().kind == resource_error_kind::transient);
    CHECK(failed.error().code_text() == "5");
    CHECK(ropeway::is_retryable(failed.error().kind));
    CHECK(two->exec("SELECT count(*) FROM t").get<int>(0, 0) == 0);
    REQUIRE(one->exec("COMMIT"));
    CHECK(two->exec("INSERT INTO t VALUES (2)"));
}

TEST_CASE("a snapshot that is too old to write on is transient") {
    const temporary_folder folder;
    const auto make = make_connections({.path = folder.file("orders.db")});
    const auto one = opened(make);
    const auto two = opened(make);
    REQUIRE(one->exec("CREATE TABLE t (v); BEGIN; SELECT * FROM t"));
    REQUIRE(two->exec("INSERT INTO t VALUES (2)"));
    const auto failed = one->exec("INSERT INTO t VALUES (1)");
    CHECK(failed.error().kind == resource_error_kind::transient);
    CHECK(failed.error().code_text() == "517");
}

TEST_CASE("a full database is unavailable and says so; the connection stays usable") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v); PRAGMA max_page_count = 4"));
    const auto failed = on->exec("INSERT INTO t VALUES (randomblob(100000))");
    CHECK(failed.error().kind == resource_error_kind::unavailable);
    CHECK(failed.error().code_text() == "13");
    CHECK(failed.error().text.find("free space on the disk") != std::string::npos);
    CHECK(on->exec("SELECT count(*) FROM t").get<int>(0, 0) == 0);
}

/// Writes past this offset of a file fail while it lives, as on a broken disk.
class limited_files {
  public:
    explicit limited_files(rlim_t bytes) : signal_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~limited_files() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, signal_);
    }
    limited_files(const limited_files&) = delete;
    limited_files& operator=(const limited_files&) = delete;

  private:
    rlimit before_{};
    void (*signal_)(int);
};

TEST_CASE("a disk that fails during COMMIT leaves the commit unknown and the connection broken") {
    const temporary_folder folder;
    const auto on = opened(make_connections({.path = folder.file("orders.db")}));
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    ropeway::sqlite::transaction begun{*on};
    REQUIRE(begun);
    REQUIRE(on->exec("INSERT INTO t VALUES (randomblob(200000))"));
    ropeway::resource_error committed;
    {
        const limited_files limit{32 * 1024};
        committed = begun.commit();
    }
    CHECK(committed.kind == resource_error_kind::commit_unknown);
    CHECK_FALSE(ropeway::is_retryable(committed.kind));
    CHECK(on->on_return() == ropeway::return_state::broken);
    CHECK(on->check() == ropeway::resource_health::dead);
}

}  // namespace
