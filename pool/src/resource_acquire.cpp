// SPDX-License-Identifier: Apache-2.0
//
// Acquire: the thread's last slot, then a scan, each by one CAS; what it took is looked at, and
// probed where it lay idle for long, within the caller's deadline. Who finds nothing waits in turn.
#include <algorithm>
#include <utility>

#include "lease_hint.hpp"
#include "resource_parts.hpp"
#include "stack_walk.hpp"

namespace ropeway::detail {

std::uint32_t resource_core::parts::take_by_scan() noexcept {
    const std::uint32_t used = used_.load(std::memory_order_acquire);  // pairs with grow()
    std::uint32_t busy = 0;
    for (std::uint32_t i = 0; i != used; ++i) {
        lease_block& slot = leases_[i];
        if (claim(slot)) {
            // relaxed: a number; those behind are counted for the peak as well
            for (std::uint32_t k = i + 1; k != used; ++k) {
                const auto word = leases_[k].word.load(std::memory_order_relaxed);
                busy += lease_word::phase(word) == slot_phase::active ? 1U : 0U;
            }
            raise_peak(busy + 1);
            return i;
        }
        // relaxed: a number
        const auto word = slot.word.load(std::memory_order_relaxed);
        busy += lease_word::phase(word) == slot_phase::active ? 1U : 0U;
    }
    return no_slot;
}

std::uint32_t resource_core::parts::take_oldest() noexcept {
    const std::uint32_t used = used_.load(std::memory_order_acquire);  // pairs with grow()
    for (;;) {
        std::uint32_t best = no_slot;
        std::uint64_t oldest = ~std::uint64_t{0};
        std::uint32_t busy = 0;
        for (std::uint32_t i = 0; i != used; ++i) {
            // seq_cst: as in claim()
            const auto phase = lease_word::phase(leases_[i].word.load(std::memory_order_seq_cst));
            // relaxed: another's return in between makes the choice a little less old
            const auto since = leases_[i].returned_at.load(std::memory_order_relaxed);
            busy += phase == slot_phase::active ? 1U : 0U;
            if (phase == slot_phase::idle && since < oldest) {
                oldest = since;
                best = i;
            }
        }
        if (best == no_slot) {
            return no_slot;
        }
        if (claim(leases_[best])) {
            raise_peak(busy + 1);
            return best;
        }
    }
}

bool resource_core::parts::enter(bool priority) noexcept {
    if (params_.reserved == 0) [[likely]] {
        return true;
    }
    // relaxed: a limit at a boundary; see reserved
    const std::uint32_t most = max_size_.load(std::memory_order_relaxed);
    const std::uint32_t limit = priority ? most : most - std::min(most, params_.reserved);
    // seq_cst: invariant 2; a waiter's look pairs with leave()
    std::uint32_t out = out_.load(std::memory_order_seq_cst);
    do {
        if (out >= limit) {
            return false;
        }
    } while (!out_.compare_exchange_weak(out, out + 1, std::memory_order_seq_cst,
                                         std::memory_order_seq_cst));  // the same
    return true;
}

void resource_core::parts::leave() noexcept {
    if (params_.reserved != 0) [[unlikely]] {
        out_.fetch_sub(1, std::memory_order_seq_cst);  // invariant 2; pairs with enter()
    }
}

std::uint32_t resource_core::parts::take(bool priority) noexcept {
    if (!enter(priority)) {
        return no_slot;
    }
    std::uint32_t got = no_slot;
    if (params_.order == idle_order::last_used) {
        const lease_hint& hint = hint_for(id_);
        got = hint.pool == id_ && claim(leases_[hint.slot]) ? hint.slot : take_by_scan();
    } else {
        got = take_oldest();
    }
    if (got == no_slot) {
        leave();
    }
    return got;
}

std::uint32_t resource_core::parts::take_free(bool priority) noexcept {
    const std::uint32_t got = take(priority);
    if (got == no_slot) {
        look_after_leave();
    }
    return got;
}

void resource_core::parts::look_after_leave() noexcept {
    // The place that was held below the reserve's limit may have kept a hand-over from a waiter.
    // seq_cst: invariant 2, after leave()
    if (params_.reserved != 0 &&
        (door_.load(std::memory_order_seq_cst) & door_bits::waiters) != 0) {
        serve_waiters();
    }
}

bool resource_core::parts::open_door() noexcept {
    // seq_cst: invariant 1; pairs with enqueue()
    std::uint64_t door = door_.load(std::memory_order_seq_cst);
    if (door == 0) [[likely]] {
        return at_home();
    }
    if (door == door_bits::asleep && at_home()) {
        wake_clock();
        return true;
    }
    return false;
}

void resource_core::parts::wake_clock() noexcept {
    // relaxed: a time orders nothing
    slow_now_.store(stamp(), std::memory_order_relaxed);
    // seq_cst: as every change of the door
    if ((door_.fetch_and(~door_bits::asleep, std::memory_order_seq_cst) & door_bits::asleep) != 0) {
        wake();
    }
}

[[gnu::always_inline]] inline std::uint64_t resource_core::parts::lease_stamp(
    lease_hint& hint) noexcept {
    if (precise_) [[unlikely]] {
        return stamp();
    }
    if (hint.pool != id_ || hint.left == 0) [[unlikely]] {
        hint.left = hold_times::timed_every;
        return stamp() | timed_lease;
    }
    --hint.left;
    // relaxed: a time orders nothing
    return slow_now_.load(std::memory_order_relaxed) & ~timed_lease;
}

[[gnu::always_inline]] inline core_lease resource_core::parts::lend(std::uint32_t slot,
                                                                    lease_hint& hint,
                                                                    std::uint64_t now,
                                                                    site where) noexcept {
    lease_block& block = leases_[slot];
    if (hint.pool != id_) [[unlikely]] {
        hint = {.pool = id_, .slot = slot, .cells = holds_.adopt(), .left = hint.left};
    }
    hint.slot = slot;
    // relaxed (all but one): written by the holder alone; reports read them as numbers and look at
    // the word before and after
    block.acquired_at.store(now, std::memory_order_relaxed);
    block.who.store(lease_who::acquired(where.id(), thread_number()), std::memory_order_relaxed);
    walk_frames(block.stack, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
    // release: pairs with scan_leaks(): once it is counted, the stamps are this lease's
    block.acquired.store(block.acquired.load(std::memory_order_relaxed) + 1,
                         std::memory_order_release);
    const std::uint64_t word = block.word.load(std::memory_order_relaxed);
    return {.resource = block.resource.load(std::memory_order_relaxed),
            .from = {.core = &owner_, .slot = slot, .generation = lease_word::generation(word)}};
}

core_lease resource_core::parts::lend_after(std::uint32_t slot, std::uint64_t now, site where,
                                            std::uint64_t waited_ns) noexcept {
    lease_block& block = leases_[slot];
    if (waited_ns != 0) {
        // relaxed (both): the holder's own; before it is counted as acquired, see snapshot()
        block.waited.store(block.waited.load(std::memory_order_relaxed) + 1,
                           std::memory_order_relaxed);
    }
    const core_lease got = lend(slot, hint_for(id_), now, where);
    if (params_.observe_leases) {
        to_loop({.kind = return_notice::what::acquired,
                 .slot = slot,
                 .lasted_ns = waited_ns,
                 .who = block.who.load(std::memory_order_relaxed)});  // relaxed: own
    }
    return got;
}

bool resource_core::parts::ready(std::uint32_t slot, std::uint64_t now,
                                 caller_deadline* deadline) noexcept {
    lease_block& block = leases_[slot];
    // relaxed: the claim acquired it
    pooled_resource& what = *block.resource.load(std::memory_order_relaxed);
    const resource_health health = what.check();
    if (health == resource_health::dead) [[unlikely]] {
        reject(slot, static_cast<std::uint8_t>(close_reason::failed_check));
        return false;
    }
    const auto idle = static_cast<std::int64_t>(
        now - block.returned_at.load(std::memory_order_relaxed));  // the claim acquired it
    const bool doubtful = health == resource_health::doubtful;
    if (doubtful || idle >= probe_after_) [[unlikely]] {
        if (doubtful && (deadline == nullptr || params_.validate == validation::passive_only)) {
            reject(slot, static_cast<std::uint8_t>(slot_verdict::probe));
            return false;
        }
        if (deadline != nullptr && !ready_by_probe(slot, *deadline)) {
            return false;
        }
    }
    if (params_.hooks.before_acquire && !params_.hooks.before_acquire(what)) [[unlikely]] {
        reject(slot, static_cast<std::uint8_t>(close_reason::hook));
        return false;
    }
    return true;
}

bool resource_core::parts::ready_by_probe(std::uint32_t slot, caller_deadline& deadline) noexcept {
    // relaxed: the claim acquired it
    pooled_resource& what = *leases_[slot].resource.load(std::memory_order_relaxed);
    const auto began = time_.now();
    const auto full = began + params_.probe_timeout;
    const probe_end probed = probe_here(what, std::min(deadline.end(), full));
    if (probed != probe_end::answered) {
        // A caller in a hurry says nothing against the resource: the I/O thread waits for the rest.
        const bool cut = probed == probe_end::late && deadline.end() < full;
        reject(slot, cut ? static_cast<std::uint8_t>(slot_verdict::probing)
                         : static_cast<std::uint8_t>(close_reason::failed_probe));
        return false;
    }
    const auto ended = time_.now();
    // relaxed: a number for reports
    checked_at_.store(ended.time_since_epoch().count(), std::memory_order_relaxed);
    const std::lock_guard hold(figures_lock_);
    validates_.record(static_cast<std::uint64_t>((ended - began).count()));
    return true;
}

resource_core::parts::probe_end resource_core::parts::probe_here(
    pooled_resource& what, resource_clock_point until) noexcept {
    resource_step step = what.begin(resource_task::probe);
    while (step.state != step_state::done) {
        if (step.state == step_state::failed) {
            return probe_end::failed;
        }
        const auto now = time_.now();
        if (now >= until) {
            return probe_end::late;
        }
        const auto end = step.after >= std::chrono::nanoseconds{0}
                             ? std::min(until, end_of_wait(now, step.after))
                             : until;
        if (step.fd >= 0) {
            const short events = step.state == step_state::wants_read    ? POLLIN
                                 : step.state == step_state::wants_write ? POLLOUT
                                                                         : POLLIN | POLLOUT;
            if (time_.poll(step.fd, events, end) == 0 && time_.now() >= until) {
                return probe_end::late;
            }
        } else {
            std::atomic<std::uint32_t> never{0};
            while (time_.now() < end) {
                time_.wait(never, 0, end);
            }
        }
        step = what.resume();
    }
    return probe_end::answered;
}

core_acquired resource_core::parts::acquire(std::chrono::nanoseconds timeout, bool priority,
                                            site where) {
    lease_hint& hint = hint_for(id_);
    // seq_cst: invariant 1; pairs with enqueue()
    if (door_.load(std::memory_order_seq_cst) == 0 && at_home() && plain_ && hint.pool == id_ &&
        claim(leases_[hint.slot])) [[likely]] {
        lease_block& block = leases_[hint.slot];
        const std::uint64_t now = lease_stamp(hint);
        // relaxed (both): the claim acquired them
        const auto idle =
            static_cast<std::int64_t>(now - block.returned_at.load(std::memory_order_relaxed));
        if (idle < probe_after_ && block.resource.load(std::memory_order_relaxed)->check() ==
                                       resource_health::usable) [[likely]] {
            return {.got = lend(hint.slot, hint, now, where), .error = nullptr};
        }
        return acquire_taken(hint.slot, now, timeout, priority, where);
    }
    return acquire_taken(no_slot, 0, timeout, priority, where);
}

core_acquired resource_core::parts::acquire_taken(std::uint32_t slot, std::uint64_t now,
                                                  std::chrono::nanoseconds timeout, bool priority,
                                                  site where) {
    caller_deadline deadline{time_, timeout.count() != 0 ? timeout : params_.acquire_timeout,
                             where};
    for (;;) {
        if (slot == no_slot) {
            slot = open_door() ? take_free(priority) : no_slot;
            if (slot == no_slot) {
                return acquire_waiting(deadline, priority, where);
            }
            now = lease_stamp(hint_for(id_));
        }
        if (ready(slot, now, &deadline)) {
            return {.got = lend_after(slot, now, where, 0), .error = nullptr};
        }
        if (deadline.passed()) {
            return failed(resource_error_kind::timeout, deadline);
        }
        slot = no_slot;
    }
}

core_lease resource_core::parts::try_acquire(site where) noexcept {
    while (open_door()) {
        const std::uint32_t slot = take_free(false);
        if (slot == no_slot) {
            break;
        }
        const std::uint64_t now = lease_stamp(hint_for(id_));
        if (ready(slot, now, nullptr)) {
            return lend_after(slot, now, where, 0);
        }
    }
    return {};
}

}  // namespace ropeway::detail
