// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/transaction.hpp>

#include <utility>

namespace ropeway::sqlite {

transaction::transaction(connection& on, transaction_kind kind) : on_(on) {
    const result begun =
        on_.exec(kind == transaction_kind::immediate ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED");
    error_ = begun.error();
    open_ = static_cast<bool>(begun);
}

transaction::~transaction() {
    if (*this) {
        try {
            static_cast<void>(on_.exec("ROLLBACK"));
        } catch (...) {  // no memory: it stays open, so on_return() finds the connection dirty
            open_ = false;
        }
    }
}

transaction::operator bool() const noexcept { return open_ && on_.in_transaction(); }

result transaction::commit() {
    if (!*this) {
        return {resource_error{.kind = resource_error_kind::invalid,
                               .text = "the transaction is not open: nothing was committed"}};
    }
    result done = on_.exec("COMMIT");
    if (done) {
        open_ = false;
        return done;
    }
    resource_error why = done.error();
    // The commit may or may not have reached the disk before it failed.
    if (why.kind == resource_error_kind::unavailable && !on_.in_transaction()) {
        why.kind = resource_error_kind::commit_unknown;
    }
    return {std::move(why)};
}

result transaction::rollback() {
    if (!*this) {
        return {};
    }
    open_ = false;
    return on_.exec("ROLLBACK");
}

}  // namespace ropeway::sqlite
