// SPDX-License-Identifier: Apache-2.0
//
// The coarse clock's origin is its first advance; a write is saved where the millisecond is the
// same.
#include <ropeway/pool/coarse_clock.hpp>

#include <chrono>

namespace ropeway {

std::uint32_t advance_coarse_clock() noexcept {
    using clock = std::chrono::steady_clock;
    static const clock::time_point origin = clock::now();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - origin);
    const auto now = static_cast<std::uint32_t>(ms.count());
    if (now != coarse_now_ms()) {
        // relaxed: see coarse_now_ms; two threads may write in either order, a millisecond apart
        detail::coarse_clock.stamp.store(std::uint64_t{now} << detail::coarse_stamp_shift,
                                         std::memory_order_relaxed);
    }
    return now;
}

}  // namespace ropeway
