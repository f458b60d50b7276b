// SPDX-License-Identifier: Apache-2.0
//
// How well a runtime's pools are: plain values, and as JSON for an endpoint or a file. Asking costs
// no round trip, not in an outage either: health() below 5 microseconds for a pool; full_health(),
// which sums up latencies as well, some tens of microseconds for each, and the JSON of it one or
// two hundred. Nobody who acquires waits for the latencies.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ropeway/pool/assess.hpp>
#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/resource_error.hpp>
#include <ropeway/pool/resource_stats.hpp>

namespace ropeway {

/// One distribution in numbers. A percentile is at most 6.3 % too high, the mean at most 3.2 % off.
struct latency_summary {
    std::uint64_t count = 0;
    std::chrono::nanoseconds mean{};
    std::chrono::nanoseconds p50{};
    std::chrono::nanoseconds p95{};
    std::chrono::nanoseconds p99{};
    std::chrono::nanoseconds max{};
};
[[nodiscard]] latency_summary summary_of(const histogram& times) noexcept;

/// A pool's distributions since its start.
struct pool_latencies {
    latency_summary wait{};      ///< of acquire(), immediate ones included
    latency_summary hold{};      ///< of leases
    latency_summary create{};    ///< of opens that succeeded
    latency_summary validate{};  ///< of probes that succeeded
};

/// One pool at one moment.
struct pool_health {
    std::string name{};
    /// By the pool's health_policy: see assess().
    health_status status = health_status::healthy;
    std::string reason{};
    resource_snapshot now{};
    /// The latest failure of a connection, passwords masked; now.since_error tells its age.
    resource_error last_error{};
    std::optional<pool_latencies> latencies{};  ///< from full_health(), not from health()
};

/// All pools of a runtime at one moment.
struct runtime_health {
    /// The worst of the pools; healthy where there is none.
    health_status status = health_status::healthy;
    std::chrono::system_clock::time_point at{};
    std::chrono::nanoseconds uptime{};  ///< since start(); 0 before
    std::vector<pool_health> pools{};
};

/// One JSON object: `status`, `timestamp`, `uptime_seconds`, and `pools`, of which each has `name`,
/// `status`, `reason`, `state`, `liveness`, `statistics` (total_connections, idle_connections,
/// active_connections, waiting_requests, total_acquisitions, total_releases,
/// avg_acquisition_time_ms, peak_active_connections, peak_wait_time_ms, pool_created_at,
/// last_health_check, last_error, last_error_time), `sizes`, `counters`, `closed`, `latency_ms`,
/// `leaks` and `last_error` {kind, code, text, age_seconds}. What is not known is null, as without
/// latencies `latency_ms`, avg_acquisition_time_ms and peak_wait_time_ms; times are UTC. Bytes that
/// are not UTF-8 are replaced. Throws std::bad_alloc only.
[[nodiscard]] std::string to_json(const runtime_health& health);

}  // namespace ropeway
