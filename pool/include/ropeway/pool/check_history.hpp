// SPDX-License-Identifier: Apache-2.0
//
// The last checks of one slot, a bit each, and what follows from them: a slot whose resource fails
// again and again rests, is tried again, and comes back or rests once more. Pure: the clock is
// handed in. Owned by the slot; not thread-safe: its pool's I/O thread alone uses it.
//
//             enough failures                  rest over: due(), one check
//   in use ─────────────────────► resting ─────────────────────────────────► fails: resting
//      ▲                                                                         succeeds
//      └─────────────────────────── history forgotten ◄─────────────────────────────┘
//
// What fails while everything fails speaks of the other end, not of the slot: a pool that is lost
// forgets its slots' histories and records no failed open, or slots would rest when the end is
// back.
#pragma once

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>

#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/resource_pool_params.hpp>

namespace ropeway {

/// What one check changed.
enum class quarantine_change : std::uint8_t {
    none,      ///< in use before and after
    entered,   ///< it rests from now on
    extended,  ///< tried again, failed again: it rests once more
    left,      ///< tried again and well: in use, its history forgotten
};

class check_history {
  public:
    /// Records a check. Requires params that are checked(); while resting, only once it is due().
    quarantine_change record(bool succeeded, const resource_quarantine_params& params,
                             resource_clock_point now) noexcept {
        bits_ = (bits_ << 1) | (succeeded ? 0U : 1U);
        size_ = static_cast<std::uint8_t>(std::min<std::uint32_t>(size_ + 1U, 64U));
        if (resting_) {
            if (succeeded) {
                *this = check_history{};
                return quarantine_change::left;
            }
            until_ = now + params.rest;
            return quarantine_change::extended;
        }
        if (succeeded || params.failures == 0 || failures(params.history) < params.failures) {
            return quarantine_change::none;
        }
        resting_ = true;
        until_ = now + params.rest;
        return quarantine_change::entered;
    }

    /// As new: for all slots at once when everything failed, which was no slot's fault.
    void forget() noexcept { *this = check_history{}; }

    /// In quarantine, whether it is due to be tried again or not.
    [[nodiscard]] bool resting() const noexcept { return resting_; }
    /// In quarantine and to be tried again.
    [[nodiscard]] bool due(resource_clock_point now) const noexcept {
        return resting_ && now >= until_;
    }
    /// When it is due; meaningful while resting.
    [[nodiscard]] resource_clock_point until() const noexcept { return until_; }
    /// Checks remembered, at most 64.
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    /// Failures among the last `history` (1..64) checks.
    [[nodiscard]] std::uint32_t failures(std::uint32_t history) const noexcept {
        return static_cast<std::uint32_t>(
            std::popcount(bits_ & (~std::uint64_t{0} >> (64 - history))));
    }
    /// The last checks, the latest in bit 0; set: failed.
    [[nodiscard]] std::uint64_t bits() const noexcept { return bits_; }

  private:
    std::uint64_t bits_ = 0;
    resource_clock_point until_{};
    std::uint8_t size_ = 0;
    bool resting_ = false;
};
static_assert(sizeof(check_history) <= 24);  // a slot's budget is 256 bytes in all

}  // namespace ropeway
