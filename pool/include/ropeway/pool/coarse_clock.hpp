// SPDX-License-Identifier: Apache-2.0
//
// A millisecond clock that costs one load: slots are stamped with it. It stands still until someone
// advances it, which batch-level code (workers, refills, reports) does. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include <ropeway/pool/cache_line.hpp>

namespace ropeway {

namespace detail {
struct alignas(cache_block) coarse_clock_cell {
    std::atomic<std::uint32_t> now_ms{0};
};
inline constinit coarse_clock_cell coarse_clock;
}  // namespace detail

/// Milliseconds since the clock was first advanced, modulo 2^32 (49 days); as old as the last
/// advance_coarse_clock(). Never allocates.
[[nodiscard]] inline std::uint32_t coarse_now_ms() noexcept {
    // relaxed: a stamp for reports; nothing is ordered by it
    return detail::coarse_clock.now_ms.load(std::memory_order_relaxed);
}

/// Reads the steady clock (about 20 ns) and writes the coarse one if it moved. Any thread.
/// @return the new coarse time.
std::uint32_t advance_coarse_clock() noexcept;

/// Milliseconds from `then_ms` to `now_ms`, right across the wrap.
[[nodiscard]] constexpr std::uint32_t coarse_age_ms(std::uint32_t now_ms,
                                                    std::uint32_t then_ms) noexcept {
    return now_ms - then_ms;
}

}  // namespace ropeway
