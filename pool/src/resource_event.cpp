// SPDX-License-Identifier: Apache-2.0
//
// Names of reasons and states, and the legal transitions of a pool. Pure.
#include <ropeway/pool/resource_event.hpp>

namespace ropeway {

std::string_view to_string(close_reason reason) noexcept {
    switch (reason) {
        case close_reason::uses: return "uses";
        case close_reason::age: return "age";
        case close_reason::idle: return "idle";
        case close_reason::failed_check: return "failed check";
        case close_reason::failed_probe: return "failed probe";
        case close_reason::failed_reset: return "failed reset";
        case close_reason::failed_open: return "failed open";
        case close_reason::broken: return "broken";
        case close_reason::evicted: return "evicted";
        case close_reason::hook: return "hook";
        case close_reason::violation: return "violation";
        case close_reason::shutdown: return "shutdown";
        case close_reason::forced: return "forced";
    }
    return "unknown";
}

std::string_view to_string(pool_state state) noexcept {
    switch (state) {
        case pool_state::initializing: return "initializing";
        case pool_state::healthy: return "healthy";
        case pool_state::degraded: return "degraded";
        case pool_state::unhealthy: return "unhealthy";
        case pool_state::recovering: return "recovering";
        case pool_state::shutting_down: return "shutting down";
        case pool_state::terminated: return "terminated";
    }
    return "unknown";
}

std::string_view to_string(resource_event_kind kind) noexcept {
    switch (kind) {
        case resource_event_kind::started: return "started";
        case resource_event_kind::start_failed: return "start failed";
        case resource_event_kind::opened: return "opened";
        case resource_event_kind::open_failed: return "open failed";
        case resource_event_kind::acquired: return "acquired";
        case resource_event_kind::released: return "released";
        case resource_event_kind::acquire_failed: return "acquire failed";
        case resource_event_kind::check_failed: return "check failed";
        case resource_event_kind::closed: return "closed";
        case resource_event_kind::lost: return "lost";
        case resource_event_kind::retry: return "retry";
        case resource_event_kind::recovered: return "recovered";
        case resource_event_kind::state_changed: return "state changed";
        case resource_event_kind::liveness_changed: return "liveness changed";
        case resource_event_kind::shrunk: return "shrunk";
        case resource_event_kind::leak: return "leak";
        case resource_event_kind::leak_returned: return "leak returned";
        case resource_event_kind::leaks_recent: return "leaks recent";
        case resource_event_kind::quarantined: return "quarantined";
        case resource_event_kind::quarantine_over: return "quarantine over";
        case resource_event_kind::resized: return "resized";
        case resource_event_kind::suspended: return "suspended";
        case resource_event_kind::resumed: return "resumed";
        case resource_event_kind::shutdown_begun: return "shutdown begun";
        case resource_event_kind::shutdown_forced: return "shutdown forced";
        case resource_event_kind::shutdown_done: return "shutdown done";
    }
    return "unknown";
}

bool may_follow(pool_state from, pool_state to) noexcept {
    if (from == pool_state::terminated || from == to) {
        return false;
    }
    if (from == pool_state::shutting_down) {
        return to == pool_state::terminated;
    }
    // A running pool may get better or worse by any number of steps at once, but it begins only
    // once, and it ends by a shutdown.
    return to != pool_state::initializing && to != pool_state::terminated;
}

}  // namespace ropeway
