// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/connection.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sqlite_test.hpp"

namespace {

using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::resource_health;
using ropeway::resource_task;
using ropeway::sqlite::make_connections;
using ropeway_test::opened;
using ropeway_test::run_task;
using ropeway_test::temporary_folder;

TEST_CASE("connections of one maker see one database in memory, which outlives them") {
    const auto make = make_connections({});
    {
        const auto one = opened(make);
        const auto two = opened(make);
        REQUIRE(one->exec("CREATE TABLE t (v); INSERT INTO t VALUES (7)"));
        CHECK(two->exec("SELECT v FROM t").get<int>(0, 0) == 7);
    }
    CHECK(opened(make)->exec("SELECT v FROM t").get<int>(0, 0) == 7);
    CHECK_FALSE(opened(make_connections({}))->exec("SELECT v FROM t"));
}

TEST_CASE("a statement with a zero byte in it is refused, and none of it runs") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    for (const std::string_view sql : {std::string_view{"INSERT INTO t VALUES (1)\0", 25},
                                       std::string_view{"INSERT INTO t VALUES (1)\0; SELECT 1", 35},
                                       std::string_view{"\0", 1}}) {
        CHECK(on->exec(sql, 100ms).error().kind == resource_error_kind::invalid);
        CHECK(on->exec_params(sql, {}, 100ms).error().kind == resource_error_kind::invalid);
    }
    CHECK(on->exec("SELECT * FROM t").rows() == 0);
}

TEST_CASE("a file is opened as the params say") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    const auto on = opened(make_connections({.path = path}));
    CHECK(on->exec("PRAGMA journal_mode").get<std::string>(0, 0) == "wal");
    CHECK(on->exec("PRAGMA synchronous").get<int>(0, 0) == 1);
    CHECK(on->exec("PRAGMA foreign_keys").get<int>(0, 0) == 1);
    const auto plain = opened(make_connections({.path = folder.file("plain.db"),
                                                .journal_mode = ropeway::sqlite::journal::rollback,
                                                .sync = ropeway::sqlite::synchronous::full,
                                                .foreign_keys = false}));
    CHECK(plain->exec("PRAGMA journal_mode").get<std::string>(0, 0) == "delete");
    CHECK(plain->exec("PRAGMA synchronous").get<int>(0, 0) == 2);
    CHECK(plain->exec("PRAGMA foreign_keys").get<int>(0, 0) == 0);
}

TEST_CASE("a read-only connection reads, refuses changes, and makes no file") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    const auto absent = make_connections({.path = path, .read_only = true})();
    CHECK_FALSE(run_task(*absent, resource_task::open));
    CHECK(absent->error().kind == resource_error_kind::unavailable);
    CHECK(absent->error().text.starts_with(path + ": SQLite: unable to open"));
    CHECK(absent->error().text.find("check the path") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(path));

    const auto writer = opened(make_connections({.path = path}));
    REQUIRE(writer->exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)"));
    const auto reader = opened(make_connections({.path = path, .read_only = true}));
    CHECK(reader->exec("SELECT v FROM t").get<int>(0, 0) == 1);
    const auto refused = reader->exec("INSERT INTO t VALUES (2)");
    CHECK(refused.error().kind == resource_error_kind::invalid);
    CHECK(refused.error().code_text() == "8");
}

TEST_CASE("a file that is no database fails to open, not later") {
    const temporary_folder folder;
    const std::string path = folder.file("text");
    std::ofstream{path} << std::string(4096, 'x');
    const auto on = make_connections({.path = path})();
    CHECK_FALSE(run_task(*on, resource_task::open));
    CHECK(on->error().kind == resource_error_kind::invalid);
    CHECK(on->error().code_text() == "26");
    CHECK(on->check() == resource_health::dead);
}

TEST_CASE("several statements run in turn, and stop at the first that fails") {
    const auto on = opened(make_connections({}));
    const auto last = on->exec(
        "-- a comment\nCREATE TABLE t (v); INSERT INTO t VALUES (1);\n"
        "SELECT v + 1 FROM t; -- done\n  ");
    REQUIRE(last);
    CHECK(last.get<int>(0, 0) == 2);
    CHECK_FALSE(
        on->exec("INSERT INTO t VALUES (2); INSERT INTO u VALUES (3);"
                 "INSERT INTO t VALUES (4)"));
    CHECK(on->exec("SELECT count(*) FROM t").get<int>(0, 0) == 2);
    CHECK(on->exec(""));
    CHECK(on->exec("  -- nothing"));
}

TEST_CASE("parameters go with one statement, and as many as it has") {
    const auto on = opened(make_connections({}));
    CHECK(on->exec_params("SELECT ?1 || ?2", {"a", "b"}).get<std::string>(0, 0) == "ab");
    CHECK(on->exec_params("SELECT ?1", {1, 2}).error().kind == resource_error_kind::invalid);
    CHECK(on->exec_params("SELECT ?1, ?2", {1}).error().kind == resource_error_kind::invalid);
    CHECK_FALSE(on->exec_params("SELECT ?1; SELECT ?1", {1}));
    CHECK_FALSE(on->exec("SELECT ?1"));
    CHECK(on->exec_params("SELECT ?1;  -- one", {1}));
}

TEST_CASE("prepared statements are there from the opening on") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    REQUIRE(opened(make_connections({.path = path}))->exec("CREATE TABLE t (v)"));
    const auto on = opened(make_connections(
        {.path = path,
         .prepared = {{"put", "INSERT INTO t VALUES (?1)"}, {"sum", "SELECT sum(v) FROM t"}}}));
    for (int i = 1; i <= 3; ++i) {
        CHECK(on->exec_prepared("put", {i}).affected() == 1);
    }
    CHECK(on->exec_prepared("sum").get<int>(0, 0) == 6);
    CHECK(on->exec_prepared("absent").error().kind == resource_error_kind::invalid);

    const auto wrong = make_connections({.path = path, .prepared = {{"x", "SELECT FROM"}}})();
    CHECK_FALSE(run_task(*wrong, resource_task::open));
    CHECK(wrong->error().kind == resource_error_kind::invalid);
}

TEST_CASE("a file that was removed or replaced makes its connections dead") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    const auto make = make_connections({.path = path});
    const auto on = opened(make);
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    CHECK(on->check() == resource_health::usable);
    std::filesystem::rename(path, folder.file("moved.db"));
    CHECK(on->check() == resource_health::dead);
    const auto replacement = opened(make);
    CHECK(on->check() == resource_health::dead);
    CHECK(replacement->check() == resource_health::usable);
}

TEST_CASE("a relative path means the same file after a change of directory") {
    const temporary_folder folder;
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(folder.file(""));
    const auto on = opened(make_connections({.path = "here.db"}));
    std::filesystem::current_path(before);
    CHECK(on->check() == resource_health::usable);
}

TEST_CASE("a probe reads the file; after close nothing is usable") {
    const temporary_folder folder;
    const auto on = opened(make_connections({.path = folder.file("orders.db")}));
    CHECK(run_task(*on, resource_task::probe));
    CHECK(run_task(*on, resource_task::close));
    CHECK(on->check() == resource_health::dead);
    CHECK(on->on_return() == ropeway::return_state::broken);
    CHECK(on->exec("SELECT 1").error().kind == resource_error_kind::closed);
    CHECK(on->exec_params("SELECT ?1", {1}).error().kind == resource_error_kind::closed);
    CHECK(on->exec_prepared("one").error().kind == resource_error_kind::closed);
    on->cancel();
    on->drop();
    CHECK(run_task(*on, resource_task::open));
    CHECK(on->exec("SELECT 1"));
}

TEST_CASE("its descriptors are closed in programs that are executed") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    const auto on = opened(make_connections({.path = path}));
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        const auto target = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone && target.string().starts_with(path)) {
            ++found;
            const int fd = std::stoi(entry.path().filename().string());
            CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        }
    }
    CHECK(found >= 2);  // the file and its write-ahead log
}

TEST_CASE("a forked child that drops a connection leaves the parent's as it is") {
    const temporary_folder folder;
    const std::string path = folder.file("orders.db");
    const auto on = opened(make_connections({.path = path}));
    REQUIRE(on->exec("CREATE TABLE t (v); INSERT INTO t VALUES (1)"));
    REQUIRE(std::filesystem::exists(path + "-wal"));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool refused = on->exec("SELECT 1").error().kind == resource_error_kind::closed &&
                             on->check() == resource_health::dead &&
                             on->on_return() == ropeway::return_state::broken;
        on->drop();
        ::_exit(refused ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(std::filesystem::exists(path + "-wal"));  // the last one to close removes it
    CHECK(on->exec("SELECT v FROM t").get<int>(0, 0) == 1);
}

}  // namespace
