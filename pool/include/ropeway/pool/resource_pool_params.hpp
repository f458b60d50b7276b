// SPDX-License-Identifier: Apache-2.0
//
// What a resource_pool is made from. Plain values with legal defaults; checked(params) refuses what
// is out of range, with the value and a suggestion, in the words of the environment variables.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <ropeway/pool/liveness.hpp>
#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/reconnect_schedule.hpp>
#include <ropeway/pool/resource_event.hpp>
#include <ropeway/pool/resource_time.hpp>
#include <ropeway/pool/violation.hpp>

namespace ropeway {

/// Which idle resource is lent first.
enum class idle_order : std::uint8_t {
    last_used,    ///< the thread's own last one, then any: warm caches (default)
    oldest_idle,  ///< the one idle longest: all are used evenly
};

/// When acquire() asks the other end before it lends.
enum class validation : std::uint8_t {
    passive_only,  ///< never a round trip; check() always
    if_idle,       ///< a probe if idle for longer than `validate_after` (default), or doubtful
    always,        ///< a probe each time
};

/// What start() does when the minimum cannot be made.
enum class startup : std::uint8_t {
    fail_fast,       ///< start() fails after `startup_attempts` (default)
    start_degraded,  ///< start() succeeds; the pool goes on trying
};

/// When a resource that fails again and again rests.
struct resource_quarantine_params {
    /// Failures among the last `history` checks that put a slot into quarantine; 0: never. 0..64.
    std::uint32_t failures = 3;
    /// Checks remembered per slot, 1..64.
    std::uint32_t history = 8;
    /// How long it rests before it is tried again. 10 ms..1 h.
    std::chrono::milliseconds rest{5000};
};

/// Called by the pool; must not block or throw, nor call the pool. A null one is not called.
struct resource_hooks {
    /// After a successful open, before first use; false: drop it, and try again when a failed open
    /// would be tried again. On the I/O thread.
    std::function<bool(pooled_resource&)> on_connect{};
    /// Before each lease, after validation; false: take another one. On the caller's thread.
    std::function<bool(pooled_resource&)> before_acquire{};
    /// When a lease came back, before it is judged; false: drop it. On the holder's thread.
    std::function<bool(pooled_resource&)> after_release{};
    /// Before a resource is closed or dropped. On the I/O thread.
    std::function<void(pooled_resource&)> on_close{};
};

struct resource_pool_params {
    /// Names the pool in logs, violations and its thread ("NAME io", 15 bytes kept). Not empty.
    std::string name = "resources";
    /// Kept open after every retirement. 0..max_size. (POOL_MIN_SIZE)
    std::uint32_t min_size = 2;
    /// Never exceeded, opening and closing ones included. 1..1000. (POOL_MAX_SIZE)
    std::uint32_t max_size = 10;
    /// Of max_size: lent only to acquire() with `priority`. 0..max_size - 1.
    std::uint32_t reserved = 0;
    /// Callers that may wait at once; one more gets queue_full. 1..100'000.
    std::uint32_t max_waiters = 1000;
    /// Of acquire() without a deadline of its own. 1 ms..300 s. (POOL_TIMEOUT)
    std::chrono::milliseconds acquire_timeout{30'000};
    /// Of one open, all steps. 1 ms..60 s. (POOL_CONNECT_TIMEOUT)
    std::chrono::milliseconds connect_timeout{5000};
    /// Of one probe. 1 ms..60 s.
    std::chrono::milliseconds probe_timeout{500};
    /// Of one reset after a return. 1 ms..60 s.
    std::chrono::milliseconds reset_timeout{2000};
    /// Of one farewell. 1 ms..60 s.
    std::chrono::milliseconds close_timeout{1000};
    /// Uses after which one is replaced when its lease ends; 0: never. A lease counts as the
    /// statements that were sent in it, and as one if there were none. The adapters count them
    /// (pooled_resource::count_use()); a resource that does not counts leases. (POOL_MAX_QUERIES)
    std::uint64_t max_uses = 50'000;
    /// Age at which one is replaced, less up to max_age_jitter of it; 0: never.
    /// (POOL_MAX_CONNECTION_LIFETIME)
    std::chrono::milliseconds max_age{3'600'000};
    /// Share of max_age by which resources differ, so that not all end at once. 0..0.5.
    double max_age_jitter = 0.1;
    /// Idle time after which one above min_size is closed; 0: never. (POOL_MAX_IDLE_TIME)
    std::chrono::milliseconds max_idle{60'000};
    /// See validation.
    validation validate = validation::if_idle;
    /// Idle time from which if_idle probes. 0..1 h.
    std::chrono::milliseconds validate_after{1000};
    /// How long each idle one goes without an answer before the I/O thread probes it; 0: none is
    /// probed for its own sake. 10 ms..1 h. It does not govern liveness: see there.
    std::chrono::milliseconds probe_interval{30'000};
    /// Maintenance: shrink, ages, leak scan. 1 ms..1 h.
    std::chrono::milliseconds maintenance_interval{10'000};
    /// A lease held longer is reported once, with site and stack; 0: never.
    /// (POOL_LEAK_DETECTION_TIMEOUT)
    std::chrono::milliseconds leak_timeout{30'000};
    idle_order order = idle_order::last_used;
    startup on_startup = startup::fail_fast;
    /// Tries of fail_fast. 1..100.
    std::uint32_t startup_attempts = 3;
    /// Of the other end as a whole. While it is healthy and something is idle, the I/O thread
    /// probes one idle one whenever no probe and no open has told of it for `liveness.interval`
    /// (default 500 ms; while suspect fast_interval), whatever probe_interval is: so a silent loss
    /// is found within liveness.detects_within(). Made rare by a long interval (1 h at most), never
    /// off.
    liveness_params liveness = liveness_presets::pool();
    reconnect_params reconnect = reconnect_presets::pool();
    resource_quarantine_params quarantine{};
    violation_policy on_violation = violation_policy::log_and_drop;
    resource_hooks hooks{};
    /// Told everything that happens, in order, on the I/O thread (violations: on the thread that
    /// found them, to the violation handler). Must not block. Null: nobody.
    resource_observer observer{};
    /// The observer is told of every lease as well (acquired, released). For whoever debugs: it
    /// costs a message to the I/O thread each. Default off.
    bool observe_leases = false;
    /// Null: the real one.
    resource_time* time = nullptr;
    /// Of jitter; 0: from the system.
    std::uint64_t seed = 0;
};

/// @return params, if each field is in range.
/// @throws std::invalid_argument "max_size (5) must be >= min_size (10). Suggestion: ..."
[[nodiscard]] resource_pool_params checked(resource_pool_params params);

}  // namespace ropeway
