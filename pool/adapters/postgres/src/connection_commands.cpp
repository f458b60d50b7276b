// SPDX-License-Identifier: Apache-2.0
//
// A holder's commands: sent, answered or given up at their deadline, on the holder's thread.
#include <algorithm>
#include <cerrno>
#include <ctime>
#include <string>
#include <utility>

#include <poll.h>

#include <ropeway/pool/end_of_wait.hpp>
#include <ropeway/pool/postgres/connection.hpp>

#include "connection_parts.hpp"
#include "session_effects.hpp"

namespace ropeway::postgres {

namespace {

void clear_native(void* rows) { PQclear(static_cast<PGresult*>(rows)); }

[[nodiscard]] resource_error invalid(std::string text) {
    return {resource_error_kind::invalid, {}, std::move(text)};
}

[[nodiscard]] bool is_copy(ExecStatusType status) noexcept {
    return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

[[nodiscard]] bool is_failure(ExecStatusType status) noexcept {
    return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE ||
           status == PGRES_NONFATAL_ERROR;
}

[[nodiscard]] bool ends_session(const PGresult* failure) noexcept {
    const std::string_view severity =
        detail::or_empty(PQresultErrorField(failure, PG_DIAG_SEVERITY_NONLOCALIZED));
    return severity == "FATAL" || severity == "PANIC";
}

}  // namespace

command_clock::time_point connection::parts::end_of(
    std::chrono::nanoseconds timeout) const noexcept {
    if (timeout == std::chrono::nanoseconds{0}) {
        timeout = opened_with ? opened_with->params.command_timeout : std::chrono::milliseconds{0};
    }
    return timeout < std::chrono::nanoseconds{0}
               ? passed_before
               : ropeway::detail::end_of_wait(command_clock::now(), timeout);
}

wait_end connection::parts::wait_once(command_clock::time_point end, bool writing) {
    const auto left = std::chrono::nanoseconds(end - command_clock::now());
    if (left <= std::chrono::nanoseconds{0}) {
        return wait_end::time_over;
    }
    const auto seconds = std::chrono::floor<std::chrono::seconds>(left);
    const timespec time{seconds.count(), (left - seconds).count()};
    pollfd look{PQsocket(session()), static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), 0};
    const int ready = ::ppoll(&look, 1, &time, nullptr);
    if (ready < 0 && errno != EINTR) {
        return wait_end::lost;
    }
    if (ready > 0 && (look.revents & ~POLLOUT) != 0) {
        if (PQconsumeInput(session()) == 0) {
            return wait_end::lost;
        }
    }
    return wait_end::ready;
}

wait_end connection::parts::wait_for_result(command_clock::time_point end) {
    int unsent = PQflush(session());
    while (PQisBusy(session()) != 0) {
        const wait_end waited = wait_once(end, unsent == 1);
        if (waited == wait_end::lost) {
            // What came before the end may be the server's own words on it.
            return PQisBusy(session()) == 0 ? wait_end::ready : wait_end::lost;
        }
        if (waited == wait_end::time_over) {
            return waited;
        }
        if (unsent == 1) {
            unsent = PQflush(session());
        }
    }
    return wait_end::ready;
}

std::optional<resource_error> connection::parts::ready_for_command(command_clock::time_point end) {
    if (!pg) {
        return resource_error{resource_error_kind::broken, {}, "the connection is not open"};
    }
    if (!in_this_process()) {
        return invalid(
            "this connection belongs to the process that forked this one. Suggestion: "
            "make a pool after fork()");
    }
    if (doomed) {
        return resource_error{
            resource_error_kind::broken,
            {},
            "the connection is owed a late answer or has ended, and takes no more commands. "
            "Suggestion: return the lease and acquire another"};
    }
    if (end == passed_before) {
        return resource_error{resource_error_kind::timeout,
                              {},
                              "the deadline had passed before the command; it was not sent"};
    }
    if (std::exchange(rollback_due, false) && PQtransactionStatus(session()) != PQTRANS_IDLE) {
        if (PQsendQuery(session(), "ROLLBACK") == 0) {
            return send_failed().error();
        }
        if (result ended = finish_command(end, false); !ended) {
            return ended.error();
        }
    }
    return std::nullopt;
}

result connection::parts::send_failed() {
    if (PQstatus(session()) != CONNECTION_OK) {
        doomed = true;
        return connection_error();
    }
    return invalid("not sent: " + mask(detail::or_empty(PQerrorMessage(session()))));
}

resource_error connection::parts::give_up(command_clock::time_point end) {
    doomed = true;
    const bool asked = cancels->has_key && cancels->sender->send(*cancels);
    const auto late =
        std::chrono::duration_cast<std::chrono::milliseconds>(command_clock::now() - end);
    return {resource_error_kind::timeout,
            {},
            "no answer from " + opened_with->target + " before the command's deadline (" +
                std::to_string(late.count()) + " ms ago)" +
                (asked ? "; the server was asked to cancel it" : "") +
                "; this connection will be dropped. Suggestion: a longer command_timeout, or a "
                "look at what the server does"};
}

result connection::parts::finish_command(command_clock::time_point end, bool may_commit) {
    detail::pq_result last;
    resource_error failure;
    bool ends = false;
    bool first_failed = false;
    for (;;) {
        const wait_end waited = wait_for_result(end);
        if (waited == wait_end::time_over) {
            return give_up(end);
        }
        detail::pq_result answer(PQgetResult(session()));
        if (!answer) {
            break;
        }
        const ExecStatusType status = PQresultStatus(answer.get());
        if (is_copy(status)) {
            return invalid(
                "COPY goes through copy_writer; this one ends when the lease is returned");
        }
        if (is_failure(status) && !failure) {
            failure = error_of(answer.get());
            ends = ends_session(answer.get());
            first_failed = !last;
        }
        last = std::move(answer);
    }
    deliver_notifications();
    if (PQstatus(session()) != CONNECTION_OK || ending_code[0] != '\0') {
        doomed = true;
        // An answer that carries a code says that the server ended the work; silence does not.
        const bool answered = failure && failure.code[0] != '\0' && ending_code[0] == '\0';
        if (!failure) {
            failure = connection_error();
        }
        if (may_commit && !answered && failure.kind == resource_error_kind::broken) {
            failure.kind = resource_error_kind::commit_unknown;
        }
    } else if (ends) {
        doomed = true;  // the server's last words: the end of the stream is on its way
    }
    if (may_commit && failure.kind == resource_error_kind::broken && !first_failed) {
        failure.kind = resource_error_kind::commit_unknown;  // what came before may be a COMMIT
    }
    if (failure) {
        return failure;
    }
    return result(result::native(last.release(), &clear_native));
}

bool connection::parts::prepared_leaves_state(std::string_view name) const noexcept {
    const auto& prepared = opened_with->params.prepared;
    const auto found = std::find_if(prepared.begin(), prepared.end(),
                                    [&](const auto& each) { return each.name == name; });
    // Another one was prepared by this holder: the session is dirty already.
    return found == prepared.end() || detail::leaves_session_state(found->sql);
}

bool connection::parts::prepared_may_commit(std::string_view name,
                                            bool within_transaction) const noexcept {
    const auto& prepared = opened_with->params.prepared;
    const auto found = std::find_if(prepared.begin(), prepared.end(),
                                    [&](const auto& each) { return each.name == name; });
    return found != prepared.end() ? detail::may_commit(found->sql, within_transaction)
                                   : !within_transaction || prepared_an_end;
}

result connection::exec(std::string_view sql, std::chrono::nanoseconds timeout) {
    if (auto refused = detail::refusal_of(sql)) {
        return *std::move(refused);
    }
    parts& in = *parts_;
    const auto end = in.end_of(timeout);
    if (auto refused = in.ready_for_command(end)) {
        return *std::move(refused);
    }
    in.session_dirty = in.session_dirty || detail::leaves_session_state(sql);
    const bool may_commit = detail::may_commit(sql, in_transaction());
    if (PQsendQuery(in.session(), std::string(sql).c_str()) == 0) {
        return in.send_failed();
    }
    count_use();
    return in.finish_command(end, may_commit);
}

result connection::exec_params(std::string_view sql, std::span<const parameter> values,
                               std::chrono::nanoseconds timeout) {
    if (auto refused = detail::refusal_of(sql, values)) {
        return *std::move(refused);
    }
    parts& in = *parts_;
    const auto end = in.end_of(timeout);
    if (auto refused = in.ready_for_command(end)) {
        return *std::move(refused);
    }
    in.session_dirty = in.session_dirty || detail::leaves_session_state(sql);
    const bool may_commit = detail::may_commit(sql, in_transaction());
    const detail::bound_parameters bound(values);
    if (PQsendQueryParams(in.session(), std::string(sql).c_str(), bound.count(), bound.types(),
                          bound.values(), bound.lengths(), bound.formats(), 0) == 0) {
        return in.send_failed();
    }
    count_use();
    return in.finish_command(end, may_commit);
}

result connection::exec_prepared(std::string_view name, std::span<const parameter> values,
                                 std::chrono::nanoseconds timeout) {
    if (auto refused = detail::refusal_of(name, values)) {
        return *std::move(refused);
    }
    parts& in = *parts_;
    const auto end = in.end_of(timeout);
    if (auto refused = in.ready_for_command(end)) {
        return *std::move(refused);
    }
    in.session_dirty = in.session_dirty || in.prepared_leaves_state(name);
    const bool may_commit = in.prepared_may_commit(name, in_transaction());
    const detail::bound_parameters bound(values);
    if (PQsendQueryPrepared(in.session(), std::string(name).c_str(), bound.count(), bound.values(),
                            bound.lengths(), bound.formats(), 0) == 0) {
        return in.send_failed();
    }
    count_use();
    return in.finish_command(end, may_commit);
}

result connection::prepare(std::string_view name, std::string_view sql,
                           std::chrono::nanoseconds timeout) {
    if (auto refused = detail::refusal_of(name)) {
        return *std::move(refused);
    }
    if (auto refused = detail::refusal_of(sql)) {
        return *std::move(refused);
    }
    parts& in = *parts_;
    const auto end = in.end_of(timeout);
    if (auto refused = in.ready_for_command(end)) {
        return *std::move(refused);
    }
    in.session_dirty = true;
    in.prepared_an_end = in.prepared_an_end || detail::may_commit(sql, true);
    if (PQsendPrepare(in.session(), std::string(name).c_str(), std::string(sql).c_str(), 0,
                      nullptr) == 0) {
        return in.send_failed();
    }
    count_use();
    return in.finish_command(end, false);
}

result connection::listen(std::string_view channel, std::chrono::nanoseconds timeout) {
    std::string sql = "LISTEN \"";
    for (const char c : channel) {
        sql.append(c == '"' ? 2 : 1, c);
    }
    return exec(sql + '"', timeout);
}

int connection::wait_for_notifications(std::chrono::nanoseconds timeout) {
    parts& in = *parts_;
    const auto end = ropeway::detail::end_of_wait(command_clock::now(), timeout);
    if (in.ready_for_command(end)) {
        return -1;
    }
    in.notifications = 0;
    for (;;) {
        if (in.look() == resource_health::dead) {
            in.doomed = true;
            return -1;
        }
        if (const auto came = std::exchange(in.notifications, 0); came > 0) {
            return static_cast<int>(came);
        }
        switch (in.wait_once(end, false)) {
            case wait_end::ready: break;
            case wait_end::time_over: return 0;
            case wait_end::lost: in.doomed = true; return -1;
        }
    }
}

}  // namespace ropeway::postgres
