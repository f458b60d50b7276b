// SPDX-License-Identifier: Apache-2.0
//
// The transition matrix of liveness, as a function, and what is due in each state. Pure.
#include <ropeway/pool/liveness.hpp>

#include <algorithm>
#include <limits>

#include "range_check.hpp"

namespace ropeway {

using std::chrono::milliseconds;

namespace detail {

void require_legal(const liveness_params& params, const std::string& prefix) {
    require_in(prefix + "threshold", params.threshold, 1, 100,
               "Three failures in a row tell an outage from one lost answer");
    require_in(prefix + "interval", params.interval, {milliseconds{1}, milliseconds{3'600'000}},
               "Probe a healthy end every few seconds");
    require_in(prefix + "fast_interval", params.fast_interval, {milliseconds{1}, params.interval},
               "Probe a suspect end at least as often as a healthy one");
    require_in(prefix + "timeout", params.timeout, {milliseconds{1}, milliseconds{60'000}},
               "Give a probe a few round trips and no more");
}

}  // namespace detail

std::string_view to_string(liveness_state state) noexcept {
    switch (state) {
        case liveness_state::connecting: return "connecting";
        case liveness_state::healthy: return "healthy";
        case liveness_state::suspect: return "suspect";
        case liveness_state::unhealthy: return "unhealthy";
        case liveness_state::reconnecting: return "reconnecting";
        case liveness_state::disconnected: return "disconnected";
    }
    return "unknown";
}

liveness::liveness(const liveness_params& params) : params_(params) {
    detail::require_legal(params, "liveness.");
}

liveness_state liveness::next(liveness_state from, liveness_input input, std::uint32_t failures,
                              std::uint32_t threshold) noexcept {
    using enum liveness_state;
    if (from == disconnected || input == liveness_input::removed) {
        return disconnected;
    }
    if (input == liveness_input::success) {
        return healthy;
    }
    if (input == liveness_input::retrying) {
        // What was never lost is not reconnected: first tries and probes are no retries.
        return from == unhealthy ? reconnecting : from;
    }
    switch (from) {
        case connecting: return failures >= threshold ? unhealthy : connecting;
        case healthy:
        case suspect: return failures >= threshold ? unhealthy : suspect;
        case unhealthy:
        case reconnecting: return unhealthy;
        case disconnected: break;
    }
    return disconnected;
}

std::optional<liveness_change> liveness::tell(liveness_input input) noexcept {
    if (state_ == liveness_state::disconnected) {
        return std::nullopt;
    }
    if (input == liveness_input::success) {
        failures_ = 0;
    } else if (input == liveness_input::failure &&
               failures_ != std::numeric_limits<std::uint32_t>::max()) {
        ++failures_;
    }
    const liveness_state to = next(state_, input, failures_, params_.threshold);
    if (to == state_) {
        return std::nullopt;
    }
    const liveness_change change{.from = state_, .to = to};
    state_ = to;
    return change;
}

milliseconds liveness::next_probe_after() const noexcept {
    switch (state_) {
        case liveness_state::healthy: return params_.interval;
        case liveness_state::connecting:
        case liveness_state::suspect: return params_.fast_interval;
        case liveness_state::unhealthy:
        case liveness_state::reconnecting:  // its reconnect_schedule says when
        case liveness_state::disconnected: break;
    }
    return milliseconds{0};
}

milliseconds liveness::probe_timeout() const noexcept {
    return state_ == liveness_state::suspect ? std::min(params_.timeout, params_.fast_interval)
                                             : params_.timeout;
}

}  // namespace ropeway
