// SPDX-License-Identifier: Apache-2.0
//
// How late this machine wakes a thread that sleeps to a deadline, measured while something else is:
// what no program can do better. One owner; its thread ends with it.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

namespace ropeway::bench {

class jitter_watch {
  public:
    jitter_watch() : thread_([this](const std::stop_token& stop) { watch(stop); }) {}

    /// Ends the watch. @return the p99 of the lateness, in ms; 0 if nothing was seen.
    [[nodiscard]] double p99_ms() {
        if (thread_.joinable()) {
            thread_.request_stop();
            thread_.join();
        }
        std::sort(late_.begin(), late_.end());
        return late_.empty() ? 0 : late_[(late_.size() * 99 + 99) / 100 - 1];
    }

  private:
    using clock = std::chrono::steady_clock;

    void watch(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const clock::time_point due = clock::now() + std::chrono::milliseconds{5};
            std::this_thread::sleep_until(due);
            late_.push_back(std::chrono::duration<double, std::milli>(clock::now() - due).count());
        }
    }

    std::vector<double> late_{};  ///< the thread's until it is joined
    std::jthread thread_;         ///< last: it uses what stands above
};

}  // namespace ropeway::bench
