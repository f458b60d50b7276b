// SPDX-License-Identifier: Apache-2.0
//
// Raises the routing version at a steady rate on a thread of its own, and says which version was
// the last whose flip had returned. start() and end() from one thread; the rest from any.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <thread>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/dispatcher/dispatcher.hpp>

namespace ropeway::soak {

class flipper {
  public:
    /// The version of the last flip that is done; 0 before the first.
    [[nodiscard]] const std::atomic<std::uint64_t>& announced() const noexcept {
        return announced_;
    }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_.get(); }

    /// Flips `on` until end(); a rate of 0 never does. `on` must live until then.
    void start(dispatcher<market_event>& on, double per_second) {
        if (per_second > 0.0) {
            thread_ = std::jthread{[this, &on, per_second](const std::stop_token& stop) {
                run(on, per_second, stop);
            }};
        }
    }
    void end() { thread_ = {}; }

  private:
    using steady = std::chrono::steady_clock;

    void run(dispatcher<market_event>& on, double per_second, const std::stop_token& stop) {
        const std::chrono::duration<double> period{1.0 / per_second};
        const auto began = steady::now();
        for (std::uint64_t n = 1;; ++n) {
            const auto due = began + std::chrono::duration_cast<steady::duration>(
                                         period * static_cast<double>(n));
            for (auto now = steady::now(); now < due; now = steady::now()) {
                if (stop.stop_requested()) {
                    return;
                }
                std::this_thread::sleep_for(
                    std::min<steady::duration>(due - now, std::chrono::milliseconds{20}));
            }
            if (stop.stop_requested()) {
                return;
            }
            // Release pairs with the consumers' acquire: announced only when the flip is done.
            announced_.store(on.flip(), std::memory_order_release);
            count_.add(1);
        }
    }

    std::atomic<std::uint64_t> announced_{0};  ///< written by the thread only
    counter_cell count_;                       ///< written by the thread only
    std::jthread thread_;
};

}  // namespace ropeway::soak
