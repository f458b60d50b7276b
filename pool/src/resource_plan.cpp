// SPDX-License-Identifier: Apache-2.0
//
// What the I/O thread waits for after a turn: descriptors of tasks and of idle resources, and the
// earliest time at which something is due.
#include <algorithm>

#include "resource_parts.hpp"

namespace ropeway::detail {

resource_loop::interest resource_core::parts::plan() noexcept {
    using std::chrono::hours;
    next_ = now_ + hours{1};
    const bool ending = end_at_.load(std::memory_order_relaxed) != 0;  // relaxed: an order
    if (!ending) {
        next_ = std::min(next_, upkeep_at_);
        if (params_.leak_timeout.count() != 0) {
            next_ = std::min<resource_clock_point>(next_, now_ + params_.leak_timeout);
        }
        // One whose time has come and that is not needed yet has no time: whoever needs it wakes
        // us.
        if (retry_pending_ && retry_at_ > now_) {
            next_ = std::min(next_, retry_at_);
        }
        if (!leak_times_.empty()) {
            next_ = std::min<resource_clock_point>(next_,
                                                   leak_times_.front() + std::chrono::seconds{60});
        }
        next_ = std::min(next_, probe_next_);
    } else {
        next_ = std::min(next_, end_point());
    }
    if (more_notices_) {
        next_ = now_;
    }
    unwatched_ = false;
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        plan_slot(slot);
    }
    if (unwatched_) {
        next_ = std::min<resource_clock_point>(next_, std::max(watch_at_, now_ + watch_every));
    }
    full_at_ = next_;
    return {.fds = fds_, .next = std::min(next_, tick_at_)};
}

void resource_core::parts::plan_slot(std::uint32_t slot) noexcept {
    task_block& task = tasks_[slot];
    if (task.running) {
        next_ = std::min({next_, task.deadline, task.resume_at});
        if (task.fd >= 0) {
            fds_.push_back({.fd = task.fd, .events = task.events, .revents = 0});
            fd_slots_.push_back(slot);
        }
        return;
    }
    // acquire: an idle resource is asked for its descriptor, which its last holder left
    const std::uint64_t word = leases_[slot].word.load(std::memory_order_acquire);
    const slot_phase phase = lease_word::phase(word);
    if (phase == slot_phase::quarantined) {
        // As with retry_at_: due and not opened means not wanted, or a retry is waited for.
        if (task.history.until() > now_) {
            next_ = std::min(next_, task.history.until());
        }
        return;
    }
    if (phase != slot_phase::idle && phase != slot_phase::active) {
        return;
    }
    if (task.expires_at > now_) {
        next_ = std::min(next_, task.expires_at);
    }
    if (phase == slot_phase::active) {
        plan_lease(slot, word);
    }
    if (task.watch_fd < 0) {
        return;
    }
    // A slot that was leased a moment ago will be again: it is watched once it has lain still.
    // relaxed: a choice of what to watch
    const std::uint64_t since = leases_[slot].returned_at.load(std::memory_order_relaxed);
    const bool still = since == task.idled_at || between(since, stamp_now_) >= 1'000'000;
    if (phase == slot_phase::idle && still && watch_at_ <= now_) {
        fds_.push_back({.fd = task.watch_fd, .events = POLLIN | POLLRDHUP, .revents = 0});
        fd_slots_.push_back(slot);
    } else {
        unwatched_ = true;
    }
}

void resource_core::parts::plan_lease(std::uint32_t slot, std::uint64_t word) noexcept {
    const bool ending = end_at_.load(std::memory_order_relaxed) != 0;  // relaxed: an order
    if (ending || params_.leak_timeout.count() == 0 || (word & lease_word::overdue) != 0 ||
        !is_lent(leases_[slot])) {
        return;
    }
    // relaxed: a lease that began a moment ago is looked at again at its own time
    const std::uint64_t at = leases_[slot].acquired_at.load(std::memory_order_relaxed);
    const auto held = std::chrono::nanoseconds{between(at, stamp_now_)};
    const auto rest = std::max<std::chrono::nanoseconds>(params_.leak_timeout - held,
                                                         std::chrono::microseconds{100});
    next_ = std::min<resource_clock_point>(next_, now_ + rest);
}

}  // namespace ropeway::detail
