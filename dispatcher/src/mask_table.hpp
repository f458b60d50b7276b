// SPDX-License-Identifier: Apache-2.0
//
// Which subscriptions may want an event, by its instrument and kind: one bit for each subscription
// that named instruments, so that a publisher asks once and every worker tests a bit. Bits of all
// others are set. Immutable; replaced as a whole. Private.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ropeway/consumer/stats.hpp>

namespace ropeway::detail {

class mask_table {
  public:
    /// `wanted`: instrument and the bit of a subscription that named it, in any order. `choosy`:
    /// the bits of all subscriptions that named instruments. `kinds`: for each kind the bits of
    /// those who want it, all others set.
    mask_table(std::vector<std::pair<std::uint32_t, std::uint64_t>> wanted, std::uint64_t choosy,
               const std::array<std::uint64_t, max_event_kinds>& kinds)
        : others_(~choosy), kinds_(kinds) {
        std::sort(wanted.begin(), wanted.end());
        const std::uint32_t highest = wanted.empty() ? 0 : wanted.back().first;
        if (highest < dense_below) {
            dense_.assign(std::size_t{highest} + 1, others_);
        }
        for (const auto& [instrument, bit] : wanted) {
            if (highest < dense_below) {
                dense_[instrument] |= bit;
            } else if (sparse_.empty() || sparse_.back().first != instrument) {
                sparse_.emplace_back(instrument, others_ | bit);
            } else {
                sparse_.back().second |= bit;
            }
        }
    }

    /// Bits of the subscriptions that may want it. An event without an instrument goes to all.
    [[nodiscard]] std::uint64_t mask(std::uint32_t instrument, std::uint32_t kind) const noexcept {
        return of(instrument) & kinds_[kind_index(kind)];
    }

  private:
    /// Instruments up to here are looked up by index: at most 512 KiB.
    static constexpr std::uint32_t dense_below = 65536;

    [[nodiscard]] std::uint64_t of(std::uint32_t instrument) const noexcept {
        if (instrument == 0) {
            return ~std::uint64_t{0};
        }
        if (instrument < dense_.size()) [[likely]] {
            return dense_[instrument];
        }
        const auto at = std::lower_bound(
            sparse_.begin(), sparse_.end(), instrument,
            [](const auto& entry, std::uint32_t wanted) { return entry.first < wanted; });
        return at != sparse_.end() && at->first == instrument ? at->second : others_;
    }

    std::uint64_t others_;
    std::array<std::uint64_t, max_event_kinds> kinds_;
    std::vector<std::uint64_t> dense_{};
    std::vector<std::pair<std::uint32_t, std::uint64_t>> sparse_{};  ///< sorted
};

}  // namespace ropeway::detail
