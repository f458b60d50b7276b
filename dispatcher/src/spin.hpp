// SPDX-License-Identifier: Apache-2.0
//
// Waiting without a lock: pauses first, then the processor is given up, then short sleeps. Each
// poll of a shared word costs its owner a line transfer, so polls are kept apart. Private.
#pragma once

#include <chrono>
#include <cstdint>

#include <ropeway/dispatcher/params.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/end_of_wait.hpp>

namespace ropeway::detail {

/// When a wait of that length ends that begins now.
[[nodiscard]] inline std::chrono::steady_clock::time_point end_of_wait(
    std::chrono::nanoseconds wait) noexcept {
    return end_of_wait(steady_clock::now(), wait);
}

/// About 20 pauses between the first polls, then yields (some milliseconds: a sleep of 50 us lasts
/// longer than a worker lingers, and the two would fall into step), then sleeps.
class backoff {
  public:
    void pause() noexcept {
        ++polls_;
        if (polls_ < spins) {
            relax(20);
        } else if (polls_ < yields) {
            give_up_turn();
        } else {
            sleep_for(std::chrono::microseconds{50});
        }
    }
    /// True once waiting has become long enough to look at a clock.
    [[nodiscard]] bool slow() const noexcept { return polls_ >= spins; }

  private:
    // A simulation needs no patience.
    static constexpr std::uint32_t spins = is_simulated ? 4 : 200;
    static constexpr std::uint32_t yields = is_simulated ? 20 : 20'000;
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
                sleep_for(std::chrono::microseconds{50});
            } else {
                give_up_turn();
            }
            return;
        }
        // Who spins wants to see an event at once; the others leave the publisher its lines.
        relax(how_ == wait_strategy::spin ? 1 : 8);
    }

  private:
    static constexpr std::uint32_t pauses = 1'000;
    static constexpr std::uint32_t sleeps = 3'000;
    wait_strategy how_;
    std::uint32_t looks_ = 0;
};

}  // namespace ropeway::detail
