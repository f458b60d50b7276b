// SPDX-License-Identifier: Apache-2.0
//
// Waiting without a lock: pauses first, then the processor is given up, then short sleeps. Each
// poll of a shared word costs its owner a line transfer, so polls are kept apart. Private.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

#include <ropeway/dispatcher/params.hpp>

namespace ropeway::detail {

inline void cpu_relax() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    std::this_thread::yield();
#endif
}

/// When a wait of that length ends; one too long for the clock never does.
[[nodiscard]] inline std::chrono::steady_clock::time_point end_of_wait(
    std::chrono::nanoseconds wait) noexcept {
    using clock = std::chrono::steady_clock;
    const auto now = clock::now();
    return wait > clock::time_point::max() - now ? clock::time_point::max() : now + wait;
}

/// About 20 pauses between the first polls, then yields (some milliseconds: a sleep of 50 us lasts
/// longer than a worker lingers, and the two would fall into step), then sleeps.
class backoff {
  public:
    void pause() noexcept {
        ++polls_;
        if (polls_ < spins) {
            for (int i = 0; i < 20; ++i) {
                cpu_relax();
            }
        } else if (polls_ < yields) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
    }
    /// True once waiting has become long enough to look at a clock.
    [[nodiscard]] bool slow() const noexcept { return polls_ >= spins; }

  private:
    static constexpr std::uint32_t spins = 200;
    static constexpr std::uint32_t yields = 20'000;
    std::uint32_t polls_ = 0;
};

/// What a worker does between two looks that found nothing.
class idle_wait {
  public:
    explicit idle_wait(wait_strategy how) noexcept : how_(how) {}
    void reset() noexcept { looks_ = 0; }
    void pause() noexcept {
        looks_ += looks_ < sleeps ? 1 : 0;
        if (how_ == wait_strategy::yield || (how_ == wait_strategy::backoff && looks_ > pauses)) {
            if (how_ == wait_strategy::backoff && looks_ == sleeps) {
                std::this_thread::sleep_for(std::chrono::microseconds{50});
            } else {
                std::this_thread::yield();
            }
            return;
        }
        for (int i = 0; i < 8; ++i) {
            cpu_relax();
        }
    }

  private:
    static constexpr std::uint32_t pauses = 1'000;
    static constexpr std::uint32_t sleeps = 3'000;
    wait_strategy how_;
    std::uint32_t looks_ = 0;
};

}  // namespace ropeway::detail
