// SPDX-License-Identifier: Apache-2.0
//
// A connection as a pooled resource: a look without a round trip, the judgement at its return, its
// end, and what the server says unasked.
#include <ropeway/pool/postgres/connection.hpp>

#include <algorithm>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <ropeway/pool/postgres/sqlstate.hpp>

#include "connection_parts.hpp"

namespace ropeway::postgres {

connection::connection(std::shared_ptr<settings> shared)
    : parts_(std::make_unique<parts>(std::move(shared))) {}

connection::~connection() { parts_->end_session(); }

bool connection::parts::in_this_process() const noexcept { return process == ::getpid(); }

bool connection::parts::is_doomed() const noexcept {
    // Acquire: pairs with the release in cancel_token::request(): whoever saw a command canceled
    // sees that its connection is not to be lent again.
    return doomed || !cancels ||
           (cancels->lease.load(std::memory_order_acquire) & detail::cancel_target::asked) != 0;
}

bool connection::parts::end_lease() noexcept {
    // Relaxed (all): a request changes the same word, and its order of changes decides which of the
    // two was first; nothing else is handed over by it.
    std::uint64_t lease = cancels->lease.load(std::memory_order_relaxed);
    return (lease & detail::cancel_target::asked) == 0 &&
           cancels->lease.compare_exchange_strong(lease, lease + 2, std::memory_order_relaxed,
                                                  std::memory_order_relaxed);
}

void connection::parts::end_session() noexcept {
    if (cancels) {
        // Relaxed: a request that finds another value than its own sends nothing, whatever else it
        // sees.
        cancels->lease.store(detail::cancel_target::over, std::memory_order_relaxed);
        cancels.reset();
    }
    if (pg && at == phase::connecting && in_this_process()) {
        // It was given up where libpq waited for one host. Relaxed: see begin_open().
        opened_with->opens_given_up.fetch_add(1, std::memory_order_relaxed);
    }
    trace.reset();
    if (pg && process != 0 && !in_this_process()) {
        // A child's farewell would end its parent's session: what is said here goes nowhere.
        const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (nowhere >= 0 && PQsocket(session()) >= 0) {
            ::dup3(nowhere, PQsocket(session()), O_CLOEXEC);
        }
        if (nowhere >= 0) {
            ::close(nowhere);
        }
    }
    pg.reset();
    at = phase::none;
    process = 0;
    doomed = false;
    session_dirty = false;
    rollback_due = false;
    prepared_an_end = false;
}

void connection::drop() noexcept { parts_->end_session(); }

int connection::idle_fd() const noexcept { return parts_->pg ? PQsocket(parts_->session()) : -1; }

const resource_error& connection::error() const noexcept { return parts_->error; }

resource_health connection::check() noexcept {
    pollfd look{idle_fd(), POLLIN | POLLRDHUP | POLLPRI, 0};
    if (look.fd < 0) {
        return resource_health::dead;
    }
    if (::poll(&look, 1, 0) == 0) [[likely]] {
        return PQstatus(parts_->session()) == CONNECTION_OK ? resource_health::usable
                                                            : resource_health::dead;
    }
    return parts_->look();
}

resource_health connection::parts::look() noexcept {
    // A notice or a notification is readable without being an end, and an end is seen only by a
    // read after the last message. The bound is against a server that never stops sending.
    constexpr int most_reads = 64;
    for (int reads = 0; reads < most_reads; ++reads) {
        if (PQconsumeInput(session()) == 0 || PQstatus(session()) != CONNECTION_OK) {
            PQisBusy(session());  // parses what came before the end: it may say why
            error = connection_error();
            return resource_health::dead;
        }
        const bool partial = PQisBusy(session()) != 0;
        deliver_notifications();
        pollfd again{PQsocket(session()), POLLIN | POLLRDHUP | POLLPRI, 0};
        const int ready = ::poll(&again, 1, 0);
        if (ending_code[0] != '\0' || (ready > 0 && (again.revents & (POLLERR | POLLNVAL)) != 0)) {
            error = connection_error();
            return resource_health::dead;
        }
        if (ready == 0) {
            return partial ? resource_health::doubtful : resource_health::usable;
        }
    }
    return resource_health::doubtful;
}

return_state connection::on_return() noexcept {
    parts& in = *parts_;
    if (!in.pg || in.is_doomed() || PQstatus(in.session()) != CONNECTION_OK ||
        !in.in_this_process() || !in.end_lease()) {
        return return_state::broken;
    }
    if (PQpipelineStatus(in.session()) != PQ_PIPELINE_OFF &&
        PQexitPipelineMode(in.session()) == 0) {
        return return_state::broken;  // answers are owed to it
    }
    const reset_policy policy = in.opened_with->params.reset;
    in.session_dirty =
        policy == reset_policy::always || (policy == reset_policy::if_dirty && in.session_dirty);
    switch (PQtransactionStatus(in.session())) {
        case PQTRANS_IDLE: return in.session_dirty ? return_state::dirty : return_state::clean;
        case PQTRANS_INTRANS:
        case PQTRANS_INERROR: return return_state::dirty;
        case PQTRANS_ACTIVE:
            // Nothing is sent by this: it asks whether the session takes COPY data. All else that
            // is active owes an answer, which must not reach the next holder.
            return PQputCopyData(in.session(), "", 0) == -1 ? return_state::broken
                                                            : return_state::dirty;
        case PQTRANS_UNKNOWN: break;
    }
    return return_state::broken;
}

int connection::parts::deliver_notifications() {
    int count = 0;
    while (PGnotify* raw = PQnotifies(session())) {
        const std::unique_ptr<PGnotify, void (*)(void*)> owned(raw, PQfreemem);
        ++count;
        if (opened_with->params.on_notification) {
            opened_with->params.on_notification(
                {.channel = raw->relname, .payload = raw->extra, .backend_pid = raw->be_pid});
        }
    }
    notifications += static_cast<std::uint32_t>(count);
    return count;
}

void connection::parts::on_notice(void* self, const PGresult* message) {
    parts& in = *static_cast<parts*>(self);
    const auto field = [message](int which) {
        return std::string_view(detail::or_empty(PQresultErrorField(message, which)));
    };
    const std::string_view severity = field(PG_DIAG_SEVERITY_NONLOCALIZED);
    const std::string_view code = field(PG_DIAG_SQLSTATE);
    const std::string text = in.mask(field(PG_DIAG_MESSAGE_PRIMARY));
    // A server that crashes says so as a warning, all other ends are fatal.
    if (severity == "FATAL" || severity == "PANIC" || code == "57P02") {
        in.ending_code = {};
        std::copy_n(code.begin(), std::min<std::size_t>(code.size(), 5), in.ending_code.begin());
        in.ending_text = text;
    }
    if (in.opened_with->params.on_notice) {
        in.opened_with->params.on_notice({.severity = severity, .code = code, .text = text});
    }
}

std::string connection::parts::mask(std::string_view text) const {
    return detail::masked(text, opened_with ? opened_with->secrets : std::vector<std::string>{});
}

resource_error connection::parts::error_of(const PGresult* answer) const {
    const auto field = [answer](int which) {
        return std::string_view(detail::or_empty(PQresultErrorField(answer, which)));
    };
    const std::string_view code = field(PG_DIAG_SQLSTATE);
    if (code.empty()) {
        return connection_error();
    }
    resource_error made{.kind = kind_of_sqlstate(code)};
    std::copy_n(code.begin(), std::min<std::size_t>(code.size(), 5), made.code.begin());
    std::string text(field(PG_DIAG_MESSAGE_PRIMARY));
    if (const std::string_view detail_text = field(PG_DIAG_MESSAGE_DETAIL); !detail_text.empty()) {
        text.append("; detail: ").append(detail_text);
    }
    if (const std::string_view hint = field(PG_DIAG_MESSAGE_HINT); !hint.empty()) {
        text.append("; hint: ").append(hint);
    }
    made.text = mask(text);
    return made;
}

resource_error connection::parts::connection_error() const {
    resource_error made{.kind = resource_error_kind::broken, .code = ending_code};
    std::string text = ending_text;
    if (text.empty()) {
        text = detail::or_empty(PQerrorMessage(session()));
        std::replace(text.begin(), text.end(), '\n', ' ');
        while (!text.empty() && text.back() == ' ') {
            text.pop_back();
        }
    }
    made.text = "the connection to " + opened_with->target + " ended: " + mask(text);
    return made;
}

bool connection::is_doomed() const noexcept { return parts_->is_doomed(); }

bool connection::in_transaction() const noexcept {
    const PGTransactionStatusType status =
        parts_->pg ? PQtransactionStatus(parts_->session()) : PQTRANS_UNKNOWN;
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

bool connection::uses_tls() const noexcept {
    return parts_->pg && PQsslInUse(parts_->session()) != 0;
}

int connection::backend_pid() const noexcept {
    return parts_->pg ? PQbackendPID(parts_->session()) : 0;
}

int connection::server_version() const noexcept {
    return parts_->pg ? PQserverVersion(parts_->session()) : 0;
}

std::string_view connection::parameter_status(const char* name) const noexcept {
    return parts_->pg ? detail::or_empty(PQparameterStatus(parts_->session(), name)) : "";
}

cancel_token connection::make_cancel_token() const noexcept {
    // Relaxed: the lease's number is changed by its holder's thread alone; a mark is cut off.
    return parts_->cancels
               ? postgres::cancel_token(parts_->cancels,
                                        parts_->cancels->lease.load(std::memory_order_relaxed) &
                                            ~detail::cancel_target::asked)
               : postgres::cancel_token();
}

void* connection::native_handle() noexcept {
    parts_->session_dirty = true;
    return parts_->session();
}

}  // namespace ropeway::postgres
