// SPDX-License-Identifier: Apache-2.0
//
// Masks of a ring, 64 places at a time and turned: each subscription that named instruments finds
// its bits of all of them in one word. A worker's own: the first of its subscriptions that needs a
// window turns it, the others behind only read. Private.
//
// A position is stamped before its commit, and its place not again before every cursor has passed
// it; so what was read here stays right for whoever's cursor still stands before it, and one that
// was lapped meanwhile fails its claim.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include <ropeway/dispatcher/ring.hpp>

namespace ropeway::detail {

/// Turns a square of bits: afterwards bit i of rows[n] is what bit n of rows[i] was.
inline void transpose(std::array<std::uint64_t, 64>& rows) noexcept {
    std::uint64_t low = 0x0000'0000'FFFF'FFFF;
    for (std::uint32_t half = 32; half != 0; half >>= 1U, low ^= low << half) {
        for (std::uint32_t k = 0; k != 64; k = (k + half + 1) & ~half) {
            const std::uint64_t swapped = ((rows[k] >> half) ^ rows[k + half]) & low;
            rows[k] ^= swapped << half;
            rows[k + half] ^= swapped;
        }
    }
}

class mask_windows {
  public:
    static constexpr std::uint32_t places = 64;
    /// Fewer places than these are read one by one.
    static constexpr std::uint32_t worth_turning = 4;

    /// Which ring a window is of.
    struct source {
        const ring* places = nullptr;
        std::uint64_t tail = 0;  ///< committed up to here, as the caller saw it
    };

    /// How many places from `first` on lie in its window.
    [[nodiscard]] static std::uint32_t rest(std::uint64_t first) noexcept {
        return places - static_cast<std::uint32_t>(first % places);
    }

    /// A bit for each of the places [first, first + count) of one window, all before the tail.
    [[nodiscard]] std::uint64_t wanted(const source& of, std::uint64_t first, std::uint32_t count,
                                       std::uint32_t subscription) noexcept {
        const std::uint64_t number = first / places;
        window& kept = windows_[number % windows_.size()];
        if (kept.of != of.places || kept.number != number || kept.upto < first + count)
            [[unlikely]] {
            fill(kept, of, number);
        }
        const std::uint64_t mine = kept.rows[subscription] >> first % places;
        return count == places ? mine : mine & ((std::uint64_t{1} << count) - 1);
    }

  private:
    struct window {
        const ring* of = nullptr;
        std::uint64_t number = 0;
        std::uint64_t upto = 0;                  ///< places before this were committed
        std::array<std::uint64_t, places> rows;  ///< of each subscription
    };

    [[gnu::noinline]] void fill(window& kept, const source& of, std::uint64_t number) noexcept {
        const std::uint64_t begin = number * places;
        kept.of = of.places;
        kept.number = number;
        kept.upto = std::min(begin + places, of.tail);
        kept.rows.fill(0);
        for (std::uint64_t at = begin; at != kept.upto; ++at) {
            // Relaxed: ordered by the tail.
            kept.rows[at - begin] =
                of.places->masks[at & of.places->mask].load(std::memory_order_relaxed);
        }
        transpose(kept.rows);
    }

    std::array<window, 8> windows_;
};
static_assert(max_live_subscriptions == mask_windows::places);

}  // namespace ropeway::detail
