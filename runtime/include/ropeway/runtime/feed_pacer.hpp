// SPDX-License-Identifier: Apache-2.0
//
// When a recorded event is due: maps receive stamps to a clock of now, at recorded speed times a
// factor or at once, and waits. The clock is injected, so tests wait for nothing. One pacer belongs
// to one feed thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace ropeway {

/// The clock that a pacer waits by. Implementations must not throw.
class pacing_clock {
  public:
    pacing_clock() = default;
    pacing_clock(const pacing_clock&) = delete;
    pacing_clock& operator=(const pacing_clock&) = delete;
    virtual ~pacing_clock() = default;

    /// Nanoseconds, from any fixed point; may stand still, should not fall.
    [[nodiscard]] virtual std::int64_t now_ns() noexcept = 0;
    /// Gives the processor away for about `time`.
    virtual void sleep(std::chrono::nanoseconds time) noexcept = 0;
    /// A moment's wait that keeps the processor.
    virtual void spin() noexcept = 0;
};

/// std::chrono::steady_clock and real sleeps. Any number of threads.
[[nodiscard]] pacing_clock& steady_pacing_clock() noexcept;

struct pacer_params {
    /// Times the recorded speed; 0 = full speed, nothing is ever waited for. Negative or not a
    /// number counts as 0.
    double speed = 1.0;
    /// The longest single sleep, after which the stop flag is looked at. Default: a program that
    /// is asked to stop answers within a blink. At least 1 us.
    std::chrono::nanoseconds max_slice = std::chrono::milliseconds{10};
    /// The last stretch, which is spun: a sleep of the kernel overshoots by about 50 us. More is
    /// more exact and costs more CPU; 0 = sleep only.
    std::chrono::nanoseconds spin = std::chrono::microseconds{100};
};

/// Waits until events are due. The first stamp it sees is due at once and fixes the origin; each
/// other at origin + (stamp - first) / speed, so an event that came late delays no later one. A
/// stamp below the one before is due when that one was.
///
/// Also paces a fixed rate: give it stamps of your own, i * 1e9 / rate.
///
/// Thread safety: one thread; only `stop` is shared. Allocation: none.
class replay_pacer {
  public:
    explicit replay_pacer(pacer_params params = {},
                          pacing_clock& clock = steady_pacing_clock()) noexcept;

    /// Returns when the event received at `receive_ns` is due.
    /// @return false if `stop` was set before or while waiting, at most max_slice later.
    [[nodiscard]] bool wait_until(std::int64_t receive_ns, const std::atomic<bool>& stop) noexcept;

    /// On the clock, when the latest event was due; 0 before the first and at full speed.
    [[nodiscard]] std::int64_t due_ns() const noexcept { return due_; }
    /// How much later than due wait_until() returned, latest and worst; never negative.
    [[nodiscard]] std::int64_t lateness_ns() const noexcept { return lateness_; }
    [[nodiscard]] std::int64_t max_lateness_ns() const noexcept { return max_lateness_; }

    /// Forgets the origin: the next stamp is due at once. For a file replayed in a circle.
    void restart() noexcept;

  private:
    [[nodiscard]] std::int64_t due_of(std::int64_t receive_ns) const noexcept;

    pacer_params params_;
    pacing_clock* clock_;
    bool started_ = false;
    std::int64_t first_stamp_ = 0;
    std::int64_t origin_ = 0;
    std::int64_t due_ = 0;
    std::int64_t lateness_ = 0;
    std::int64_t max_lateness_ = 0;
};

}  // namespace ropeway
