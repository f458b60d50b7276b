// SPDX-License-Identifier: Apache-2.0
//
// A transaction that ends with its scope: rolled back unless it was committed, also when an
// exception passes. Owned by the thread that holds the connection's lease; must end before it.
#pragma once

#include <cstdint>

#include <ropeway/pool/sqlite/connection.hpp>
#include <ropeway/pool/sqlite/result.hpp>

namespace ropeway::sqlite {

enum class transaction_kind : std::uint8_t {
    immediate,  ///< takes the write lock at once, so no later statement fails for it (default)
    deferred,   ///< takes it at the first change; for transactions that mostly read
};

class [[nodiscard]] transaction {
  public:
    /// Begins; see error(). `on` must outlive it and be in no transaction.
    explicit transaction(connection& on, transaction_kind kind = transaction_kind::immediate);
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    /// Rolls back unless it has ended: file work that waits for nobody. If it fails, the
    /// connection is dirty and the pool's I/O thread resets it.
    ~transaction();

    /// True while it is open: begun, not ended, and not rolled back by SQLite itself after an
    /// error such as a full disk.
    [[nodiscard]] explicit operator bool() const noexcept;
    /// Why it could not begin; kind none if it did.
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }

    /// `transient`: another connection reads what this one must overwrite; still open, try again.
    /// `commit_unknown`: the disk failed during the commit. `invalid`: it is not open.
    result commit();
    result rollback();

  private:
    connection& on_;
    resource_error error_{};
    bool open_ = false;
};

}  // namespace ropeway::sqlite
