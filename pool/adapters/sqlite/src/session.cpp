// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <utility>

#include <unistd.h>

#include <ropeway/pool/end_of_wait.hpp>

#include "error.hpp"

namespace ropeway::sqlite {

namespace {

using namespace std::chrono_literals;

// Between two looks at the clock: some microseconds of SQLite's virtual machine.
constexpr int steps_between_looks = 1000;
// Waits for a lock grow from the first to the last of these.
constexpr std::array<std::chrono::microseconds, 6> pauses{200us, 500us, 1ms, 2ms, 5ms, 10ms};

/// A name that no other database in this process has.
std::string memory_name() {
    static std::atomic<std::uint64_t> number{0};
    // Relaxed: only the number itself must differ, nothing is published by it.
    const std::uint64_t own = number.fetch_add(1, std::memory_order_relaxed);
    // A leading slash makes SQLite's memory VFS share it among the connections of the process.
    return "file:/ropeway-" + std::to_string(own) + "?vfs=memdb";
}

int open_flags(const database& of) noexcept {
    // NOMUTEX: the pool hands a connection from thread to thread, never to two at once.
    const int access =
        of.params().read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    return access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
           (of.in_memory() ? SQLITE_OPEN_URI : 0);
}

/// Pragmas that take an argument and change nothing in the session.
bool only_asks(std::string_view pragma) noexcept {
    constexpr std::array<std::string_view, 13> asking{
        "table_info",        "table_xinfo",      "table_list",      "index_info",
        "index_list",        "index_xinfo",      "integrity_check", "quick_check",
        "foreign_key_check", "foreign_key_list", "optimize",        "wal_checkpoint",
        "incremental_vacuum"};
    return std::ranges::find(asking, pragma) != asking.end();
}

const char* synchronous_sql(synchronous wanted) noexcept {
    switch (wanted) {
        case synchronous::off: return "PRAGMA synchronous=OFF";
        case synchronous::normal: return "PRAGMA synchronous=NORMAL";
        case synchronous::full: break;
    }
    return "PRAGMA synchronous=FULL";
}

}  // namespace

database::database(sqlite_params params)
    : params_(checked(std::move(params))),
      time_(params_.time != nullptr ? params_.time : &real_resource_time()),
      name_(params_.path) {
    if (params_.path != ":memory:") {
        return;
    }
    name_ = memory_name();
    sqlite3* made = nullptr;
    const int code = sqlite3_open_v2(
        name_.c_str(), &made,
        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
        nullptr);
    anchor_.reset(made);
    if (code != SQLITE_OK) {
        throw std::runtime_error(make_error(code, {}).text);
    }
}

int session::open() {
    close();
    sqlite3* made = nullptr;
    int code = sqlite3_open_v2(database_->name().c_str(), &made, open_flags(*database_), nullptr);
    handle_.reset(made);  // SQLite makes one even where it fails, to hold the message
    owner_ = ::getpid();
    if (code == SQLITE_OK) {
        code = configure();
    }
    if (code == SQLITE_OK) {
        note_file();
        return SQLITE_OK;
    }
    fail(code);
    error_.text = database_->params().path + ": " + error_.text;
    close();
    return code;
}

int session::configure() {
    sqlite3* db = handle_.get();
    sqlite3_busy_handler(db, &session::on_busy, this);
    sqlite3_progress_handler(db, steps_between_looks, &session::on_progress, this);
    const sqlite_params& params = database_->params();
    int code = run(params.foreign_keys ? "PRAGMA foreign_keys=ON" : "PRAGMA foreign_keys=OFF");
    if (code == SQLITE_OK) {
        code = run(synchronous_sql(params.sync));
    }
    if (code == SQLITE_OK && !database_->in_memory() && !params.read_only) {
        code = run(params.journal_mode == journal::write_ahead ? "PRAGMA journal_mode=WAL"
                                                               : "PRAGMA journal_mode=DELETE");
    }
    // Reads the file for the first time: what is no database is refused here, not in first use.
    if (code == SQLITE_OK) {
        code = run("PRAGMA schema_version");
    }
    if (code == SQLITE_OK) {
        code = prepare_all();
    }
    // This expires what is prepared: each statement is prepared anew at its first run, and seen
    // then.
    sqlite3_set_authorizer(db, &session::on_authorize, this);
    return code;
}

int session::prepare_all() {
    for (const prepared_statement& wanted : database_->params().prepared) {
        sqlite3_stmt* made = nullptr;
        const int code = sqlite3_prepare_v3(handle_.get(), wanted.sql.data(),
                                            static_cast<int>(wanted.sql.size()),
                                            SQLITE_PREPARE_PERSISTENT, &made, nullptr);
        if (code != SQLITE_OK) {
            return code;
        }
        prepared_.emplace(wanted.name, made);
    }
    return SQLITE_OK;
}

int session::run(const char* sql) {
    return sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
}

int session::probe() {
    const int code = run("PRAGMA schema_version");
    if (code != SQLITE_OK) {
        fail(code);
    }
    return code;
}

int session::roll_back() {
    const int code = in_transaction() ? run("ROLLBACK") : SQLITE_OK;
    if (code != SQLITE_OK) {
        fail(code);
    }
    return code;
}

void session::close() noexcept {
    if (handle_ != nullptr && owner_ != ::getpid()) {
        // A forked child: closing would end the parent's locks and remove files it needs.
        for (auto& [name, statement] : prepared_) {
            static_cast<void>(statement.release());
        }
        static_cast<void>(handle_.release());
    }
    prepared_.clear();
    handle_.reset();
    file_.clear();
    changed_ = false;
    spoiled_ = false;
}

bool session::usable() const noexcept { return handle_ != nullptr && owner_ == ::getpid(); }

sqlite3_stmt* session::prepared(std::string_view name) const {
    const auto found = prepared_.find(name);
    return found == prepared_.end() ? nullptr : found->second.get();
}

void session::note_file() noexcept {
    const char* const name = sqlite3_db_filename(handle_.get(), "main");
    struct stat now {};
    if (database_->in_memory() || name == nullptr || *name == '\0' || ::stat(name, &now) != 0) {
        return;
    }
    file_ = name;
    device_ = now.st_dev;
    inode_ = now.st_ino;
}

bool session::file_is_the_one() const noexcept {
    struct stat now {};
    return file_.empty() ||
           (::stat(file_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_);
}

const resource_error& session::fail(int code) {
    spoiled_ = spoiled_ || spoils_connection(code);
    // The handle's message is that of its latest call; a code that is not its own is ours.
    const bool own = handle_ != nullptr && sqlite3_extended_errcode(handle_.get()) == code;
    error_ = make_error(code, own ? sqlite3_errmsg(handle_.get()) : "");
    return error_;
}

void session::cancel() noexcept {
    if (handle_ != nullptr) {
        // Relaxed: nothing is published by it, a wait for a lock reads it again and again.
        canceled_.store(true, std::memory_order_relaxed);
        sqlite3_interrupt(handle_.get());
    }
}

bool session::canceled() const noexcept {
    // Relaxed: only the flag itself matters.
    return canceled_.load(std::memory_order_relaxed);
}

session::use::use(session& of, std::chrono::nanoseconds timeout) noexcept : of_(of) {
    const sqlite_params& params = of.of().params();
    const resource_clock_point now = of.of().time().now();
    of_.deadline_ =
        detail::end_of_wait(now, timeout.count() != 0 ? timeout : params.command_timeout);
    of_.busy_until_ = std::min(of_.deadline_, now + params.busy_timeout);
    of_.past_deadline_ = false;
    // Relaxed: what was asked before the statement began ends no statement.
    of_.canceled_.store(false, std::memory_order_relaxed);
    of_.in_use_ = true;
}

session::use::~use() { of_.in_use_ = false; }

int session::on_progress(void* self) noexcept {
    session& s = *static_cast<session*>(self);
    s.past_deadline_ = s.in_use_ && s.of().time().now() >= s.deadline_;
    return s.past_deadline_ ? 1 : 0;
}

int session::on_busy(void* self, int tries) noexcept {
    session& s = *static_cast<session*>(self);
    if (!s.in_use_) {
        return 0;  // a task of the pool: its thread waits for nobody
    }
    if (s.canceled()) {
        return 0;
    }
    resource_time& time = s.of().time();
    const resource_clock_point now = time.now();
    if (now >= s.busy_until_) {
        s.past_deadline_ = now >= s.deadline_;
        return 0;
    }
    const auto pause = pauses[std::min(static_cast<std::size_t>(tries), pauses.size() - 1)];
    time.poll(-1, 0, std::min(s.busy_until_, now + pause));
    return 1;
}

// The signature is SQLite's. NOLINTNEXTLINE(readability-function-size)
int session::on_authorize(void* self, int action, const char* first, const char* second,
                          const char*, const char*) noexcept {
    switch (action) {
        case SQLITE_PRAGMA:
            if (second == nullptr || only_asks(first)) {
                break;
            }
            [[fallthrough]];
        case SQLITE_ATTACH:
        case SQLITE_DETACH:
        case SQLITE_CREATE_TEMP_INDEX:
        case SQLITE_CREATE_TEMP_TABLE:
        case SQLITE_CREATE_TEMP_TRIGGER:
        case SQLITE_CREATE_TEMP_VIEW: static_cast<session*>(self)->mark_changed(); break;
        default: break;
    }
    return SQLITE_OK;
}

}  // namespace ropeway::sqlite
