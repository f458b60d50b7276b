// SPDX-License-Identifier: Apache-2.0
//
// Private: the inside of a connection. Same owner and same one thread at a time as the connection;
// cancel_target alone is shared with other threads.
//
//   open:  connecting ──► working (session SQL, PREPAREs; one Sync) ──► done
//   probe:                working (a bare Sync) ──► done
//   reset: ending_copy ─► working (ROLLBACK; DISCARD ALL; set-up, a Sync each) ──► done
//   close: leaving (the server's end of the connection) ──► done
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include <ropeway/pool/postgres/connection.hpp>

#include "cancel_sender.hpp"
#include "connect_settings.hpp"
#include "key_trace.hpp"
#include "parameters.hpp"
#include "pq.hpp"

namespace ropeway::postgres {

using command_clock = std::chrono::steady_clock;
/// The end of a command whose deadline had passed before it was asked for: it is not sent. No other
/// end is as early.
inline constexpr command_clock::time_point passed_before{};

/// How a wait on the socket ended.
enum class wait_end : std::uint8_t { ready, time_over, lost };

struct connection::parts {
    /// Where the task in progress stands.
    enum class phase : std::uint8_t { none, connecting, working, ending_copy, leaving };

    std::shared_ptr<settings> shared;
    /// Those of the latest open.
    std::shared_ptr<const detail::connect_settings> opened_with{};
    std::unique_ptr<PGconn, detail::end_connection> pg{};
    std::shared_ptr<detail::cancel_target> cancels{};
    std::unique_ptr<detail::key_trace> trace{};  ///< while connecting
    resource_error error{};
    /// SQLSTATE of a notice that told why the session ends; empty if there was none.
    std::array<char, 6> ending_code{};
    std::string ending_text{};
    pid_t process = 0;
    std::uint32_t notifications = 0;  ///< delivered since wait_for_notifications() began
    std::uint16_t syncs_left = 0;
    std::uint16_t answers = 0;  ///< of the task's statements so far; names the one that failed
    std::uint8_t sent_before_setup = 0;  ///< ROLLBACK and DISCARD ALL of a reset
    phase at = phase::none;
    resource_task task = resource_task::open;
    bool doomed = false;
    bool session_dirty = false;
    bool rollback_due = false;
    /// A holder prepared a statement that may end a transaction; its name is not remembered.
    bool prepared_an_end = false;

    explicit parts(std::shared_ptr<settings> from) : shared(std::move(from)) {}

    // connection_steps.cpp
    resource_step begin_open();
    resource_step begin_probe();
    resource_step begin_reset();
    resource_step begin_close() noexcept;
    resource_step leave_on() noexcept;
    resource_step go_on();
    resource_step connect_on();
    resource_step end_copy_on();
    resource_step work_on();
    resource_step begin_setup();
    resource_step begin_reset_statements();
    bool send_setup();
    resource_step wait_for_input();
    resource_step failed();
    resource_step done();
    void note_answer_error(const PGresult* answer);
    void adopt_session();

    // connection.cpp
    [[nodiscard]] PGconn* session() const noexcept { return pg.get(); }
    [[nodiscard]] bool in_this_process() const noexcept;
    [[nodiscard]] bool is_doomed() const noexcept;
    /// Takes the effect from this lease's cancel tokens. False if one has asked: the session must
    /// not be lent again.
    [[nodiscard]] bool end_lease() noexcept;
    void end_session() noexcept;
    resource_health look() noexcept;
    int deliver_notifications();
    static void on_notice(void* self, const PGresult* message);
    [[nodiscard]] std::string mask(std::string_view text) const;
    [[nodiscard]] resource_error error_of(const PGresult* answer) const;
    /// Of the connection itself; kind broken unless the server told more.
    [[nodiscard]] resource_error connection_error() const;

    // connection_commands.cpp
    /// Zero: of the settings; negative: passed_before.
    [[nodiscard]] command_clock::time_point end_of(std::chrono::nanoseconds timeout) const noexcept;
    /// Waits until a result can be taken or the time is over; sends what is still unsent.
    wait_end wait_for_result(command_clock::time_point end);
    /// Waits for one readiness of the socket. `writing`: that it takes bytes counts too.
    wait_end wait_once(command_clock::time_point end, bool writing);
    /// Nothing speaks against a command; a rollback that is due is done first.
    std::optional<resource_error> ready_for_command(command_clock::time_point end);
    result finish_command(command_clock::time_point end, bool may_commit);
    result send_failed();
    /// The deadline passed: cancels at the server, dooms the connection.
    resource_error give_up(command_clock::time_point end);
    [[nodiscard]] bool prepared_leaves_state(std::string_view name) const noexcept;
    [[nodiscard]] bool prepared_may_commit(std::string_view name,
                                           bool within_transaction) const noexcept;
};

}  // namespace ropeway::postgres
