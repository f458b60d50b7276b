// SPDX-License-Identifier: Apache-2.0
//
// assess(): how well a pool is, from one snapshot and a policy. Two axes: liveness (does the other
// end answer) and saturation (is there enough for those who ask). Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <ropeway/pool/resource_stats.hpp>

namespace ropeway {

enum class health_status : std::uint8_t { healthy, degraded, unhealthy };
inline constexpr std::size_t health_statuses = 3;
[[nodiscard]] std::string_view to_string(health_status status) noexcept;

/// What the idle share is taken of.
enum class capacity_basis : std::uint8_t {
    idle_over_total,  ///< idle / total
    free_over_max,    ///< (idle + opening + what may still be opened) / max_size
};

struct health_policy {
    /// Suspect, connecting, reconnecting: degraded; unhealthy, disconnected, and reconnecting with
    /// nothing open: unhealthy. Connecting is healthy in a pool without a minimum.
    bool use_liveness = true;
    bool use_saturation = true;  ///< shares and waits below, and the minimum where free_over_max
    capacity_basis basis = capacity_basis::free_over_max;
    /// Below this share: unhealthy (if saturation_may_fail) else degraded. 0..1.
    double unhealthy_below = 0.0;
    /// Below this share: degraded. 0..1.
    double degraded_below = 0.0;
    bool saturation_may_fail = false;
    /// Callers wait, and somebody waited this long in the last 60 s: degraded, or unhealthy if
    /// saturation_may_fail; 0: does not matter.
    std::chrono::milliseconds wait_limit{100};
    std::chrono::seconds error_window{60};  ///< an error this recent: degraded; 0: does not matter
    bool leaks_degrade = true;              ///< leaks of the last 60 s: degraded
};

namespace health_presets {
/// Worst of liveness and saturation, where saturation alone fails nothing unless callers wait.
[[nodiscard]] constexpr health_policy combined() noexcept { return {}; }
/// Seed 000 to the letter: total 0 or idle < 50 %: unhealthy; < 80 % or an error in 60 s: degraded.
[[nodiscard]] constexpr health_policy strict_000() noexcept {
    return {.use_liveness = false,
            .basis = capacity_basis::idle_over_total,
            .unhealthy_below = 0.5,
            .degraded_below = 0.8,
            .saturation_may_fail = true,
            .wait_limit = std::chrono::milliseconds{0}};
}
/// Liveness alone.
[[nodiscard]] constexpr health_policy liveness_002() noexcept {
    return {.use_saturation = false,
            .wait_limit = std::chrono::milliseconds{0},
            .error_window = std::chrono::seconds{0},
            .leaks_degrade = false};
}
/// Waits and limits: 200 ms.
[[nodiscard]] constexpr health_policy latency_004() noexcept {
    return {.wait_limit = std::chrono::milliseconds{200}};
}
}  // namespace health_presets

struct health_assessment {
    health_status status = health_status::healthy;
    /// Short: "2 of 10 idle (20 %)", "no connection is open"; every reason for the status, worst
    /// first, parted by "; ". Allocates where it is longer than 15 bytes.
    std::string reason{};
};

/// The worst of what each axis of the policy says. Whatever the policy: a pool that is shut down is
/// unhealthy, and one that lost its connections is unhealthy, or degraded while any is open.
[[nodiscard]] health_assessment assess(const resource_snapshot& now,
                                       const health_policy& policy = {});

}  // namespace ropeway
