// SPDX-License-Identifier: Apache-2.0
//
// One open handle and what SQLite calls back into while it works: deadlines, waits for locks, and
// what a holder changed for the whole session. Owned by its connection; one thread at a time,
// except cancel().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <sys/types.h>

#include <sqlite3.h>

#include <ropeway/pool/resource_error.hpp>
#include <ropeway/pool/resource_time.hpp>
#include <ropeway/pool/sqlite/settings.hpp>

namespace ropeway::sqlite {

struct handle_closer {
    // _v2: a statement that a holder of native_handle() forgot keeps the handle, not the pool,
    // waiting.
    void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
};
using handle = std::unique_ptr<sqlite3, handle_closer>;
struct statement_finalizer {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using statement_handle = std::unique_ptr<sqlite3_stmt, statement_finalizer>;

/// What the connections of one make_connections() share. Constant after construction.
class database {
  public:
    /// @throws std::invalid_argument; std::runtime_error if memory cannot hold a database
    explicit database(sqlite_params params);

    [[nodiscard]] const sqlite_params& params() const noexcept { return params_; }
    [[nodiscard]] resource_time& time() const noexcept { return *time_; }
    [[nodiscard]] bool in_memory() const noexcept { return anchor_ != nullptr; }
    /// For sqlite3_open_v2.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

  private:
    sqlite_params params_;
    resource_time* time_;
    std::string name_;
    handle anchor_;  ///< keeps a database in memory while no connection has it open
};

class session {
  public:
    explicit session(std::shared_ptr<const database> of) noexcept : database_(std::move(of)) {}
    session(const session&) = delete;
    session& operator=(const session&) = delete;
    ~session() { close(); }

    [[nodiscard]] sqlite3* get() const noexcept { return handle_.get(); }
    /// Open, and not a forked child's copy.
    [[nodiscard]] bool usable() const noexcept;
    [[nodiscard]] const database& of() const noexcept { return *database_; }
    /// Null if there is none of that name.
    [[nodiscard]] sqlite3_stmt* prepared(std::string_view name) const;

    /// Each returns SQLite's code and leaves its error. They wait for no lock.
    int open();
    int probe();
    int roll_back();
    void close() noexcept;

    [[nodiscard]] bool file_is_the_one() const noexcept;
    [[nodiscard]] bool in_transaction() const noexcept {
        return handle_ != nullptr && sqlite3_get_autocommit(handle_.get()) == 0;
    }
    /// Something outlives the transaction that the next holder must not see.
    [[nodiscard]] bool changed() const noexcept { return changed_; }
    void mark_changed() noexcept { changed_ = true; }
    [[nodiscard]] bool spoiled() const noexcept { return spoiled_; }
    /// A canceled statement ended at its deadline, not on request.
    [[nodiscard]] bool past_deadline() const noexcept { return past_deadline_; }

    /// Ends the statement in progress, if there is one. From any thread while the handle is open.
    void cancel() noexcept;
    /// Somebody asked for that since the use in progress began.
    [[nodiscard]] bool canceled() const noexcept;

    void set_error(resource_error why) noexcept { error_ = std::move(why); }
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }
    /// The error of `code`, as make_error() words it; remembers it, and whether it spoils.
    const resource_error& fail(int code);

    /// While one lives, statements may wait and end at its deadline.
    class use {
      public:
        use(session& of, std::chrono::nanoseconds timeout) noexcept;
        use(const use&) = delete;
        use& operator=(const use&) = delete;
        ~use();

      private:
        session& of_;
    };

  private:
    static int on_progress(void* self) noexcept;
    static int on_busy(void* self, int tries) noexcept;
    static int on_authorize(void* self, int action, const char* first, const char* second,
                            const char*, const char*) noexcept;
    int configure();
    int prepare_all();
    int run(const char* sql);
    void note_file() noexcept;

    std::shared_ptr<const database> database_;
    handle handle_;
    std::map<std::string, statement_handle, std::less<>> prepared_;
    std::string file_;  ///< absolute; empty for memory
    dev_t device_ = 0;
    ino_t inode_ = 0;
    pid_t owner_ = 0;  ///< the process that opened it
    resource_clock_point deadline_{};
    resource_clock_point busy_until_{};
    bool in_use_ = false;
    bool changed_ = false;
    bool spoiled_ = false;
    bool past_deadline_ = false;
    /// For a wait for a lock, which sqlite3_interrupt() does not end.
    std::atomic<bool> canceled_{false};
    resource_error error_{};
};

}  // namespace ropeway::sqlite
