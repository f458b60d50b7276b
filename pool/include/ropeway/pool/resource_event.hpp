// SPDX-License-Identifier: Apache-2.0
//
// What happens in a resource pool, told to one observer as plain values on the I/O thread: the
// runtime words and logs them. Texts are views, valid during the call.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include <ropeway/pool/liveness.hpp>
#include <ropeway/pool/resource_error.hpp>

namespace ropeway {

/// Why a resource was closed.
enum class close_reason : std::uint8_t {
    uses,          ///< max_uses
    age,           ///< max_age
    idle,          ///< max_idle, above the minimum
    failed_check,  ///< its end was gone when looked at
    failed_probe,
    failed_reset,
    failed_open,
    broken,     ///< came back broken
    evicted,    ///< soft_evict(), or above a lowered max_size
    hook,       ///< a hook said no
    violation,  ///< its lease was misused
    shutdown,
    forced,  ///< held beyond the shutdown's deadline
};
inline constexpr std::size_t close_reasons = 13;
[[nodiscard]] std::string_view to_string(close_reason reason) noexcept;

/// States of the pool as a whole.
enum class pool_state : std::uint8_t {
    initializing,  ///< before the minimum is reached for the first time
    healthy,
    degraded,  ///< usable, but not as it should be: see assess()
    unhealthy,
    recovering,  ///< every resource was lost; trying again
    shutting_down,
    terminated,
};
inline constexpr std::size_t pool_states = 7;
[[nodiscard]] std::string_view to_string(pool_state state) noexcept;
/// The legal transitions; all others are refused.
[[nodiscard]] bool may_follow(pool_state from, pool_state to) noexcept;

enum class resource_event_kind : std::uint8_t {
    started,         ///< `count` resources are open; `lasted`: since start()
    start_failed,    ///< `error`
    opened,          ///< `resource`; `lasted`: the open
    open_failed,     ///< `error`, `count`: which try
    acquired,        ///< only with observe_leases: `resource`, `lasted`: the wait
    released,        ///< only with observe_leases: `resource`, `lasted`: the hold
    acquire_failed,  ///< a caller got none: `error` (its kind), `lasted`: its wait, `count`: so
                     ///< many so far. Bounded: of a storm some are told, and later than they
                     ///< happened
    check_failed,    ///< an idle one was dead or did not answer: `resource`, `error`
    closed,          ///< `resource`, `reason`, `lasted`: its age
    lost,            ///< connectivity is lost: nothing is open any more, `error`
    retry,           ///< a reconnection attempt begins: `count` from 1, `lasted`: the planned delay
    recovered,       ///< `count` idle of `limit` open; `lasted`: since lost
    state_changed,   ///< `from_state`, `to_state`
    liveness_changed,  ///< `from_liveness`, `to_liveness`
    shrunk,            ///< from `limit` to `count` resources
    leak,              ///< held too long: `resource`, `lasted`, `site`, `stack`
    leak_returned,     ///< came back after all: `resource`, `lasted`: held for
    leaks_recent,      ///< `count` leaks in the last 60 s make the pool degraded
    quarantined,       ///< `resource`, `error`
    quarantine_over,   ///< `resource`
    resized,           ///< from `limit` to `count` (max_size)
    suspended,
    resumed,
    shutdown_begun,   ///< `count` leases out
    shutdown_forced,  ///< one lease held beyond the deadline: `resource`, `lasted`, `site`
    shutdown_done,    ///< `count` forced; `lasted`: since begun
};
inline constexpr std::size_t resource_event_kinds = 26;
[[nodiscard]] std::string_view to_string(resource_event_kind kind) noexcept;

struct resource_event {
    resource_event_kind kind = resource_event_kind::started;
    std::string_view pool{};
    std::uint64_t resource = 0;  ///< number of the resource, from 1, never used twice in a pool
    std::uint64_t count = 0;
    std::uint64_t limit = 0;
    std::chrono::nanoseconds lasted{};
    close_reason reason = close_reason::shutdown;
    pool_state from_state = pool_state::initializing;
    pool_state to_state = pool_state::initializing;
    liveness_state from_liveness = liveness_state::connecting;
    liveness_state to_liveness = liveness_state::connecting;
    const resource_error* error = nullptr;
    std::uint16_t site = 0;              ///< see site_text()
    std::uint16_t thread = 0;            ///< see thread_text()
    const void* const* stack = nullptr;  ///< return addresses, innermost first
    std::size_t stack_size = 0;
};

using resource_observer = std::function<void(const resource_event&)>;

}  // namespace ropeway
