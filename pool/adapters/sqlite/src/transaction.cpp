// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/transaction.hpp>

#include <exception>
#include <utility>

namespace ropeway::sqlite {

namespace {

resource_error not_open() {
    return {.kind = resource_error_kind::invalid,
            .text = "the transaction is not open: nothing was done"};
}

}  // namespace

transaction::transaction(connection& on, transaction_kind kind) : on_(&on) {
    const result begun =
        on.exec(kind == transaction_kind::immediate ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED");
    error_ = begun.error();
    open_ = static_cast<bool>(begun);
}

transaction::~transaction() {
    if (*this) {
        try {
            static_cast<void>(on_->exec("ROLLBACK"));
        } catch (const std::exception&) {
            open_ = false;  // no memory: it stays open, so on_return() finds the connection dirty
        }
    }
}

transaction::operator bool() const noexcept { return open_ && on_->in_transaction(); }

result transaction::exec(std::string_view sql, std::chrono::nanoseconds timeout) {
    return *this ? on_->exec(sql, timeout) : result{not_open()};
}

result transaction::exec_params(std::string_view sql, std::initializer_list<parameter> values,
                                std::chrono::nanoseconds timeout) {
    return *this ? on_->exec_params(sql, values, timeout) : result{not_open()};
}

result transaction::exec_prepared(std::string_view name, std::initializer_list<parameter> values,
                                  std::chrono::nanoseconds timeout) {
    return *this ? on_->exec_prepared(name, values, timeout) : result{not_open()};
}

resource_error transaction::commit() {
    if (!*this) {
        return not_open();
    }
    const result done = on_->exec("COMMIT");
    if (done) {
        open_ = false;
        return {};
    }
    resource_error why = done.error();
    // The commit may or may not have reached the disk before it failed.
    if (why.kind == resource_error_kind::unavailable && !on_->in_transaction()) {
        why.kind = resource_error_kind::commit_unknown;
    }
    return why;
}

resource_error transaction::rollback() {
    if (!*this) {
        return {};
    }
    open_ = false;
    return on_->exec("ROLLBACK").error();
}

}  // namespace ropeway::sqlite
