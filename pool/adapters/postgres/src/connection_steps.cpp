// SPDX-License-Identifier: Apache-2.0
//
// A connection's tasks in steps: open, probe, reset, close. Nothing here waits.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include <ropeway/pool/postgres/connection.hpp>
#include <ropeway/pool/postgres/sqlstate.hpp>

#include "connection_parts.hpp"

namespace ropeway::postgres {

resource_step connection::begin(resource_task task) noexcept {
    parts& in = *parts_;
    in.task = task;
    in.error = {};
    try {
        switch (task) {
            case resource_task::open: return in.begin_open();
            case resource_task::probe: return in.begin_probe();
            case resource_task::reset: return in.begin_reset();
            case resource_task::close: return in.begin_close();
        }
    } catch (const std::exception& failure) {
        in.error = {resource_error_kind::unavailable, {}, in.mask(failure.what())};
    }
    return in.failed();
}

resource_step connection::resume() noexcept {
    try {
        return parts_->go_on();
    } catch (const std::exception& failure) {
        parts_->error = {resource_error_kind::unavailable, {}, parts_->mask(failure.what())};
        return parts_->failed();
    }
}

resource_step connection::parts::failed() {
    at = phase::none;
    doomed = true;
    trace.reset();
    if (!error) {
        error = connection_error();
    }
    return {.state = step_state::failed, .fd = -1};
}

resource_step connection::parts::done() {
    at = phase::none;
    if (PQtransactionStatus(session()) != PQTRANS_IDLE) {
        error = {resource_error_kind::broken, {}, "the session is not idle after its set-up"};
        return failed();
    }
    if (task != resource_task::probe) {
        session_dirty = false;
        rollback_due = false;
    }
    return {};
}

resource_step connection::parts::go_on() {
    switch (at) {
        case phase::connecting: return connect_on();
        case phase::working:
        case phase::ending_copy:
            if (PQconsumeInput(session()) == 0) {
                return failed();
            }
            return at == phase::working ? work_on() : end_copy_on();
        case phase::leaving: return leave_on();
        case phase::none: break;
    }
    return {.state = error ? step_state::failed : step_state::done, .fd = -1};
}

resource_step connection::parts::begin_close() noexcept {
    // The slot is free for another connection once the server has let go of this one: else it would
    // see more of them than the pool's maximum. Under TLS or GSS the farewell is libpq's own, which
    // is sent without waiting and waits for nothing.
    static constexpr std::array<char, 5> farewell{'X', 0, 0, 0, 4};
    const bool plain = pg && in_this_process() && PQstatus(session()) == CONNECTION_OK &&
                       PQsslInUse(session()) == 0 && PQgssEncInUse(session()) == 0 &&
                       PQflush(session()) == 0;
    if (!plain || ::send(PQsocket(session()), farewell.data(), farewell.size(),
                         MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(farewell.size())) {
        end_session();
        return {};
    }
    at = phase::leaving;
    return {.state = step_state::wants_read, .fd = PQsocket(session())};
}

resource_step connection::parts::leave_on() noexcept {
    std::array<char, 512> unread{};
    for (;;) {
        const ssize_t got = ::recv(PQsocket(session()), unread.data(), unread.size(), MSG_DONTWAIT);
        if (got > 0 || (got < 0 && errno == EINTR)) {
            continue;  // a notice, on its way before the farewell arrived
        }
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return {.state = step_state::wants_read, .fd = PQsocket(session())};
        }
        end_session();
        return {};
    }
}

resource_step connection::parts::begin_open() {
    end_session();
    opened_with = shared->current();
    ending_code = {};
    ending_text.clear();
    std::vector<const char*> names;
    std::vector<const char*> values;
    // Relaxed: any count is a place to begin at, nothing else is read by it.
    const std::vector<detail::keyword> keywords = detail::turned(
        opened_with->keywords, opened_with->opens_given_up.load(std::memory_order_relaxed));
    for (const detail::keyword& each : keywords) {
        names.push_back(each.name.c_str());
        values.push_back(each.value.c_str());
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    process = ::getpid();
    pg.reset(PQconnectStartParams(names.data(), values.data(), 0));
    if (!pg) {
        throw std::bad_alloc();
    }
    PQsetNoticeReceiver(session(), &parts::on_notice, this);
    // A failed connect tells its SQLSTATE nowhere but in a verbose text.
    PQsetErrorVerbosity(session(), PQERRORS_VERBOSE);
    if (PQstatus(session()) == CONNECTION_BAD) {
        error = connect_error(mask(PQerrorMessage(session())));
        return failed();
    }
    trace = std::make_unique<detail::key_trace>(session());
    at = phase::connecting;
    return {.state = step_state::wants_write, .fd = PQsocket(session())};
}

resource_step connection::parts::connect_on() {
    switch (PQconnectPoll(session())) {
        case PGRES_POLLING_READING:
            return {.state = step_state::wants_read, .fd = PQsocket(session())};
        case PGRES_POLLING_WRITING:
            return {.state = step_state::wants_write, .fd = PQsocket(session())};
        case PGRES_POLLING_OK: adopt_session(); return begin_setup();
        case PGRES_POLLING_FAILED:
        case PGRES_POLLING_ACTIVE: break;
    }
    error = connect_error(mask(PQerrorMessage(session())));
    return failed();
}

void connection::parts::adopt_session() {
    PQsetErrorVerbosity(session(), PQERRORS_DEFAULT);
    PQsetnonblocking(session(), 1);
    auto target = std::make_shared<detail::cancel_target>();
    target->sender = opened_with->cancels;
    target->timeout = opened_with->params.cancel_timeout;
    target->backend_pid = static_cast<std::uint32_t>(PQbackendPID(session()));
    target->secret = trace->key().value_or(0);
    target->address_size = sizeof target->address;
    auto* address = reinterpret_cast<sockaddr*>(&target->address);
    target->has_key = trace->key().has_value() &&
                      getpeername(PQsocket(session()), address, &target->address_size) == 0;
    trace.reset();
    cancels = std::move(target);
}

bool connection::parts::send_setup() {
    const postgres_params& params = opened_with->params;
    for (const std::string& sql : params.session_sql) {
        if (PQsendQueryParams(session(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) ==
            0) {
            return false;
        }
    }
    for (const prepared_statement& each : params.prepared) {
        if (PQsendPrepare(session(), each.name.c_str(), each.sql.c_str(), 0, nullptr) == 0) {
            return false;
        }
    }
    ++syncs_left;
    return PQpipelineSync(session()) == 1;
}

resource_step connection::parts::begin_setup() {
    answers = 0;
    syncs_left = 0;
    sent_before_setup = 0;
    const postgres_params& params = opened_with->params;
    if (params.session_sql.empty() && params.prepared.empty()) {
        return done();
    }
    if (PQenterPipelineMode(session()) == 0 || !send_setup()) {
        return failed();
    }
    at = phase::working;
    return work_on();
}

resource_step connection::parts::begin_probe() {
    answers = 0;
    syncs_left = 1;
    sent_before_setup = 0;
    if (!pg || PQenterPipelineMode(session()) == 0 || PQpipelineSync(session()) == 0) {
        return failed();
    }
    at = phase::working;
    return wait_for_input();
}

resource_step connection::parts::begin_reset() {
    if (!pg) {
        return failed();
    }
    if (PQtransactionStatus(session()) == PQTRANS_ACTIVE) {
        if (PQputCopyEnd(session(), "the lease was returned") != 1) {
            return failed();
        }
        at = phase::ending_copy;
        return end_copy_on();
    }
    return begin_reset_statements();
}

resource_step connection::parts::end_copy_on() {
    while (PQisBusy(session()) == 0) {
        const detail::pq_result answer(PQgetResult(session()));
        if (!answer) {
            return begin_reset_statements();
        }
        if (PQresultStatus(answer.get()) == PGRES_COPY_IN &&
            PQputCopyEnd(session(), "the lease was returned") != 1) {
            return failed();  // several COPYs in one text: each must be ended
        }
    }
    return wait_for_input();
}

resource_step connection::parts::begin_reset_statements() {
    answers = 0;
    syncs_left = 0;
    sent_before_setup = 0;
    if (PQstatus(session()) != CONNECTION_OK || PQenterPipelineMode(session()) == 0) {
        return failed();
    }
    // Each has a Sync of its own: ROLLBACK must not be undone by what follows, and DISCARD ALL
    // refuses to be one of several.
    const auto send = [this](const char* sql) {
        ++syncs_left;
        ++sent_before_setup;
        return PQsendQueryParams(session(), sql, 0, nullptr, nullptr, nullptr, nullptr, 0) == 1 &&
               PQpipelineSync(session()) == 1;
    };
    bool sent = true;
    if (PQtransactionStatus(session()) != PQTRANS_IDLE) {
        sent = send("ROLLBACK");
    }
    if (sent && session_dirty) {
        sent = send("DISCARD ALL") && send_setup();
    }
    if (!sent) {
        return failed();
    }
    at = phase::working;
    return work_on();
}

resource_step connection::parts::work_on() {
    while (syncs_left > 0 && PQisBusy(session()) == 0) {
        const detail::pq_result answer(PQgetResult(session()));
        if (!answer) {
            if (PQstatus(session()) != CONNECTION_OK) {
                return failed();
            }
            continue;  // the end of one statement's answers
        }
        switch (PQresultStatus(answer.get())) {
            case PGRES_PIPELINE_SYNC: --syncs_left; break;
            case PGRES_FATAL_ERROR: note_answer_error(answer.get()); [[fallthrough]];
            default: ++answers;
        }
    }
    if (syncs_left > 0) {
        return wait_for_input();
    }
    deliver_notifications();
    if (error || PQexitPipelineMode(session()) == 0) {
        return failed();
    }
    return done();
}

void connection::parts::note_answer_error(const PGresult* answer) {
    if (error) {
        return;
    }
    error = error_of(answer);
    const postgres_params& params = opened_with->params;
    const std::size_t place = answers < sent_before_setup ? 0 : answers - sent_before_setup;
    if (answers < sent_before_setup) {
        error.text = "reset: " + error.text;
    } else if (place < params.session_sql.size()) {
        error.text = "session_sql '" + mask(params.session_sql[place]) + "': " + error.text;
    } else if (place - params.session_sql.size() < params.prepared.size()) {
        error.text = "prepared '" + params.prepared[place - params.session_sql.size()].name +
                     "': " + error.text;
    }
}

resource_step connection::parts::wait_for_input() {
    const int unsent = PQflush(session());
    if (unsent < 0) {
        return failed();
    }
    return {.state = unsent == 0 ? step_state::wants_read : step_state::wants_either,
            .fd = PQsocket(session())};
}

}  // namespace ropeway::postgres
