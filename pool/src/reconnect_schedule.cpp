// SPDX-License-Identifier: Apache-2.0
//
// Back-off as a function of the try's number, one random number and who waits. Pure.
#include <ropeway/pool/reconnect_schedule.hpp>

#include <algorithm>
#include <cstddef>

#include "range_check.hpp"

namespace ropeway {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr milliseconds longest{3'600'000};

std::uint32_t quick_tries(const reconnect_params& params) noexcept {
    std::size_t size = params.quick.size();
    while (size != 0 && params.quick[size - 1].count() == 0) {
        --size;
    }
    return static_cast<std::uint32_t>(size);
}

nanoseconds doubled(const reconnect_params& params, std::uint32_t times) noexcept {
    // base >= 1 ms and cap <= 1 h: 22 doublings reach the cap, later ones could only overflow.
    const milliseconds delay{params.base.count() << std::min(times, 22U)};
    return std::min(delay, params.cap);
}

nanoseconds scaled(nanoseconds delay, double factor) noexcept {
    return nanoseconds{static_cast<nanoseconds::rep>(static_cast<double>(delay.count()) * factor)};
}

nanoseconds jittered(const reconnect_params& params, nanoseconds delay, double random) noexcept {
    switch (params.jitter) {
        case jitter_kind::none: break;
        case jitter_kind::plus_minus:
            return scaled(delay, 1.0 + params.jitter_factor * (2.0 * random - 1.0));
        case jitter_kind::additive:
            return std::min<nanoseconds>(scaled(delay, 1.0 + params.jitter_factor * random),
                                         params.cap);
        case jitter_kind::full: return scaled(delay, random);
    }
    return delay;
}

/// SplitMix64: one addition and three mixes; every seed is a good one, zero too.
std::uint64_t mixed(std::uint64_t& state) noexcept {
    std::uint64_t z = (state += 0x9E37'79B9'7F4A'7C15U);
    z = (z ^ (z >> 30)) * 0xBF58'476D'1CE4'E5B9U;
    z = (z ^ (z >> 27)) * 0x94D0'49BB'1331'11EBU;
    return z ^ (z >> 31);
}

}  // namespace

namespace detail {

void require_legal(const reconnect_params& params, const std::string& prefix) {
    require_in(prefix + "base", params.base, {milliseconds{1}, longest},
               "Begin with about a second; quick tries come before it");
    require_in(prefix + "cap", params.cap, {params.base, longest},
               "Make the cap at least the first delay; 16 s recovers within 30 s");
    for (const milliseconds quick : params.quick) {
        require_in(prefix + "quick", quick, {milliseconds{0}, longest},
                   "Use zero for a quick try that is not wanted");
    }
    require_share(prefix + "jitter_factor", params.jitter_factor, 0.5,
                  "0.1 keeps many pools from trying all at once");
    require_in(prefix + "while_waiting", params.while_waiting, {milliseconds{0}, longest},
               "Use zero where waiting callers make no difference");
}

}  // namespace detail

reconnect_schedule::reconnect_schedule(const reconnect_params& params, std::uint64_t seed)
    : params_(params), random_(seed) {
    detail::require_legal(params, "reconnect.");
}

nanoseconds reconnect_schedule::delay(const reconnect_params& params, std::uint32_t attempt,
                                      double random, bool somebody_waits) noexcept {
    if (params.max_attempts != 0 && attempt >= params.max_attempts) {
        return never;
    }
    const std::uint32_t quick = quick_tries(params);
    const nanoseconds wanted = attempt < quick
                                   ? nanoseconds{params.quick[attempt]}
                                   : jittered(params, doubled(params, attempt - quick), random);
    return somebody_waits && params.while_waiting.count() != 0
               ? std::min<nanoseconds>(wanted, params.while_waiting)
               : wanted;
}

nanoseconds reconnect_schedule::next(bool somebody_waits) noexcept {
    // The upper 53 bits fill a double's mantissa: uniform in [0, 1).
    const double random = static_cast<double>(mixed(random_) >> 11) * 0x1.0p-53;
    const nanoseconds wait = delay(params_, attempt_, random, somebody_waits);
    if (wait != never && attempt_ != std::numeric_limits<std::uint32_t>::max()) {
        ++attempt_;
    }
    return wait;
}

}  // namespace ropeway
