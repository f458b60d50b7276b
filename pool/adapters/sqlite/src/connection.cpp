// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/connection.hpp>

#include <string>
#include <utility>

#include "error.hpp"
#include "session.hpp"
#include "statement.hpp"

namespace ropeway::sqlite {

namespace {

using namespace std::chrono_literals;

// A task that finds the lock held is begun again after this long, until the pool's deadline.
constexpr auto retry_after = 5ms;

resource_error not_open() {
    return {
        .kind = resource_error_kind::closed,
        .text = "the connection is not open, or is the parent's of this process: acquire another"};
}

/// Why no statement runs; kind none where one may.
resource_error refused(const session& on, std::chrono::nanoseconds timeout) {
    if (!on.usable()) {
        return not_open();
    }
    if (timeout.count() < 0) {
        return {.kind = resource_error_kind::timeout,
                .text = "the deadline had passed before the statement; it did not run"};
    }
    return {};
}

}  // namespace

connection::connection(std::shared_ptr<const database> of)
    : session_(std::make_unique<session>(std::move(of))) {}
connection::~connection() = default;

result connection::exec(std::string_view sql, std::chrono::nanoseconds timeout) {
    if (const resource_error why = refused(*session_, timeout)) {
        return {why};
    }
    const session::use use{*session_, timeout};
    statement run{*session_};
    result last = run.run_text(sql, {}, false);
    count_use(run.stepped());
    return last;
}

result connection::exec_params(std::string_view sql, std::span<const parameter> values,
                               std::chrono::nanoseconds timeout) {
    if (const resource_error why = refused(*session_, timeout)) {
        return {why};
    }
    const session::use use{*session_, timeout};
    statement run{*session_};
    result last = run.run_text(sql, values, true);
    count_use(run.stepped());
    return last;
}

result connection::exec_prepared(std::string_view name, std::span<const parameter> values,
                                 std::chrono::nanoseconds timeout) {
    if (const resource_error why = refused(*session_, timeout)) {
        return {why};
    }
    sqlite3_stmt* const prepared = session_->prepared(name);
    if (prepared == nullptr) {
        return {resource_error{.kind = resource_error_kind::invalid,
                               .text = "no prepared statement is named '" + std::string{name} +
                                       "': name it in sqlite_params::prepared"}};
    }
    const session::use use{*session_, timeout};
    statement run{*session_};
    result last = run.run_prepared(prepared, values);
    count_use(run.stepped());
    return last;
}

bool connection::in_transaction() const noexcept { return session_->in_transaction(); }

void connection::cancel() noexcept { session_->cancel(); }

sqlite3* connection::native_handle() noexcept {
    session_->mark_changed();
    return session_->get();
}

resource_step connection::begin(resource_task task) noexcept {
    task_ = task;
    return resume();
}

resource_step connection::resume() noexcept {
    int code = SQLITE_OK;
    try {
        code = run_task();
    } catch (const std::exception& failed) {  // no memory
        session_->close();
        code = SQLITE_NOMEM;
    }
    if (code == SQLITE_OK) {
        return {};
    }
    if (kind_of(code) == resource_error_kind::transient) {
        return {.state = step_state::wants_read, .fd = -1, .after = retry_after};
    }
    return {.state = step_state::failed};
}

int connection::run_task() {
    switch (task_) {
        case resource_task::open: return session_->open();
        case resource_task::probe: return session_->probe();
        case resource_task::reset:
            // Without a handle an earlier step closed it, and found the lock held at its opening.
            return session_->changed() || session_->get() == nullptr ? session_->open()
                                                                     : session_->roll_back();
        case resource_task::close: session_->close(); break;
    }
    return SQLITE_OK;
}

resource_health connection::check() noexcept {
    const bool usable = session_->usable() && !session_->spoiled() && session_->file_is_the_one();
    return usable ? resource_health::usable : resource_health::dead;
}

return_state connection::on_return() noexcept {
    if (!session_->usable() || session_->spoiled()) {
        return return_state::broken;
    }
    const bool dirty = session_->in_transaction() || session_->changed();
    return dirty ? return_state::dirty : return_state::clean;
}

void connection::drop() noexcept { session_->close(); }

const resource_error& connection::error() const noexcept { return session_->error(); }

std::function<std::unique_ptr<connection>()> make_connections(sqlite_params params) {
    return [shared = std::make_shared<const database>(std::move(params))] {
        return std::make_unique<connection>(shared);
    };
}

}  // namespace ropeway::sqlite
