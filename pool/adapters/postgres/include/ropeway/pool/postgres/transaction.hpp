// SPDX-License-Identifier: Apache-2.0
//
// transaction: BEGIN ... COMMIT on a leased connection, rolled back unless it was committed. And
// run_transaction(): the same work again after a failure that allows it, on a new lease.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <ropeway/pool/end_of_wait.hpp>
#include <ropeway/pool/postgres/connection.hpp>
#include <ropeway/pool/resource_pool.hpp>

namespace ropeway::postgres {

enum class isolation_level : std::uint8_t {
    server_default,
    read_committed,
    repeatable_read,
    serializable,
};

struct transaction_options {
    isolation_level isolation = isolation_level::server_default;
    bool read_only = false;
    /// Of BEGIN and of commit(); zero: the connection's command_timeout; negative: has passed.
    std::chrono::nanoseconds timeout{};
};

/// Ownership: borrows its connection, whose lease must outlive it. One thread at a time.
/// The destructor, also while an exception passes, never blocks: it marks the transaction for
/// ROLLBACK, which the pool's I/O thread does when the lease is returned, or the connection's next
/// command does first.
class [[nodiscard]] transaction {
  public:
    /// Begins it; see error().
    explicit transaction(connection& on, const transaction_options& options = {});
    transaction(const transaction&) = delete;
    transaction& operator=(const transaction&) = delete;
    ~transaction();

    /// False if BEGIN failed, and after commit() and rollback().
    [[nodiscard]] explicit operator bool() const noexcept { return open_; }
    /// Why BEGIN failed; kind none if it did not.
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }
    [[nodiscard]] connection& on() noexcept { return *connection_; }

    /// As the connection's own. After commit() or rollback(): kind invalid.
    result exec(std::string_view sql, std::chrono::nanoseconds timeout = {});
    result exec_params(std::string_view sql, std::span<const parameter> values,
                       std::chrono::nanoseconds timeout = {});
    result exec_params(std::string_view sql, std::initializer_list<parameter> values,
                       std::chrono::nanoseconds timeout = {}) {
        return exec_params(sql, std::span(values.begin(), values.size()), timeout);
    }
    result exec_prepared(std::string_view name, std::span<const parameter> values,
                         std::chrono::nanoseconds timeout = {});
    result exec_prepared(std::string_view name, std::initializer_list<parameter> values,
                         std::chrono::nanoseconds timeout = {}) {
        return exec_prepared(name, std::span(values.begin(), values.size()), timeout);
    }

    /// Kind none: it is committed. commit_unknown: the connection ended, or the deadline passed,
    /// after COMMIT was sent: it may be committed or not. Any other kind: it is not committed.
    /// `timeout` zero: that of the options; negative: not sent, kind timeout, and it stays open.
    [[nodiscard]] resource_error commit(std::chrono::nanoseconds timeout = {});
    resource_error rollback();

  private:
    result keep(result got);

    connection* connection_;
    std::chrono::nanoseconds timeout_;
    bool open_ = false;
    resource_error error_{};
    resource_error failure_{};  ///< of the first statement that failed
};

struct run_transaction_params {
    /// Names the work for ever: committed at most once under this key, whatever is tried again.
    /// Empty: no key, and commit_unknown is never tried again.
    std::string key{};
    /// Where keys are remembered; made by idempotency_table(). An SQL identifier, taken as it is.
    std::string table = "ropeway_idempotency";
    /// Tries in all. 1..100; otherwise nothing is done (kind invalid).
    std::uint32_t max_attempts = 3;
    /// For all tries together, waiting for leases included; `work`'s commands have their own, and
    /// no try begins when it is over.
    std::chrono::milliseconds timeout{30'000};
    isolation_level isolation = isolation_level::server_default;
};

struct run_transaction_result {
    resource_error error{};        ///< kind none: the work is committed, exactly once if with a key
    std::uint32_t attempts = 0;    ///< leases used
    bool was_done_before = false;  ///< the key was committed by an earlier try or call
    [[nodiscard]] explicit operator bool() const noexcept { return !error; }
};

/// The statement that makes the table of keys: at set-up, not per transaction.
[[nodiscard]] std::string idempotency_table(std::string_view table = "ropeway_idempotency");

namespace detail {
/// What a try learned of its key.
enum class key_state : std::uint8_t {
    undecided,    ///< nothing: there is none, or its INSERT was not answered
    claimed,      ///< no earlier try was committed
    done_before,  ///< an earlier try was committed
};
/// One try. `work` is called between the key's INSERT and COMMIT.
template <class Work>
resource_error try_transaction(connection& on, const run_transaction_params& how,
                               std::chrono::steady_clock::time_point end, Work& work,
                               key_state& key);
/// Inserts the key; `key` is set once the server has told of it.
resource_error claim_key(transaction& within, const run_transaction_params& how,
                         std::chrono::nanoseconds timeout, key_state& key);
/// What is left until `end`, at least a millisecond.
[[nodiscard]] std::chrono::nanoseconds left_until(
    std::chrono::steady_clock::time_point end) noexcept;
/// Whether a try that failed so may be made again.
[[nodiscard]] bool may_try_again(resource_error_kind kind, bool has_key) noexcept;
[[nodiscard]] resource_error out_of_time(const resource_error& last);
/// Why `how` is refused; kind none if it is not.
[[nodiscard]] resource_error out_of_range(const run_transaction_params& how);
}  // namespace detail

/// Leases a connection, begins, calls `work(transaction&)` (which returns a result's error, kind
/// none to commit, and may throw: rolled back, passed on), commits; and all of it again after a
/// transient failure or an end of the connection before COMMIT, and after commit_unknown if there
/// is a key. commit_unknown stays the answer, whatever became of later tries, until one of them has
/// learned by the key whether the earlier one was committed. `work` must have no effect outside the
/// transaction.
template <class Pool, class Work>
run_transaction_result run_transaction(Pool& pool, const run_transaction_params& how, Work work) {
    const auto end = ropeway::detail::end_of_wait(std::chrono::steady_clock::now(), how.timeout);
    run_transaction_result outcome{.error = detail::out_of_range(how)};
    if (outcome.error) {
        return outcome;
    }
    while (outcome.attempts < how.max_attempts) {
        const auto left = end - std::chrono::steady_clock::now();
        if (left <= std::chrono::nanoseconds{0}) {
            outcome.error = detail::out_of_time(outcome.error);
            return outcome;
        }
        auto lease = pool.acquire(std::chrono::nanoseconds(left));
        if (!lease) {
            // What an earlier try left open matters more than that there was no second one.
            if (outcome.error.kind != resource_error_kind::commit_unknown) {
                outcome.error = {lease.error().kind, {}, lease.error().text()};
            }
            return outcome;
        }
        ++outcome.attempts;
        detail::key_state key = detail::key_state::undecided;
        resource_error latest = detail::try_transaction(*lease, how, end, work, key);
        outcome.was_done_before = key == detail::key_state::done_before;
        const bool again = detail::may_try_again(latest.kind, !how.key.empty());
        // What an earlier try left open is the answer until a later one has learned of the key.
        if (outcome.error.kind != resource_error_kind::commit_unknown ||
            key != detail::key_state::undecided) {
            outcome.error = std::move(latest);
        }
        if (!again) {
            return outcome;
        }
    }
    return outcome;
}

template <class Work>
resource_error detail::try_transaction(connection& on, const run_transaction_params& how,
                                       std::chrono::steady_clock::time_point end, Work& work,
                                       key_state& key) {
    transaction within(on, {.isolation = how.isolation, .timeout = left_until(end)});
    if (!within) {
        return within.error();
    }
    if (!how.key.empty()) {
        if (resource_error failed = claim_key(within, how, left_until(end), key);
            failed || key == key_state::done_before) {
            return failed;
        }
    }
    if (resource_error failed = work(within); failed) {
        return failed;
    }
    return within.commit(left_until(end));
}

}  // namespace ropeway::postgres
