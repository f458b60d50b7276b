// SPDX-License-Identifier: Apache-2.0
//
// Committed, rolled back, or not known: and what may be tried again.
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "fault_proxy.hpp"
#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error;
using ropeway::resource_error_kind;

void make_table() {
    shared_server().exec(
        "DROP TABLE IF EXISTS orders; CREATE TABLE orders (id int PRIMARY KEY);"
        "DROP TABLE IF EXISTS ropeway_idempotency;" +
        pg::idempotency_table() + "; GRANT ALL ON orders, ropeway_idempotency TO rider");
}

[[nodiscard]] std::string count() { return shared_server().value("SELECT count(*) FROM orders"); }

/// As much of a pool as run_transaction() needs: one connection, opened again when it broke.
class single_pool {
  public:
    struct refused {
        resource_error_kind kind = resource_error_kind::unavailable;
        [[nodiscard]] std::string text() const { return "refused"; }
    };
    class held {
      public:
        explicit held(pg::connection* on) : on_(on) {}
        held(held&& other) noexcept : on_(std::exchange(other.on_, nullptr)) {}
        held& operator=(held&&) = delete;
        ~held() {
            if (on_ != nullptr) {
                give_back(*on_);
            }
        }
        explicit operator bool() const { return on_ != nullptr; }
        pg::connection& operator*() const { return *on_; }
        [[nodiscard]] refused error() const { return {}; }

      private:
        pg::connection* on_;
    };

    explicit single_pool(pg::postgres_params params)
        : on_(std::make_shared<pg::settings>(std::move(params))) {}
    held acquire(std::chrono::nanoseconds /*timeout*/) {
        ++leases;
        if (before_lease) {
            before_lease(leases);
        }
        const bool usable = on_.check() != ropeway::resource_health::dead ||
                            run_task(on_, ropeway::resource_task::open);
        return held(usable ? &on_ : nullptr);
    }
    int leases = 0;
    std::function<void(int)> before_lease{};

  private:
    pg::connection on_;
};

TEST_CASE("A committed transaction is there, an abandoned one is not") {
    make_table();
    const auto session = open_session();
    {
        pg::transaction work(*session);
        REQUIRE(work);
        CHECK(work.exec("INSERT INTO orders VALUES (1)"));
        CHECK_FALSE(work.commit());
        CHECK_FALSE(work);
        CHECK(work.commit().kind == resource_error_kind::invalid);
    }
    {
        pg::transaction work(*session);
        CHECK(work.exec_params("INSERT INTO orders VALUES ($1)", {2}));
    }
    CHECK(count() == "1");
    // The next command of the same holder does the rollback that is due first.
    CHECK(session->exec("SELECT count(*) FROM orders").get<int>(0, 0) == 1);
    CHECK_FALSE(session->in_transaction());
    CHECK(session->on_return() == ropeway::return_state::clean);
}

TEST_CASE("A COMMIT whose deadline has passed is not sent, and the transaction is rolled back") {
    make_table();
    const auto session = open_session();
    {
        pg::transaction work(*session, {.timeout = std::chrono::nanoseconds::max()});
        REQUIRE(work);
        CHECK(work.exec("INSERT INTO orders VALUES (1)"));
        CHECK(work.commit(-1ns).kind == resource_error_kind::timeout);
        CHECK(work);
    }
    CHECK(session->exec("SELECT count(*) FROM orders").get<int>(0, 0) == 0);
    CHECK_FALSE(session->in_transaction());
    pg::transaction late(*session, {.timeout = -1ns});
    CHECK(late.error().kind == resource_error_kind::timeout);
    CHECK_FALSE(session->in_transaction());
    CHECK_FALSE(session->is_doomed());
}

TEST_CASE("All tries of a transaction together may have for ever") {
    make_table();
    single_pool pool({.url = shared_server().url_unix()});
    const auto outcome = pg::run_transaction(
        pool, {.timeout = std::chrono::milliseconds::max()},
        [](pg::transaction& work) { return work.exec("INSERT INTO orders VALUES (1)").error(); });
    CHECK(outcome);
    CHECK(count() == "1");
}

TEST_CASE("A transaction is rolled back when an exception passes, by the reset of its connection") {
    make_table();
    const auto session = open_session();
    try {
        pg::transaction work(*session);
        CHECK(work.exec("INSERT INTO orders VALUES (1)"));
        throw std::runtime_error("changed my mind");
    } catch (const std::runtime_error&) {
        CHECK(session->on_return() == ropeway::return_state::dirty);
        CHECK(run_task(*session, ropeway::resource_task::reset));
    }
    CHECK(count() == "0");
    CHECK(session->exec("SELECT 1"));
}

TEST_CASE("A commit after a failed statement is a rollback that gives the statement's error") {
    make_table();
    const auto session = open_session();
    pg::transaction work(*session);
    CHECK(work.exec("INSERT INTO orders VALUES (1)"));
    CHECK_FALSE(work.exec("INSERT INTO orders VALUES (1)"));
    const resource_error why = work.commit();
    CHECK(why.kind == resource_error_kind::invalid);
    CHECK(why.code_text() == "23505");
    CHECK(count() == "0");
}

TEST_CASE("A transaction within a transaction is refused") {
    const auto session = open_session();
    pg::transaction outer(*session);
    pg::transaction inner(*session);
    CHECK_FALSE(inner);
    CHECK(inner.error().kind == resource_error_kind::invalid);
    CHECK(outer.exec("SELECT 1"));
    CHECK_FALSE(outer.rollback());
}

TEST_CASE("Isolation and read-only are as asked") {
    const auto session = open_session();
    pg::transaction work(*session,
                         {.isolation = pg::isolation_level::serializable, .read_only = true});
    CHECK(work.exec("SHOW transaction_isolation").text(0, 0) == "serializable");
    CHECK(work.exec("SHOW transaction_read_only").text(0, 0) == "on");
}

TEST_CASE("A connection cut in COMMIT leaves it unknown; one that ended before does not") {
    make_table();
    fault_proxy proxy(shared_server().port());
    for (const cut_kind how : {cut_kind::rst, cut_kind::fin}) {
        const auto session = open_session({.url = shared_server().url_tcp(proxy.port())});
        pg::transaction work(*session);
        REQUIRE(work.exec("SELECT 1"));
        // The server's answer to COMMIT is cut: the server has committed.
        proxy.set(flow_direction::to_client, {.cut_after = 0, .cut = how});
        CHECK(work.commit().kind == resource_error_kind::commit_unknown);
        CHECK(session->on_return() == ropeway::return_state::broken);
        proxy.heal();
    }
    const auto session = open_session();
    pg::transaction work(*session);
    REQUIRE(work.exec("INSERT INTO orders VALUES (1)"));
    REQUIRE(shared_server().terminate(session->backend_pid()));
    REQUIRE(shared_server().wait_backends(0));
    const resource_error why = work.commit();
    CHECK(why.kind == resource_error_kind::broken);
    CHECK(why.code_text() == "57P01");
    CHECK(count() == "0");
}

TEST_CASE("A statement that commits by itself is unknown when its answer is cut, a query is not") {
    make_table();
    fault_proxy proxy(shared_server().port());
    for (const auto& [sql, kind] :
         {std::pair{"INSERT INTO orders VALUES (1)", resource_error_kind::commit_unknown},
          std::pair{"SELECT 1; TRUNCATE orders", resource_error_kind::commit_unknown},
          std::pair{"BEGIN", resource_error_kind::broken},
          std::pair{"SELECT 1", resource_error_kind::broken}}) {
        CAPTURE(sql);
        const auto session = open_session({.url = shared_server().url_tcp(proxy.port())});
        proxy.set(flow_direction::to_client, {.cut_after = 0});
        CHECK(session->exec(sql).error().kind == kind);
        proxy.heal();
    }
}

TEST_CASE("A transaction that ends by a statement's text is unknown when its answer is cut") {
    fault_proxy proxy(shared_server().port());
    for (const auto& [sql, kind] :
         {std::pair{"COMMIT", resource_error_kind::commit_unknown},
          std::pair{"INSERT INTO orders VALUES (2); end", resource_error_kind::commit_unknown},
          std::pair{"ROLLBACK; INSERT INTO orders VALUES (2)", resource_error_kind::commit_unknown},
          std::pair{"INSERT INTO orders VALUES (2)", resource_error_kind::broken},
          std::pair{"ROLLBACK", resource_error_kind::broken}}) {
        CAPTURE(sql);
        make_table();
        const auto session = open_session({.url = shared_server().url_tcp(proxy.port())});
        REQUIRE(session->exec("BEGIN"));
        REQUIRE(session->exec("INSERT INTO orders VALUES (1)"));
        proxy.set(flow_direction::to_client, {.cut_after = 0});
        CHECK(session->exec(sql).error().kind == kind);
        proxy.heal();
        CHECK(shared_server().wait_backends(0));
        CHECK(count() == (std::string_view(sql) == "INSERT INTO orders VALUES (2); end" ? "2"
                          : kind == resource_error_kind::commit_unknown                 ? "1"
                                                                                        : "0"));
    }
    // A transaction passes it on, however it was sent.
    make_table();
    const auto session = open_session({.url = shared_server().url_tcp(proxy.port())});
    REQUIRE(session->prepare("done", "COMMIT"));
    pg::transaction work(*session);
    REQUIRE(work.exec("INSERT INTO orders VALUES (1)"));
    proxy.set(flow_direction::to_client, {.cut_after = 0});
    CHECK(work.exec_prepared("done", {}).error().kind == resource_error_kind::commit_unknown);
    CHECK(work.commit().kind == resource_error_kind::commit_unknown);
    CHECK(shared_server().wait_backends(0));
    CHECK(count() == "1");
}

TEST_CASE("A session that is terminated behind a COMMIT of the same text leaves it unknown") {
    const std::string last = "SELECT pg_terminate_backend(pg_backend_pid())";
    for (const auto& [sql, kind, kept] :
         {std::tuple{"INSERT INTO orders VALUES (1); COMMIT; " + last,
                     resource_error_kind::commit_unknown, "1"},
          std::tuple{last + "; COMMIT", resource_error_kind::broken, "0"}}) {
        CAPTURE(sql);
        make_table();
        const auto session = open_session();
        REQUIRE(session->exec("BEGIN"));
        const auto error = session->exec(sql).error();
        CHECK(error.code_text() == "57P01");
        CHECK(error.kind == kind);
        CHECK(shared_server().wait_backends(0));
        CHECK(count() == kept);
    }
}

TEST_CASE("With a key an unknown commit is tried again, and the work is done once") {
    make_table();
    fault_proxy proxy(shared_server().port());
    // The first COMMIT reaches the server (answer cut), or does not (request cut).
    for (const flow_direction cut : {flow_direction::to_client, flow_direction::to_server}) {
        make_table();
        single_pool pool({.url = shared_server().url_tcp(proxy.port())});
        pool.before_lease = [&](int) { proxy.heal(); };
        bool first = true;
        const auto outcome = pg::run_transaction(pool, {.key = "order 1"}, [&](auto& work) {
            auto done = work.exec("INSERT INTO orders VALUES (1)").error();
            if (std::exchange(first, false)) {
                proxy.set(cut, {.cut_after = 0});
            }
            return done;
        });
        CHECK(outcome);
        CHECK(outcome.attempts == 2);
        CHECK(outcome.was_done_before == (cut == flow_direction::to_client));
        CHECK(count() == "1");
        const auto again = pg::run_transaction(pool, {.key = "order 1"}, [&](auto& work) {
            return work.exec("INSERT INTO orders VALUES (2)").error();
        });
        CHECK(again);
        CHECK(again.was_done_before);
        CHECK(count() == "1");
    }
}

TEST_CASE("Without a key an unknown commit is never tried again") {
    make_table();
    fault_proxy proxy(shared_server().port());
    single_pool pool({.url = shared_server().url_tcp(proxy.port())});
    pool.before_lease = [&](int) { proxy.heal(); };
    const auto outcome = pg::run_transaction(pool, {}, [&](auto& work) {
        auto done = work.exec("INSERT INTO orders VALUES (1)").error();
        proxy.set(flow_direction::to_client, {.cut_after = 0});
        return done;
    });
    CHECK(outcome.error.kind == resource_error_kind::commit_unknown);
    CHECK(outcome.attempts == 1);
}

TEST_CASE("Without a key a connection that is cut in BEGIN is tried again") {
    make_table();
    fault_proxy proxy(shared_server().port());
    single_pool pool({.url = shared_server().url_tcp(proxy.port())});
    const auto put = [](int id) {
        return [id](auto& work) {
            return work.exec_params("INSERT INTO orders VALUES ($1)", {id}).error();
        };
    };
    REQUIRE(pg::run_transaction(pool, {}, put(1)));
    pool.before_lease = [&](int lease) {
        proxy.heal();
        if (lease == 2) {  // nothing shows it before the next byte
            proxy.set(flow_direction::to_server, {.cut_after = 0});
        }
    };
    const auto outcome = pg::run_transaction(pool, {}, put(2));
    CHECK(outcome);
    CHECK(outcome.attempts == 2);
    CHECK(count() == "2");
}

TEST_CASE("An unknown commit stays the answer until a later try has decided its key") {
    fault_proxy proxy(shared_server().port());
    for (const bool key_is_told : {false, true}) {
        CAPTURE(key_is_told);
        make_table();
        single_pool pool({.url = shared_server().url_tcp(proxy.port())});
        pool.before_lease = [&](int lease) {
            proxy.heal();
            if (lease == 2 && !key_is_told) {
                shared_server().exec("ALTER TABLE ropeway_idempotency RENAME TO elsewhere");
            }
        };
        int calls = 0;
        const auto outcome = pg::run_transaction(pool, {.key = "order 1"}, [&](auto& work) {
            // The first COMMIT does not reach the server, the second try fails for good.
            auto done = work.exec(++calls == 1 ? "SELECT 1" : "SELEKT").error();
            proxy.set(flow_direction::to_server, {.cut_after = 0});
            return done;
        });
        CHECK(outcome.attempts == 2);
        CHECK(calls == (key_is_told ? 2 : 1));
        CHECK(outcome.error.kind ==
              (key_is_told ? resource_error_kind::invalid : resource_error_kind::commit_unknown));
        shared_server().exec("DROP TABLE IF EXISTS elsewhere");
    }
}

TEST_CASE("A serialization failure is tried again, a wrong statement is not") {
    make_table();
    single_pool pool({.url = shared_server().url_unix()});
    int calls = 0;
    const auto outcome = pg::run_transaction(
        pool, {.isolation = pg::isolation_level::serializable}, [&](auto& work) {
            ++calls;
            return work
                .exec(calls < 3 ? "DO $$ BEGIN RAISE serialization_failure; END $$"
                                : "INSERT INTO orders VALUES (1)")
                .error();
        });
    CHECK(outcome);
    CHECK(outcome.attempts == 3);
    CHECK(count() == "1");
    const auto wrong =
        pg::run_transaction(pool, {}, [](auto& work) { return work.exec("SELEKT").error(); });
    CHECK(wrong.error.kind == resource_error_kind::invalid);
    CHECK(wrong.attempts == 1);
}

TEST_CASE("A number of tries outside its range is refused, and nothing is done") {
    single_pool pool({.url = shared_server().url_unix()});
    int runs = 0;
    for (const std::uint32_t tries : {0U, 101U}) {
        const auto outcome = pg::run_transaction(pool, {.max_attempts = tries}, [&](auto& work) {
            ++runs;
            return work.exec("SELECT 1").error();
        });
        CHECK(outcome.error.kind == resource_error_kind::invalid);
        CHECK(outcome.error.text.starts_with("max_attempts (" + std::to_string(tries) + ")"));
        CHECK(outcome.attempts == 0);
    }
    CHECK(runs == 0);
    CHECK(pool.leases == 0);
}

}  // namespace
