// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/tick_clock.hpp>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ropeway {
namespace {

bool counter_is_invariant() noexcept {
#if defined(__x86_64__)
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    // Leaf 0x80000007, EDX bit 8: the counter runs at one rate in all power states.
    return __get_cpuid(0x80000007U, &a, &b, &c, &d) != 0 && (d & (1U << 8U)) != 0;
#else
    return false;
#endif
}

tick_calibration measure() noexcept {
    using std::chrono::steady_clock;
    tick_calibration result;
    result.counter = counter_is_invariant();
    if (!result.counter) {
        return result;
    }
    const auto wall_start = steady_clock::now();
    const std::uint64_t tick_start = tick_clock::now();
    auto wall_end = wall_start;
    do {
        wall_end = steady_clock::now();
    } while (wall_end - wall_start < std::chrono::milliseconds{2});
    const std::uint64_t ticks = tick_clock::now() - tick_start;
    const double ns = std::chrono::duration<double, std::nano>(wall_end - wall_start).count();
    result.ns_per_tick = ticks == 0 ? 1.0 : ns / static_cast<double>(ticks);
    return result;
}

}  // namespace

const bool tick_clock::use_counter_ = counter_is_invariant();

const tick_calibration& tick_clock::calibration() noexcept {
    static const tick_calibration measured = measure();
    return measured;
}

}  // namespace ropeway
