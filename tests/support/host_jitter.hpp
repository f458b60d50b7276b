// SPDX-License-Identifier: Apache-2.0
//
// How late the machine itself is, so that a test of a deadline judges the library and not the host.
// Ownership: the object owns one thread for each processor. Thread safety: lost() belongs to the
// thread that made the object.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <latch>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace ropeway_test {

/// How late the machine itself is while this lives: on each processor a thread waits for deadlines
/// and adds up by how much it misses them; and the time the asking thread was ready but did not
/// run. A host may take one processor away and leave the others, and may do so several times in one
/// call.
class host_jitter {
  public:
    /// Returns when each of its threads has run.
    host_jitter();
    host_jitter(const host_jitter&) = delete;
    host_jitter& operator=(const host_jitter&) = delete;
    ~host_jitter();
    /// All stalls so far, of all processors together: what is measured may have met each of them. A
    /// stall counts from the moment it made a thread late, also where that thread has not run
    /// since.
    [[nodiscard]] std::chrono::nanoseconds lost() const;

  private:
    /// One processor's.
    struct lateness {
        std::mutex guard{};
        std::int64_t due_ns = 0;   ///< when its thread is to run next
        std::int64_t late_ns = 0;  ///< by the deadlines before, together
    };
    void wait_for_deadlines(lateness& mine);

    std::chrono::nanoseconds began_waiting_{};
    mutable std::deque<lateness> each_{};
    std::optional<std::latch> running_{};  ///< down when each thread has run
    std::atomic<bool> ended_{false};
    std::vector<std::thread> threads_{};
};

/// How much later than `limit` a call returned, less what the machine itself was late by. For an
/// upper bound only: what is taken off is more than one call can have met.
template <class Call>
[[nodiscard]] std::chrono::nanoseconds overrun(std::chrono::nanoseconds limit, Call call) {
    const host_jitter jitter;
    const auto begun = std::chrono::steady_clock::now();
    call();
    const auto lasted = std::chrono::steady_clock::now() - begun;
    return lasted - limit - jitter.lost();
}

/// What a deadline may be missed by.
inline constexpr std::chrono::milliseconds allowed_overrun{5};

}  // namespace ropeway_test
