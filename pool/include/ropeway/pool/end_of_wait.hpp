// SPDX-License-Identifier: Apache-2.0
//
// When a wait ends: a caller's duration added to a time without running over the clock's end. Pure;
// any thread. For the library's own use.
#pragma once

#include <algorithm>
#include <chrono>
#include <ratio>

namespace ropeway::detail {

/// The time at which a wait of that length ends, if it begins at `from`. One that is negative ends
/// at once; one that is too long for the clock (a duration's max() says "for ever") never does: the
/// result is the clock's last time.
template <class Rep, class Period>
requires std::ratio_greater_equal_v<Period, std::chrono::steady_clock::period>
[[nodiscard]] constexpr std::chrono::steady_clock::time_point end_of_wait(
    std::chrono::steady_clock::time_point from, std::chrono::duration<Rep, Period> wait) noexcept {
    using clock = std::chrono::steady_clock;
    using given = std::chrono::duration<Rep, Period>;
    if (wait <= given::zero()) {
        return from;
    }
    // Measured in the caller's units: its longest wait does not fit into the clock's. A clock that
    // stands before its origin has room for any wait.
    const clock::duration room = clock::time_point::max() - std::max(from, clock::time_point{});
    return wait >= std::chrono::duration_cast<given>(room)
               ? clock::time_point::max()
               : from + std::chrono::duration_cast<clock::duration>(wait);
}

}  // namespace ropeway::detail
