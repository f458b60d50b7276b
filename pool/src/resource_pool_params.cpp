// SPDX-License-Identifier: Apache-2.0
//
// Refuses parameters of a resource pool that are out of range. Pure.
#include <ropeway/pool/resource_pool_params.hpp>

#include <string>

#include "range_check.hpp"

namespace ropeway {
namespace {

using detail::require_in;
using std::chrono::milliseconds;

constexpr milliseconds one_ms{1};
constexpr milliseconds minute{60'000};
constexpr milliseconds hour{3'600'000};
// Times without an upper bound of their own: what fits in nanoseconds with room to add to a clock.
constexpr milliseconds century{3'155'760'000'000};

void require_sizes(const resource_pool_params& params) {
    require_in("max_size", params.max_size, 1, 1000,
               "Set POOL_MAX_SIZE to the connections the server can spare");
    if (params.max_size < params.min_size) {
        detail::refuse("max_size", std::to_string(params.max_size),
                       ">= min_size (" + std::to_string(params.min_size) + ")",
                       "Increase POOL_MAX_SIZE or reduce POOL_MIN_SIZE");
    }
    require_in("reserved", params.reserved, 0, params.max_size - 1,
               "Leave at least one connection to callers without priority");
    require_in("max_waiters", params.max_waiters, 1, 100'000,
               "Let as many callers wait as there are threads that acquire");
}

void require_times(const resource_pool_params& params) {
    require_in("acquire_timeout", params.acquire_timeout, {one_ms, milliseconds{300'000}},
               "Set POOL_TIMEOUT to how long a caller can afford to wait");
    require_in("connect_timeout", params.connect_timeout, {one_ms, minute},
               "Set POOL_CONNECT_TIMEOUT to a few round trips to the server");
    require_in("probe_timeout", params.probe_timeout, {one_ms, minute},
               "Give a probe one round trip and some jitter");
    require_in("reset_timeout", params.reset_timeout, {one_ms, minute},
               "Give a rollback a few round trips");
    require_in("close_timeout", params.close_timeout, {one_ms, minute},
               "Give a farewell one round trip");
    require_in("max_age", params.max_age, {one_ms, century, true},
               "Set POOL_MAX_CONNECTION_LIFETIME to 3600 s, or to 0 for no limit");
    detail::require_share("max_age_jitter", params.max_age_jitter, 0.5,
                          "0.1 keeps connections from ending all at once");
    require_in("max_idle", params.max_idle, {one_ms, century, true},
               "Set POOL_MAX_IDLE_TIME to 60 s, or to 0 for no limit");
    require_in("validate_after", params.validate_after, {milliseconds{0}, hour},
               "One second costs a round trip only after a pause");
    require_in("probe_interval", params.probe_interval, {milliseconds{10}, hour, true},
               "Probe idle connections every 30 s, or use 0 for never");
    require_in("maintenance_interval", params.maintenance_interval, {one_ms, hour},
               "Look every 10 s");
    require_in("leak_timeout", params.leak_timeout, {one_ms, century, true},
               "Set POOL_LEAK_DETECTION_TIMEOUT beyond the longest honest use, or to 0 for never");
}

void require_quarantine(const resource_quarantine_params& params) {
    require_in("quarantine.history", params.history, 1, 64, "Remember the last 8 checks");
    require_in("quarantine.failures", params.failures, 0, params.history,
               "Use at most as many failures as checks are remembered, or 0 for no quarantine");
    require_in("quarantine.rest", params.rest, {milliseconds{10}, hour},
               "Let a slot rest for some seconds");
}

}  // namespace

resource_pool_params checked(resource_pool_params params) {
    if (params.name.empty()) {
        detail::refuse("name", "\"\"", "a text that is not empty",
                       "Name the pool after what it holds; logs and reports show it");
    }
    require_sizes(params);
    require_times(params);
    require_in("startup_attempts", params.startup_attempts, 1, 100,
               "Three tries outlast a server that is just starting");
    detail::require_legal(params.liveness, "liveness.");
    detail::require_legal(params.reconnect, "reconnect.");
    require_quarantine(params.quarantine);
    return params;
}

}  // namespace ropeway
