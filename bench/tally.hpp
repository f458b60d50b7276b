// SPDX-License-Identifier: Apache-2.0
//
// What every consumer of a benchmark does, ours and the references' alike: check the order, add up
// a checksum, count, and say when the last event came. Written by one thread at a time, read by the
// measuring thread after finished().
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/market_event.hpp>

#include "stopwatch.hpp"

namespace ropeway::bench {

/// Fills the fields that a feed would; `number` counts from 0.
inline void fill(market_event& event, std::uint64_t number) noexcept {
    event.kind = event_kind::trade;
    event.instrument = static_cast<std::uint32_t>(number & 1023U) + 1;
    event.price = static_cast<std::int64_t>(number) * price_scale;
    event.quantity = price_scale;
    event.exchange_id = number;
    event.user = number * 3 + 1;
}

/// Sum of `user` over the first `events` events.
[[nodiscard]] constexpr std::uint64_t checksum_of(std::uint64_t events) noexcept {
    return 3 * (events * (events - 1) / 2) + events;
}

/// One consumer's count; a block of its own.
class alignas(cache_block) tally {
  public:
    explicit tally(std::uint64_t expected) noexcept : expected_(expected) {}

    void take(const market_event& event) noexcept {
        out_of_order_ += event.exchange_id != next_ ? 1U : 0U;
        sum_ += event.user;
        if (++next_ == expected_) {
            // Release pairs with finished(): the sums are visible.
            finished_.store(1, std::memory_order_release);
        }
    }
    [[nodiscard]] bool finished() const noexcept {
        return finished_.load(std::memory_order_acquire) != 0;  // pairs with take()
    }
    /// After finished(), or when nothing more can come: appends what is wrong to `faults`.
    void check(const std::string& who, std::vector<std::string>& faults) const {
        if (next_ != expected_) {
            faults.push_back(who + ": " + std::to_string(next_) + " events instead of " +
                             std::to_string(expected_));
        }
        if (out_of_order_ != 0) {
            faults.push_back(who + ": " + std::to_string(out_of_order_) + " events out of order");
        }
        if (sum_ != checksum_of(expected_)) {
            faults.push_back(who + ": checksum " + std::to_string(sum_) + " instead of " +
                             std::to_string(checksum_of(expected_)));
        }
    }

  private:
    std::uint64_t expected_;
    std::uint64_t next_ = 0;
    std::uint64_t sum_ = 0;
    std::uint64_t out_of_order_ = 0;
    std::atomic<std::uint32_t> finished_{0};
};

/// Waits until all of some tallies, or of what has one, have finished, at most `seconds`; false
/// when that was not enough.
template <class Consumer>
[[nodiscard]] bool wait_for_all(const std::deque<Consumer>& consumers, double seconds) {
    const stopwatch since;
    for (const Consumer& one : consumers) {
        patience waiting;
        while (!one.finished()) {
            if (since.seconds() > seconds) {
                return false;
            }
            waiting.wait();
        }
    }
    return true;
}

}  // namespace ropeway::bench
