// SPDX-License-Identifier: Apache-2.0
//
// Callers that wait: into the queue, out of it by hand-over, deadline or end. See the invariants in
// resource_parts.hpp.
#include <algorithm>
#include <utility>

#include <ropeway/pool/process_barrier.hpp>

#include "resource_parts.hpp"

namespace ropeway::detail {

bool resource_core::parts::enqueue(waiter& me, resource_error_kind& refused) noexcept {
    const std::lock_guard hold(lock_);
    // relaxed: the bits change under lock_
    const std::uint64_t door = door_.load(std::memory_order_relaxed);
    const bool again = me.turn != 0;
    if ((door & door_bits::closed) != 0) {
        refused = resource_error_kind::closed;
        return false;
    }
    if ((door & door_bits::suspended) != 0 && !again) {
        refused = resource_error_kind::suspended;
        return false;
    }
    if (queue_.size() >= params_.max_waiters && !again) {
        refused = resource_error_kind::queue_full;
        return false;
    }
    me.word.store(waiter_word::waiting, std::memory_order_relaxed);  // relaxed: not yet shared
    queue_.add(me);
    // relaxed: numbers for the I/O thread, which is woken after them
    waiting_first_.store(queue_.size(true), std::memory_order_relaxed);
    waiting_second_.store(queue_.size(false), std::memory_order_relaxed);
    door_.fetch_add(1, std::memory_order_seq_cst);  // invariants 1 and 2
    return true;
}

bool resource_core::parts::leave_queue(waiter& me) noexcept {
    const std::lock_guard hold(lock_);
    // relaxed: it changes under lock_
    if (me.word.load(std::memory_order_relaxed) != waiter_word::waiting) {
        return false;
    }
    queue_.take(me);
    // relaxed: as in enqueue
    waiting_first_.store(queue_.size(true), std::memory_order_relaxed);
    waiting_second_.store(queue_.size(false), std::memory_order_relaxed);
    door_.fetch_sub(1, std::memory_order_seq_cst);  // invariant 1
    return true;
}

waiter* resource_core::parts::hand_over() noexcept {
    const std::lock_guard hold(lock_);
    // relaxed: the bits change under lock_
    if ((door_.load(std::memory_order_relaxed) & (door_bits::suspended | door_bits::closed)) != 0) {
        return nullptr;
    }
    for (const bool priority : {true, false}) {
        waiter* const first = queue_.first(priority);
        if (first == nullptr) {
            continue;
        }
        const std::uint32_t slot = take(priority);
        if (slot == no_slot) {
            continue;
        }
        queue_.take(*first);
        // relaxed: as in enqueue
        waiting_first_.store(queue_.size(true), std::memory_order_relaxed);
        waiting_second_.store(queue_.size(false), std::memory_order_relaxed);
        door_.fetch_sub(1, std::memory_order_seq_cst);  // invariant 1
        first->slot = slot;
        // release: pairs with acquire_waiting's load: the slot's number. The node may be gone from
        // here on.
        first->word.store(waiter_word::handed, std::memory_order_release);
        return first;
    }
    return nullptr;
}

void resource_core::parts::serve_waiters() noexcept {
    while (waiter* const served = hand_over()) {
        time_.notify(served->word);
    }
}

void resource_core::parts::end_waiters(resource_error_kind why) noexcept {
    for (;;) {
        waiter* ended = nullptr;
        {
            const std::lock_guard hold(lock_);
            ended = queue_.first(true) != nullptr ? queue_.first(true) : queue_.first(false);
            if (ended == nullptr) {
                return;
            }
            queue_.take(*ended);
            // relaxed: as in enqueue
            waiting_first_.store(queue_.size(true), std::memory_order_relaxed);
            waiting_second_.store(queue_.size(false), std::memory_order_relaxed);
            door_.fetch_sub(1, std::memory_order_seq_cst);  // invariant 1
            ended->why = why;
            // release: pairs with acquire_waiting's load: why
            ended->word.store(waiter_word::ended, std::memory_order_release);
        }
        time_.notify(ended->word);
    }
}

core_acquired resource_core::parts::acquire_waiting(caller_deadline& deadline, bool priority,
                                                    site where) {
    if (!at_home()) {
        return failed(resource_error_kind::closed, deadline);
    }
    const auto end = deadline.end();
    waiter me;
    me.priority = priority;
    for (;;) {
        resource_error_kind refused = resource_error_kind::none;
        if (!enqueue(me, refused)) {
            return failed(refused, deadline);
        }
        // seq_cst (both): invariant 2, after enqueue() and before the look for idle slots
        if (light_ && (care_.load(std::memory_order_seq_cst) & care_bits::waiters) == 0) {
            care_.fetch_or(care_bits::waiters, std::memory_order_seq_cst);
            process_barrier();  // for those who return without a fence
        }
        serve_waiters();
        // acquire: pairs with hand_over() and end_waiters()
        std::uint32_t word = me.word.load(std::memory_order_acquire);
        // seq_cst: pairs with open_missing(), which looks for waiters after it said there is room
        if (word == waiter_word::waiting && room_.load(std::memory_order_seq_cst)) {
            wake();
        }
        while (word == waiter_word::waiting) {
            if (time_.now() >= end && leave_queue(me)) {
                return failed(why_late(), deadline);
            }
            time_.wait(me.word, waiter_word::waiting, end);
            word = me.word.load(std::memory_order_acquire);  // pairs with the same
        }
        if (word == waiter_word::ended) {
            return failed(me.why, deadline);
        }
        const std::uint64_t now = precise_ ? stamp() : stamp() | timed_lease;
        if (ready(me.slot, now, &deadline)) {
            const auto waited = (time_.now() - deadline.began()).count();
            const std::uint64_t ns = std::max<std::uint64_t>(static_cast<std::uint64_t>(waited), 1);
            note_wait(ns);
            return {.got = lend_after(me.slot, now, where, ns), .error = nullptr};
        }
        if (deadline.passed()) {
            return failed(why_late(), deadline);
        }
    }
}

resource_error_kind resource_core::parts::why_late() const noexcept {
    const slot_counts counts = count();
    const auto cause = open_kind_.load(std::memory_order_relaxed);  // relaxed: a number
    if (counts.open() == 0 && cause != resource_error_kind::none) {
        return cause;
    }
    if (counts.open() == 0 && counts[slot_phase::quarantined] != 0) {
        return resource_error_kind::quarantined;
    }
    return resource_error_kind::timeout;
}

void resource_core::parts::note_wait(std::uint64_t ns) noexcept {
    {
        const std::lock_guard hold(figures_lock_);
        waits_.record(ns);
    }
    const auto now = time_.now().time_since_epoch();
    const auto slice = static_cast<std::uint64_t>(now / std::chrono::seconds{10}) & 0xFF'FFFF;
    const std::uint64_t us = std::min<std::uint64_t>(ns / 1000, (std::uint64_t{1} << 40) - 1);
    auto& cell = wait_slices_[slice % wait_slices_.size()];
    // relaxed (both): numbers
    std::uint64_t seen = cell.load(std::memory_order_relaxed);
    const std::uint64_t mine = (slice << 40) | us;
    while (((seen >> 40) != slice || seen < mine) &&
           !cell.compare_exchange_weak(seen, mine, std::memory_order_relaxed,
                                       std::memory_order_relaxed)) {
    }
}

void resource_core::parts::note_failed(resource_error_kind kind, std::chrono::nanoseconds waited,
                                       site where) noexcept {
    constexpr std::uint32_t most_queued = 64;
    if (!params_.observer) {
        return;
    }
    // relaxed (all): a bound. The I/O thread is not woken: it tells with what it does next.
    if (failures_queued_.fetch_add(1, std::memory_order_relaxed) >= most_queued ||
        !returns_.push({.kind = return_notice::what::failed,
                        .slot = static_cast<std::uint32_t>(kind),
                        .lasted_ns = static_cast<std::uint64_t>(waited.count()),
                        .who = lease_who::acquired(where.id(), thread_number())})) {
        failures_queued_.fetch_sub(1, std::memory_order_relaxed);
    }
}

core_acquired resource_core::parts::failed(resource_error_kind kind, caller_deadline& deadline) {
    auto why = std::make_unique<pool_error>();
    why->kind = kind;
    why->pool = params_.name;
    why->waited = time_.now() - deadline.began();
    if (!at_home()) {
        why->cause = {.kind = resource_error_kind::closed,
                      .code = {},
                      .text =
                          "this process is a fork of the one that owns the pool: make a pool "
                          "of your own after fork()"};
        return {.got = {}, .error = std::move(why)};
    }
    const bool refused = kind == resource_error_kind::queue_full ||
                         kind == resource_error_kind::suspended ||
                         kind == resource_error_kind::closed;
    // relaxed: numbers
    (refused ? refused_ : timeouts_).fetch_add(1, std::memory_order_relaxed);
    if (!refused) {
        note_wait(static_cast<std::uint64_t>(why->waited.count()));
    }
    note_failed(kind, why->waited, deadline.where());
    why->snapshot = snapshot();
    why->holders = holders();
    why->holders.resize(std::min<std::size_t>(why->holders.size(), 16));
    const std::lock_guard hold(figures_lock_);
    why->cause = open_error_ ? open_error_ : last_error_;
    return {.got = {}, .error = std::move(why)};
}

}  // namespace ropeway::detail
