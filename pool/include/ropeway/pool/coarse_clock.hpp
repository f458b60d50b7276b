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
    std::atomic<std::uint64_t> stamp{0};  ///< the milliseconds, where a header's meta keeps them
};
inline constinit coarse_clock_cell coarse_clock;
inline constexpr unsigned coarse_stamp_shift = 32;
}  // namespace detail

/// The coarse time as the part of a header's meta that it is (see slot.hpp).
[[nodiscard]] inline std::uint64_t coarse_now_stamp() noexcept {
    // relaxed: a stamp for reports; nothing is ordered by it
    return detail::coarse_clock.stamp.load(std::memory_order_relaxed);
}

/// Milliseconds since the clock was first advanced, modulo 2^32 (49 days); as old as the last
/// advance_coarse_clock(). Never allocates.
[[nodiscard]] inline std::uint32_t coarse_now_ms() noexcept {
    return static_cast<std::uint32_t>(coarse_now_stamp() >> detail::coarse_stamp_shift);
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
