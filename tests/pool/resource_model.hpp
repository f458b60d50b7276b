// SPDX-License-Identifier: Apache-2.0
//
// What a resource pool must say, as a sequential model: who waits in which order, what is lent,
// what was counted, and what its events may tell. It knows nothing of the pool's insides. Owned by
// one run; one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/pool/resource_event.hpp>
#include <ropeway/pool/resource_pool_params.hpp>
#include <ropeway/pool/resource_stats.hpp>

namespace ropeway_test {

using ropeway::resource_clock_point;

/// The pool is not as the model says.
class model_failure : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};
inline void expect(bool holds, const std::string& what) {
    if (!holds) {
        throw model_failure{what};
    }
}
template <class A, class B>
void expect_equal(const A& found, const B& expected, const std::string& what) {
    expect(std::cmp_equal(found, expected),
           what + " is " + std::to_string(found) + ", the model says " + std::to_string(expected));
}

/// A call of acquire() that has not ended.
struct model_waiter {
    std::uint64_t id = 0;
    bool priority = false;
    resource_clock_point deadline{};
    bool queued = false;  ///< it stands in the pool's queue, rather than probing what it took
};

/// One connection that was lent.
struct model_connection {
    resource_clock_point opened_at{};
    std::uint64_t leases = 0;
};

class resource_model {
  public:
    explicit resource_model(const ropeway::resource_pool_params& params) : params_(params) {}

    // Calls.
    void begins(model_waiter who);
    /// `who` waits in the pool's queue.
    void queues(std::uint64_t who);
    /// `who` got connection `number`. `fair`: the order of waiters counts (no connection died in
    /// somebody's hands lately).
    void gets(std::uint64_t who, std::uint64_t number, resource_clock_point now, bool fair);
    void fails(std::uint64_t who, ropeway::resource_error_kind kind, resource_clock_point now);
    /// try_acquire() got it.
    void gets_at_once(std::uint64_t number, resource_clock_point now);
    void gives_back(std::uint64_t number, resource_clock_point now);

    // Orders to the pool.
    void resized(std::uint32_t min_size, std::uint32_t max_size);
    void suspended(bool is) { suspended_ = is; }
    void shut_down() { closed_ = true; }
    /// Opens fail with an error that trying again does not mend.
    void fail_fast_possible(bool is) { fail_fast_ = is; }

    /// What the observer is told.
    void told(const ropeway::resource_event& event, resource_clock_point now);

    /// After each operation, when nothing is due at this instant.
    void check(const ropeway::resource_snapshot& found, resource_clock_point now) const;
    /// The server has been well for long enough.
    void check_rested(const ropeway::resource_snapshot& found) const;

    [[nodiscard]] std::size_t waiting() const noexcept { return queue_.size(); }
    [[nodiscard]] std::size_t held() const noexcept { return held_.size(); }
    [[nodiscard]] bool is_suspended() const noexcept { return suspended_; }
    [[nodiscard]] bool is_closed() const noexcept { return closed_; }
    [[nodiscard]] std::uint32_t min_size() const noexcept { return params_.min_size; }
    [[nodiscard]] std::uint32_t max_size() const noexcept { return params_.max_size; }
    [[nodiscard]] std::uint32_t largest_max() const noexcept { return largest_max_; }
    [[nodiscard]] std::uint64_t acquired() const noexcept { return acquired_; }
    [[nodiscard]] std::uint64_t timeouts() const noexcept { return timeouts_; }
    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    [[nodiscard]] std::uint64_t leaks_told() const noexcept { return leaks_told_; }

  private:
    void lend(std::uint64_t number, resource_clock_point now);
    /// `later` came before `first`, although that one stood first.
    [[nodiscard]] bool overtakes(const model_waiter& later, const model_waiter& first,
                                 resource_clock_point now) const;
    /// A call that was overtaken, unless it gets one at the same instant.
    struct overtaken {
        std::uint64_t first = 0;
        std::uint64_t by = 0;
        resource_clock_point when{};
    };
    void leaves_queue(std::uint64_t who);
    void told_of_resource(const ropeway::resource_event& event, resource_clock_point now);
    /// Leases that must have been, and those that may have been, reported as leaks by `now`.
    [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> leaks(resource_clock_point now) const;
    void count_leak(std::chrono::nanoseconds held, std::uint64_t& must, std::uint64_t& may) const;

    ropeway::resource_pool_params params_;
    std::uint32_t largest_max_ = params_.max_size;
    bool suspended_ = false;
    bool closed_ = false;
    bool fail_fast_ = false;
    std::vector<model_waiter> queue_{};  ///< in the order in which they are to be served
    std::vector<overtaken> overtaken_{};
    std::map<std::uint64_t, resource_clock_point> held_{};  ///< since when, by connection
    std::map<std::uint64_t, model_connection> connections_{};
    std::uint64_t acquired_ = 0;
    std::uint64_t released_ = 0;
    std::uint64_t timeouts_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t leaks_must_ = 0;  ///< of leases that came back
    std::uint64_t leaks_may_ = 0;
    // Told by events.
    std::map<std::uint64_t, resource_clock_point> open_{};  ///< since when, by the pool's number
    std::map<std::uint64_t, bool> seen_{};                  ///< numbers ever told as opened
    std::uint64_t opened_told_ = 0;
    std::uint64_t closed_told_ = 0;
    std::uint64_t leaks_told_ = 0;
    std::uint64_t leaks_over_ = 0;
    ropeway::pool_state state_ = ropeway::pool_state::initializing;
    ropeway::liveness_state liveness_ = ropeway::liveness_state::connecting;
};

}  // namespace ropeway_test
