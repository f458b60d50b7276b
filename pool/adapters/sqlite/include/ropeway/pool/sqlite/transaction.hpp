// SPDX-License-Identifier: Apache-2.0
//
// A transaction that ends with its scope: rolled back unless it was committed, also when an
// exception passes. Owned by the thread that holds the connection's lease; must end before it.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include <ropeway/pool/sqlite/connection.hpp>
#include <ropeway/pool/sqlite/result.hpp>

namespace ropeway::sqlite {

enum class transaction_kind : std::uint8_t {
    immediate,  ///< takes the write lock at once, so no later statement fails for it (default)
    deferred,   ///< takes it at the first change; for transactions that mostly read
};

/// Ownership: borrows its connection, which must outlive it. One thread at a time.
/// The destructor rolls back unless it has ended: file work that waits for nobody. Where that fails
/// the connection comes back dirty, and the pool's I/O thread resets it.
class [[nodiscard]] transaction {
  public:
    /// Begins it; see error().
    explicit transaction(connection& on, transaction_kind kind = transaction_kind::immediate);
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    ~transaction();

    /// True while it is open: begun, not ended, and not rolled back by SQLite itself after an
    /// error such as a full disk.
    [[nodiscard]] explicit operator bool() const noexcept;
    /// Why it could not begin; kind none if it did.
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }
    [[nodiscard]] connection& on() noexcept { return *on_; }

    /// As the connection's own. When it is not open: kind invalid, and nothing runs.
    result exec(std::string_view sql, std::chrono::nanoseconds timeout = {});
    result exec_params(std::string_view sql, std::initializer_list<parameter> values,
                       std::chrono::nanoseconds timeout = {});
    result exec_prepared(std::string_view name, std::initializer_list<parameter> values = {},
                         std::chrono::nanoseconds timeout = {});

    /// Kind none: it is committed. `transient`: another connection holds the lock; still open, may
    /// be committed again. `commit_unknown`: the disk failed during the commit. Any other kind: it
    /// is not committed.
    [[nodiscard]] resource_error commit();
    resource_error rollback();

  private:
    connection* on_;
    resource_error error_{};
    bool open_ = false;
};

}  // namespace ropeway::sqlite
