// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/transaction.hpp>

#include <stdexcept>

#include "sqlite_test.hpp"

namespace {

using ropeway::resource_error_kind;
using ropeway::sqlite::make_connections;
using ropeway::sqlite::transaction;
using ropeway_test::opened;

int count(ropeway::sqlite::connection& on) {
    return on.exec("SELECT count(*) FROM t").get<int>(0, 0);
}

TEST_CASE("what is committed stays, what is not is rolled back with its scope") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    {
        transaction kept{*on};
        REQUIRE(kept);
        REQUIRE(on->exec("INSERT INTO t VALUES (1)"));
        CHECK(on->in_transaction());
        CHECK_FALSE(kept.commit());
        CHECK_FALSE(kept);
        CHECK(kept.commit().kind == resource_error_kind::invalid);
    }
    {
        transaction left{*on};
        REQUIRE(left.exec_params("INSERT INTO t VALUES (?1)", {2}));
        CHECK(left.exec("SELECT count(*) FROM t").get<int>(0, 0) == 2);
    }
    CHECK_FALSE(on->in_transaction());
    {
        transaction refused{*on};
        REQUIRE(on->exec("INSERT INTO t VALUES (3)"));
        CHECK_FALSE(refused.rollback());
        CHECK_FALSE(refused.rollback());
    }
    CHECK(count(*on) == 1);
}

TEST_CASE("an exception rolls back") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    const auto work = [&] {
        transaction begun{*on};
        REQUIRE(on->exec("INSERT INTO t VALUES (1)"));
        throw std::logic_error("the user's");
    };
    CHECK_THROWS_AS(work(), std::logic_error);
    CHECK(count(*on) == 0);
    CHECK(on->on_return() == ropeway::return_state::clean);
}

TEST_CASE("a transaction within a transaction is refused and leaves the outer one open") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v)"));
    transaction outer{*on};
    {
        transaction inner{*on};
        CHECK_FALSE(inner);
        CHECK(inner.error().kind == resource_error_kind::invalid);
    }
    CHECK(outer);
    REQUIRE(on->exec("INSERT INTO t VALUES (1)"));
    CHECK_FALSE(outer.commit());
    CHECK(count(*on) == 1);
}

TEST_CASE("a transaction that SQLite itself rolled back is not open and commits nothing") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (v UNIQUE); INSERT INTO t VALUES (1)"));
    transaction begun{*on};
    CHECK_FALSE(on->exec("INSERT OR ROLLBACK INTO t VALUES (1)"));
    CHECK_FALSE(begun);
    CHECK(begun.exec("INSERT INTO t VALUES (2)").error().kind == resource_error_kind::invalid);
    CHECK(begun.exec_params("INSERT INTO t VALUES (?1)", {2}).error().kind ==
          resource_error_kind::invalid);
    CHECK(begun.exec_prepared("put").error().kind == resource_error_kind::invalid);
    CHECK(count(*on) == 1);
    CHECK(begun.commit().kind == resource_error_kind::invalid);
}

TEST_CASE("a deferred transaction takes the write lock at its first change") {
    const ropeway_test::temporary_folder folder;
    const auto make = make_connections(
        {.path = folder.file("orders.db"), .busy_timeout = std::chrono::milliseconds{0}});
    const auto one = opened(make);
    const auto two = opened(make);
    REQUIRE(one->exec("CREATE TABLE t (v)"));
    transaction reads{*one, ropeway::sqlite::transaction_kind::deferred};
    transaction writes{*two};
    CHECK(writes);
    transaction blocked{*one};
    CHECK_FALSE(blocked);
    CHECK(two->exec("INSERT INTO t VALUES (1)"));
    CHECK_FALSE(writes.commit());
}

}  // namespace
