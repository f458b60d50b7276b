// SPDX-License-Identifier: Apache-2.0
//
// Health of a pool from one snapshot: each rule votes, the worst vote wins. Pure.
#include <ropeway/pool/assess.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "duration_text.hpp"

namespace ropeway {
namespace {

using detail::duration_text;

/// Collects votes: the worst status with every reason for it, in the order of the rules.
class verdict {
  public:
    void vote(health_status status, std::string reason) {
        if (status > worst_.status) {
            worst_ = {status, std::move(reason)};
        } else if (status == worst_.status && status != health_status::healthy) {
            worst_.reason.append("; ").append(reason);
        }
    }
    [[nodiscard]] bool healthy() const noexcept { return worst_.status == health_status::healthy; }
    [[nodiscard]] health_assessment result() && { return std::move(worst_); }

  private:
    health_assessment worst_{};
};

/// What is idle or may become so, and what it is a share of.
struct capacity {
    std::uint32_t free = 0;
    std::uint32_t of = 0;

    [[nodiscard]] double share() const noexcept {
        return of == 0 ? 0.0 : static_cast<double>(free) / static_cast<double>(of);
    }
};

capacity capacity_of(const resource_snapshot& now, capacity_basis basis) noexcept {
    if (basis == capacity_basis::idle_over_total) {
        return {.free = now.idle, .of = now.total};
    }
    // A slot that opens or is empty will be lent; one that rests, closes or is leased will not.
    const std::uint32_t taken = now.active + now.quarantined + now.closing;
    return {.free = now.max_size - std::min(now.max_size, taken), .of = now.max_size};
}

std::string capacity_text(const capacity& room, capacity_basis basis) {
    std::array<char, 80> text{};
    std::snprintf(text.data(), text.size(), "%u of %u %s (%d %%)", room.free, room.of,
                  basis == capacity_basis::idle_over_total ? "idle" : "free",
                  static_cast<int>(room.share() * 100.0));
    return text.data();
}

void judge_state(const resource_snapshot& now, verdict& votes) {
    switch (now.state) {
        case pool_state::shutting_down:
        case pool_state::terminated:
            votes.vote(health_status::unhealthy, "the pool is shut down");
            break;
        case pool_state::recovering:
            votes.vote(now.total == 0 ? health_status::unhealthy : health_status::degraded,
                       "connectivity was lost; reconnecting");
            break;
        case pool_state::initializing:
        case pool_state::healthy:
        case pool_state::degraded:
        case pool_state::unhealthy: break;  // what an earlier assessment said
    }
}

void judge_liveness(const resource_snapshot& now, verdict& votes) {
    health_status status = health_status::healthy;
    switch (now.liveness) {
        case liveness_state::healthy: return;
        case liveness_state::connecting:
            // A pool without a minimum connects when somebody asks: nothing is missing until then.
            if (now.min_size == 0 && now.opening == 0) {
                return;
            }
            status = health_status::degraded;
            break;
        case liveness_state::suspect: status = health_status::degraded; break;
        case liveness_state::reconnecting:
            // With nothing open a retry makes nothing better before it succeeds.
            status = now.total == 0 ? health_status::unhealthy : health_status::degraded;
            break;
        case liveness_state::unhealthy:
        case liveness_state::disconnected: status = health_status::unhealthy; break;
    }
    votes.vote(status, "liveness: " + std::string{to_string(now.liveness)});
}

void judge_saturation(const resource_snapshot& now, const health_policy& policy, verdict& votes) {
    const health_status failed =
        policy.saturation_may_fail ? health_status::unhealthy : health_status::degraded;
    const capacity room = capacity_of(now, policy.basis);
    if (room.of == 0) {
        votes.vote(failed, "no connection is open");
    } else if (room.share() < policy.unhealthy_below) {
        votes.vote(failed, capacity_text(room, policy.basis));
    } else if (room.share() < policy.degraded_below) {
        votes.vote(health_status::degraded, capacity_text(room, policy.basis));
    }
    if (policy.basis == capacity_basis::free_over_max && now.state != pool_state::initializing &&
        now.total + now.opening < now.min_size) {
        votes.vote(health_status::degraded, std::to_string(now.total) + " of at least " +
                                                std::to_string(now.min_size) + " open");
    }
    if (policy.wait_limit.count() != 0 && now.waiting != 0 &&
        now.longest_wait_60s >= policy.wait_limit) {
        votes.vote(failed, std::to_string(now.waiting) +
                               " wait; the longest wait of the last 60 s is " +
                               duration_text(now.longest_wait_60s));
    }
}

void judge_past(const resource_snapshot& now, const health_policy& policy, verdict& votes) {
    if (now.since_error.count() >= 0 && now.since_error < policy.error_window) {
        votes.vote(health_status::degraded, std::string{to_string(now.last_error)} + " " +
                                                duration_text(now.since_error) + " ago");
    }
    if (policy.leaks_degrade && now.recent_leaks != 0) {
        votes.vote(health_status::degraded,
                   std::to_string(now.recent_leaks) + " leaks in the last 60 s");
    }
}

}  // namespace

std::string_view to_string(health_status status) noexcept {
    switch (status) {
        case health_status::healthy: return "healthy";
        case health_status::degraded: return "degraded";
        case health_status::unhealthy: return "unhealthy";
    }
    return "unknown";
}

health_assessment assess(const resource_snapshot& now, const health_policy& policy) {
    verdict votes;
    judge_state(now, votes);
    if (policy.use_liveness) {
        judge_liveness(now, votes);
    }
    if (policy.use_saturation) {
        judge_saturation(now, policy, votes);
    }
    judge_past(now, policy, votes);
    if (votes.healthy()) {
        return {.status = health_status::healthy,
                .reason = capacity_text(capacity_of(now, policy.basis), policy.basis)};
    }
    return std::move(votes).result();
}

}  // namespace ropeway
