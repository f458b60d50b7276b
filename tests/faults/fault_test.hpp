// SPDX-License-Identifier: Apache-2.0
//
// What every fault injection uses: a pool of PostgreSQL connections whose events are recorded, how
// late this machine itself is, and the proof that nothing was left behind.
#pragma once

#include "child_process.hpp"
#include "fault_proxy.hpp"
#include "host_jitter.hpp"
#include "postgres_test.hpp"

#include <ropeway/pool/postgres.hpp>
#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/runtime/logging.hpp>
#include <ropeway/runtime/pool_log.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace ropeway_test {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using pg_pool = ropeway::resource_pool<ropeway::postgres::connection>;
using ropeway::close_reason;
using ropeway::resource_error_kind;
using ropeway::resource_event_kind;

/// One event of a pool, kept beyond the call that told it.
struct seen_event {
    resource_event_kind kind{};
    std::uint64_t resource = 0;
    std::uint64_t count = 0;
    std::uint64_t limit = 0;
    std::chrono::nanoseconds lasted{};
    close_reason reason{};
    std::pair<ropeway::pool_state, ropeway::pool_state> state{};
    std::pair<ropeway::liveness_state, ropeway::liveness_state> liveness{};
    resource_error_kind error = resource_error_kind::none;
    std::string code{};
    std::string text{};
    steady::time_point at{};
};

/// The events of one pool. Thread safety: all functions from any thread.
class seen_events {
  public:
    void add(const ropeway::resource_event& event);
    [[nodiscard]] std::vector<seen_event> all() const;
    [[nodiscard]] std::vector<seen_event> of(resource_event_kind kind) const;
    [[nodiscard]] std::size_t count(resource_event_kind kind) const { return of(kind).size(); }
    [[nodiscard]] std::size_t closed(close_reason reason) const;
    [[nodiscard]] bool wait_for(resource_event_kind kind, std::size_t times = 1,
                                std::chrono::milliseconds limit = patience) const;
    /// Everything in lines, for a failure's text.
    [[nodiscard]] std::string text() const;
    void clear();

  private:
    mutable std::mutex guard_;
    std::vector<seen_event> events_{};  // guarded by guard_
};

/// The lines that the runtime's log wrote of one pool. Thread safety: as above.
class log_lines {
  public:
    void add(std::string_view line);
    /// Waits until a line holds `text`: the log has a thread of its own.
    [[nodiscard]] bool wait_for(std::string_view text,
                                std::chrono::milliseconds limit = patience) const;
    /// Whether one does now.
    [[nodiscard]] bool has(std::string_view text) const;
    [[nodiscard]] std::string text() const;

  private:
    mutable std::mutex guard_;
    std::string lines_{};  // guarded by guard_
};

struct rig_params {
    std::string url{};
    std::uint32_t min_size = 2;
    std::uint32_t max_size = 4;
    std::function<void(ropeway::resource_pool_params&)> pool{};
    std::function<void(ropeway::postgres::postgres_params&)> connection{};
};

/// A pool under test, not yet started, and what it said.
class rig {
  public:
    explicit rig(const rig_params& how);
    rig(const rig&) = delete;
    rig& operator=(const rig&) = delete;

    /// Starts it and requires that its minimum is open.
    void start();
    [[nodiscard]] pg_pool& pool() { return *pool_; }
    [[nodiscard]] pg_pool* operator->() { return pool_.get(); }
    [[nodiscard]] seen_events& seen() { return *seen_; }
    /// Everything from debug on, as the runtime words it.
    [[nodiscard]] log_lines& log() { return *log_; }
    [[nodiscard]] ropeway::postgres::settings& settings() { return *settings_; }
    /// Waits until so many are idle and none is leased. @return whether that came true
    [[nodiscard]] bool wait_idle(std::uint32_t count, std::chrono::milliseconds limit = patience);
    /// Waits until at least so many are open, none is leased, and none is on its way.
    [[nodiscard]] bool wait_calm(std::uint32_t least, std::chrono::milliseconds limit = patience);
    /// Waits until at least so many are open.
    [[nodiscard]] bool wait_total(std::uint32_t least, std::chrono::milliseconds limit = patience);

    /// Where the library's records go, for what is said on other ways than the pool's events.
    [[nodiscard]] ropeway::logger& logger() { return *logger_; }

    /// Shuts the pool down and checks that nothing is left of it: every resource that was opened is
    /// closed, each close has its event and its counter, no session at the server, no descriptor.
    /// `others`: sessions of other pools at the server; `ended`: those of them that are gone since
    /// this one was made.
    void end_without_leak(const postgres_server& server, std::size_t others = 0,
                          std::size_t ended = 0);
    /// The same of a pool that was shut down, clean or not.
    void expect_no_leak(const postgres_server& server, std::size_t others = 0,
                        std::size_t ended = 0);

  private:
    void check_books();
    [[nodiscard]] bool say_unless(bool came_true) const;

    std::size_t descriptors_before_;
    std::shared_ptr<seen_events> seen_ = std::make_shared<seen_events>();
    std::shared_ptr<log_lines> log_ = std::make_shared<log_lines>();
    std::unique_ptr<ropeway::logger> logger_;  // outlives the pool
    std::shared_ptr<ropeway::postgres::settings> settings_{};
    std::unique_ptr<pg_pool> pool_{};
};

/// Open descriptors of this process.
[[nodiscard]] std::size_t open_descriptors();
// Which they are, a line for each: what a failed count is read with.
[[nodiscard]] std::string what_is_open();

/// The value of the first field of `sql` on a lease, or the error's text.
[[nodiscard]] std::string ask(ropeway::postgres::connection& on, std::string_view sql,
                              std::chrono::nanoseconds timeout = 5s);
/// Whether a lease can be had and answers.
[[nodiscard]] bool answers(pg_pool& pool, std::chrono::nanoseconds timeout = 5s);
/// Why an acquire failed: the cause's kind where the pool itself only timed out.
[[nodiscard]] resource_error_kind why(const ropeway::pool_error& error);

[[nodiscard]] inline double in_ms(std::chrono::nanoseconds span) {
    return std::chrono::duration<double, std::milli>{span}.count();
}

}  // namespace ropeway_test
