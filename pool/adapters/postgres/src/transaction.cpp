// SPDX-License-Identifier: Apache-2.0
//
// BEGIN, COMMIT, ROLLBACK, and what an end of the connection means to each.
#include <ropeway/pool/postgres/transaction.hpp>

#include <algorithm>
#include <utility>

#include "connection_parts.hpp"

namespace ropeway::postgres {

namespace {

[[nodiscard]] std::string begin_statement(const transaction_options& options) {
    std::string sql = "BEGIN";
    switch (options.isolation) {
        case isolation_level::server_default: break;
        case isolation_level::read_committed: sql += " ISOLATION LEVEL READ COMMITTED"; break;
        case isolation_level::repeatable_read: sql += " ISOLATION LEVEL REPEATABLE READ"; break;
        case isolation_level::serializable: sql += " ISOLATION LEVEL SERIALIZABLE"; break;
    }
    return sql + (options.read_only ? " READ ONLY" : "");
}

[[nodiscard]] resource_error not_open() {
    return {resource_error_kind::invalid, {}, "the transaction is over, or did not begin"};
}

}  // namespace

transaction::transaction(connection& on, const transaction_options& options)
    : connection_(&on), timeout_(options.timeout) {
    if (on.in_transaction() && !on.parts_->rollback_due) {
        error_ = {resource_error_kind::invalid,
                  {},
                  "a transaction is open on this connection already. Suggestion: SAVEPOINT"};
        return;
    }
    error_ = on.exec(begin_statement(options), timeout_).error();
    open_ = !error_;
}

transaction::~transaction() {
    if (open_) {
        connection_->parts_->rollback_due = true;
    }
}

result transaction::exec(std::string_view sql, std::chrono::nanoseconds timeout) {
    return open_ ? keep(connection_->exec(sql, timeout)) : result(not_open());
}

result transaction::exec_params(std::string_view sql, std::span<const parameter> values,
                                std::chrono::nanoseconds timeout) {
    return open_ ? keep(connection_->exec_params(sql, values, timeout)) : result(not_open());
}

result transaction::exec_prepared(std::string_view name, std::span<const parameter> values,
                                  std::chrono::nanoseconds timeout) {
    return open_ ? keep(connection_->exec_prepared(name, values, timeout)) : result(not_open());
}

result transaction::keep(result got) {
    if (!got && !failure_) {
        failure_ = got.error();
    }
    return got;
}

resource_error transaction::commit(std::chrono::nanoseconds timeout) {
    if (!open_) {
        return not_open();
    }
    connection::parts& in = *connection_->parts_;
    const auto end = in.end_of(timeout != std::chrono::nanoseconds{0} ? timeout : timeout_);
    if (auto refused = in.ready_for_command(end)) {
        // Where nothing but the deadline stood against it, it is open, and is rolled back as such.
        open_ = end == passed_before && !in.doomed;
        return failure_ ? failure_ : *std::move(refused);
    }
    open_ = false;
    // An end that is known before COMMIT is sent leaves no doubt.
    if (connection_->check() == resource_health::dead) {
        in.doomed = true;
        return in.connection_error();
    }
    const bool had_failed = PQtransactionStatus(in.session()) == PQTRANS_INERROR;
    if (PQsendQuery(in.session(), "COMMIT") == 0) {
        return in.send_failed().error();
    }
    connection_->count_use();
    const result ended = in.finish_command(end, !had_failed);
    if (ended.error().kind == resource_error_kind::timeout && !had_failed) {
        return {resource_error_kind::commit_unknown, {}, "COMMIT: " + ended.error().text};
    }
    if (ended && ended.tag() == "ROLLBACK") {
        // The server answers a COMMIT after a failed statement so: that failure is the reason.
        resource_error why =
            failure_ ? failure_
                     : resource_error{resource_error_kind::invalid, {}, "a statement had failed"};
        why.text = "rolled back: " + why.text;
        return why;
    }
    return ended.error();
}

resource_error transaction::rollback() {
    if (!open_) {
        return not_open();
    }
    open_ = false;
    return connection_->exec("ROLLBACK", timeout_).error();
}

std::string idempotency_table(std::string_view table) {
    return "CREATE TABLE IF NOT EXISTS " + std::string(table) +
           " (key text PRIMARY KEY, committed_at timestamptz NOT NULL DEFAULT now())";
}

resource_error detail::claim_key(transaction& within, const run_transaction_params& how,
                                 std::chrono::nanoseconds timeout, key_state& key) {
    // If an earlier try of the same key is still in the middle of its COMMIT, this waits for it.
    const result claimed =
        within.exec_params("INSERT INTO " + how.table + " (key) VALUES ($1) ON CONFLICT DO NOTHING",
                           {how.key}, timeout);
    if (claimed) {
        key = claimed.affected() == 0 ? key_state::done_before : key_state::claimed;
    }
    return claimed.error();
}

std::chrono::nanoseconds detail::left_until(std::chrono::steady_clock::time_point end) noexcept {
    return std::max<std::chrono::nanoseconds>(end - std::chrono::steady_clock::now(),
                                              std::chrono::milliseconds{1});
}

bool detail::may_try_again(resource_error_kind kind, bool has_key) noexcept {
    switch (kind) {
        case resource_error_kind::transient:
        case resource_error_kind::broken:
        case resource_error_kind::recovering: return true;
        case resource_error_kind::commit_unknown: return has_key;
        default: return false;
    }
}

resource_error detail::out_of_time(const resource_error& last) {
    if (last.kind == resource_error_kind::commit_unknown) {
        return last;
    }
    return {resource_error_kind::timeout, {}, "no time is left for another try; " + last.text};
}

resource_error detail::out_of_range(const run_transaction_params& how) {
    if (how.max_attempts >= 1 && how.max_attempts <= 100) {
        return {};
    }
    return {resource_error_kind::invalid,
            {},
            "max_attempts (" + std::to_string(how.max_attempts) +
                ") must be between 1 and 100. Suggestion: leave the default"};
}

}  // namespace ropeway::postgres
