// SPDX-License-Identifier: Apache-2.0
//
// One session with a PostgreSQL server, on libpq without a wait inside it. The pool opens, probes,
// resets and closes it in steps; who holds its lease runs commands, each of which ends at its
// deadline. It becomes `doomed` and is never lent again when an answer is still owed to it: after a
// deadline, after cancel_token::request(), and when the connection ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/postgres/cancel_token.hpp>
#include <ropeway/pool/postgres/parameter.hpp>
#include <ropeway/pool/postgres/result.hpp>
#include <ropeway/pool/postgres/settings.hpp>

namespace ropeway::postgres {

/// Ownership: a pool's slot. Thread safety: one thread at a time, handed over by the pool; a
/// cancel_token from any thread. Allocation: libpq's, the arguments and the result of a command;
/// none in check(), on_return() of a clean session, and begin(probe).
/// After fork() the child's copy refuses commands, and its drop() leaves the parent's session
/// alone.
class connection final : public pooled_resource {
  public:
    /// Not open yet.
    explicit connection(std::shared_ptr<settings> shared);
    ~connection() override;

    // As a pooled resource. begin(open) never blocks, except as postgres_params::resolve_names
    // says.
    resource_step begin(resource_task task) noexcept override;
    resource_step resume() noexcept override;
    resource_health check() noexcept override;
    [[nodiscard]] int idle_fd() const noexcept override;
    return_state on_return() noexcept override;
    void drop() noexcept override;
    [[nodiscard]] const resource_error& error() const noexcept override;

    // Commands, for the holder of the lease. `timeout` zero: postgres_params::command_timeout;
    // nanoseconds::max(): none; negative: it has passed (kind timeout, nothing is sent). A failure
    // is in the result: `timeout` within 5 ms of the deadline (a command that changes something may
    // have been done), `broken` if the connection ended and nothing was committed, `commit_unknown`
    // if it ended in a statement outside a transaction that may have changed something or in a text
    // that may have committed one, otherwise what the SQLSTATE means (sqlstate.hpp). A statement
    // with a zero byte in it, or in the text of a parameter, is not sent (kind invalid).
    // Towards max_uses each command that was sent counts as one: a text with several statements
    // too, a COPY with all its rows, and each entry of a pipeline.

    /// One or several statements without parameters; the result of the last one, or the first
    /// error. Not for COPY: see copy_writer.
    result exec(std::string_view sql, std::chrono::nanoseconds timeout = {});
    /// One statement with $1, $2...
    result exec_params(std::string_view sql, std::span<const parameter> values,
                       std::chrono::nanoseconds timeout = {});
    result exec_params(std::string_view sql, std::initializer_list<parameter> values,
                       std::chrono::nanoseconds timeout = {}) {
        return exec_params(sql, std::span(values.begin(), values.size()), timeout);
    }
    /// A statement of postgres_params::prepared, or of prepare().
    result exec_prepared(std::string_view name, std::span<const parameter> values,
                         std::chrono::nanoseconds timeout = {});
    result exec_prepared(std::string_view name, std::initializer_list<parameter> values,
                         std::chrono::nanoseconds timeout = {}) {
        return exec_prepared(name, std::span(values.begin(), values.size()), timeout);
    }
    /// Prepares a statement until this lease ends.
    result prepare(std::string_view name, std::string_view sql,
                   std::chrono::nanoseconds timeout = {});
    /// LISTEN until this lease ends; notifications go to postgres_params::on_notification whenever
    /// input is read: in each command, and in check().
    result listen(std::string_view channel, std::chrono::nanoseconds timeout = {});
    /// Waits for notifications until one came or the timeout passed (0 or less: looks). @return how
    /// many came, -1 if the connection ended.
    int wait_for_notifications(std::chrono::nanoseconds timeout);

    /// For cancelling this session's command from another thread.
    [[nodiscard]] cancel_token make_cancel_token() const noexcept;

    /// True if it will be dropped when its lease is returned.
    [[nodiscard]] bool is_doomed() const noexcept;
    [[nodiscard]] bool in_transaction() const noexcept;
    /// True if TLS protects the session.
    [[nodiscard]] bool uses_tls() const noexcept;
    /// Process id of the server's backend; 0 when not open.
    [[nodiscard]] int backend_pid() const noexcept;
    /// Of the server, such as 150020; 0 when not open.
    [[nodiscard]] int server_version() const noexcept;
    /// A parameter that the server reports ("server_encoding"); empty if unknown.
    [[nodiscard]] std::string_view parameter_status(const char* name) const noexcept;
    /// The PGconn*, for what is not offered here. From here on the session counts as dirty, and
    /// `if_dirty` resets it at its return. Leave it non-blocking.
    [[nodiscard]] void* native_handle() noexcept;

  private:
    friend class transaction;
    friend class pipeline;
    friend class copy_writer;
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace ropeway::postgres
