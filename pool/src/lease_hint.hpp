// SPDX-License-Identifier: Apache-2.0
//
// What a thread remembers of the pools it leased from lately: its last slot, and its cells for hold
// times. Four places; pools that meet in one overwrite each other, which costs a scan.
#pragma once

#include <array>
#include <cstdint>

namespace ropeway::detail {

struct alignas(32) lease_hint {
    std::uint64_t pool = 0;   ///< its id; 0: nothing is known
    std::uint32_t slot = 0;   ///< the last one leased
    std::uint32_t cells = 0;  ///< see hold_times::adopt
    std::uint32_t left = 0;   ///< leases until the next one that is timed
};

inline thread_local constinit std::array<lease_hint, 4> lease_hints{};

[[nodiscard]] inline lease_hint& hint_for(std::uint64_t pool) noexcept {
    return lease_hints[pool & 3];
}

}  // namespace ropeway::detail
