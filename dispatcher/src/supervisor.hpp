// SPDX-License-Identifier: Apache-2.0
//
// The dispatcher's one watching thread: a tick a millisecond while anything runs, parked when
// nothing does. It replaces workers that a handler holds and raises alerts. Private.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <ropeway/dispatcher/alert.hpp>
#include <ropeway/dispatcher/threading.hpp>

namespace ropeway::detail {

/// What the supervisor has told of losses: per publisher, and per publisher and subscription.
struct loss_watch {
    struct place {
        std::uint64_t lost = 0;
        std::uint64_t first = 0;  ///< of the episode
        std::uint64_t since = 0;  ///< ticks: when `lost` was seen to change last
        bool losing = false;
        bool backlogged = false;
    };
    loss_watch(std::uint32_t publishers, std::uint32_t subscriptions)
        : unwanted(publishers),
          quarantines(subscriptions),
          places(std::size_t{publishers} * subscriptions) {}

    std::uint64_t seen = 0;  ///< of engine::to_tell_
    bool again = false;      ///< an episode lasts
    std::uint64_t now = 0;   ///< ticks
    std::vector<std::uint64_t> unwanted;
    std::vector<std::uint64_t> quarantines;
    std::vector<place> places;
    std::array<alert, 256> found;  ///< in this round
    std::size_t count = 0;
};

class supervisor {
  public:
    /// Does one round; returns until when nothing needs it: the past while anything runs, max() for
    /// as long as nobody unparks it.
    using clock = steady_clock;
    using round = clock::time_point (*)(void* of) noexcept;

    static constexpr std::chrono::milliseconds tick{1};
    /// Rounds without anything running before it parks: waking it costs a worker microseconds.
    static constexpr int quiet_rounds = 100;

    /// `of` must outlive the thread. @throws std::system_error when no thread can be made.
    void start(const std::string& name, round run, void* of);
    /// Ends and joins the thread; not from the thread itself.
    void stop() noexcept;
    [[nodiscard]] bool is_this_thread() const noexcept { return is_this(thread_); }
    /// Something runs from now on. By whoever made it run, after he did.
    void unpark() noexcept {
        // seq_cst: in one order with what made it run and the supervisor's last look; see loop().
        if (parked_.load(std::memory_order_seq_cst) &&
            parked_.exchange(false, std::memory_order_seq_cst)) {
            wake_.release();
        }
    }

  private:
    void loop(round run, void* of) noexcept;
    void park(round run, void* of) noexcept;

    atomic<bool> parked_{false};
    atomic<bool> quit_{false};
    binary_semaphore wake_{0};
    thread thread_;
};

}  // namespace ropeway::detail
