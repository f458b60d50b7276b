// SPDX-License-Identifier: Apache-2.0
//
// Arrivals at a fixed rate, whoever is late: an event's time counts from when it was due, not from
// when a late publisher got round to it, so that a stall shows in every event that it delayed. Used
// by the publishing thread.
#pragma once

#include <sched.h>

#include <cstddef>
#include <cstdint>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/tick_clock.hpp>

namespace ropeway::bench {

class open_loop {
  public:
    explicit open_loop(double per_second) noexcept
        : period_(1e9 / per_second / tick_clock::calibration().ns_per_tick),
          start_(tick_clock::now() + static_cast<std::uint64_t>(lead * period_)) {}

    /// Waits until event `number` is due; returns when that was, in ticks.
    std::uint64_t wait_for(std::uint64_t number) const noexcept {
        const std::uint64_t due =
            start_ + static_cast<std::uint64_t>(static_cast<double>(number) * period_);
        while (tick_clock::now() < due) {
            spin_pause();
        }
        return due;
    }

  private:
    static constexpr double lead = 10;  // events' time before the first is due
    double period_;                     ///< ticks
    std::uint64_t start_;
};

/// Keeps the calling thread on one of the processors that it may use, the n-th, as long as this
/// lives; where there is no such one, does nothing.
class pinned_to {
  public:
    explicit pinned_to(unsigned n) noexcept {
        if (sched_getaffinity(0, sizeof(before_), &before_) != 0) {
            return;
        }
        for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
            if (CPU_ISSET(cpu, &before_) && n-- == 0) {
                cpu_set_t one;
                CPU_ZERO(&one);
                CPU_SET(cpu, &one);
                pinned_ = sched_setaffinity(0, sizeof(one), &one) == 0;
                return;
            }
        }
    }
    pinned_to(const pinned_to&) = delete;
    pinned_to& operator=(const pinned_to&) = delete;
    ~pinned_to() {
        if (pinned_) {
            sched_setaffinity(0, sizeof(before_), &before_);
        }
    }

  private:
    cpu_set_t before_{};
    bool pinned_ = false;
};

}  // namespace ropeway::bench
