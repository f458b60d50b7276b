// SPDX-License-Identifier: Apache-2.0
//
// A connection to a SQLite database as a pooled resource:
//
//     ropeway::resource_pool<ropeway::sqlite::connection> pool{
//         ropeway::sqlite::make_connections({.path = "orders.db"}), {.name = "orders"}};
//
// Its tasks (open, probe, reset, close) are short file work and run to their end in one step on the
// pool's I/O thread: they wait for no lock (a task that finds one held says when to be resumed),
// but a slow disk holds that thread for as long as it holds SQLite.
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/sqlite/parameter.hpp>
#include <ropeway/pool/sqlite/result.hpp>
#include <ropeway/pool/sqlite/settings.hpp>

struct sqlite3;  // SQLite's own handle; see native_handle()

namespace ropeway::sqlite {

class session;
class database;

/// Ownership: the pool's slot owns it; a lease borrows it. Thread safety: one thread at a time,
/// except cancel(). Allocation: SQLite's own, and the rows of results.
///
/// Statements run on the caller's thread and end at their deadline (kind timeout), whatever they
/// do: wait for a lock, or compute. What the statement had changed is then rolled back, and the
/// connection stays usable.
/// A statement that fails returns its error; nothing here throws except std::bad_alloc. SQL with a
/// zero byte in it is refused (kind invalid).
/// Each statement that ran, well or not, counts as one towards max_uses.
///
/// What a holder leaves behind never reaches the next one: an open transaction is rolled back, and
/// after TEMP tables, ATTACH, a PRAGMA that sets something or native_handle() the connection is
/// opened anew.
class connection final : public pooled_resource {
  public:
    explicit connection(std::shared_ptr<const database> of);
    ~connection() override;

    /// Runs each statement in `sql`; the result is the last one's. Stops at the first that fails.
    /// `timeout` 0: command_timeout of the params; nanoseconds::max(): none; negative: it has
    /// passed (kind timeout, nothing runs).
    result exec(std::string_view sql, std::chrono::nanoseconds timeout = {});
    /// Runs one statement with its parameters ?1, ?2... in order.
    result exec_params(std::string_view sql, std::span<const parameter> values,
                       std::chrono::nanoseconds timeout = {});
    result exec_params(std::string_view sql, std::initializer_list<parameter> values,
                       std::chrono::nanoseconds timeout = {}) {
        return exec_params(sql, std::span{values.begin(), values.size()}, timeout);
    }
    /// Runs a statement of sqlite_params::prepared.
    result exec_prepared(std::string_view name, std::span<const parameter> values,
                         std::chrono::nanoseconds timeout = {});
    result exec_prepared(std::string_view name, std::initializer_list<parameter> values = {},
                         std::chrono::nanoseconds timeout = {}) {
        return exec_prepared(name, std::span{values.begin(), values.size()}, timeout);
    }

    [[nodiscard]] bool in_transaction() const noexcept;
    /// Ends the statement in progress with `canceled`. From any thread, while the lease is held.
    void cancel() noexcept;
    /// SQLite's handle, for what is missing here. Null if it is not open. Finalize every statement
    /// made with it before the lease ends.
    [[nodiscard]] sqlite3* native_handle() noexcept;

    resource_step begin(resource_task task) noexcept override;
    resource_step resume() noexcept override;
    /// One stat() of the file: dead if it was removed or replaced. Memory: always usable.
    resource_health check() noexcept override;
    [[nodiscard]] int idle_fd() const noexcept override { return -1; }
    return_state on_return() noexcept override;
    /// In a forked child, where every statement is refused, the handle is forgotten, not closed:
    /// closing it there would end locks and remove files of the parent.
    void drop() noexcept override;
    [[nodiscard]] const resource_error& error() const noexcept override;

  private:
    int run_task();

    std::unique_ptr<session> session_;
    resource_task task_ = resource_task::open;
};

/// What a resource_pool makes connections with. For ":memory:" it holds the database.
/// @throws std::invalid_argument, see checked()
[[nodiscard]] std::function<std::unique_ptr<connection>()> make_connections(sqlite_params params);

}  // namespace ropeway::sqlite
