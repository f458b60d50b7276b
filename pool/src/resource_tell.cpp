// SPDX-License-Identifier: Apache-2.0
//
// What the I/O thread tells: errors, liveness, the answer to start(), the pool's state, the loss of
// everything and its end.
#include <algorithm>

#include "resource_parts.hpp"

namespace ropeway::detail {

void resource_core::parts::note_error(const resource_error& error) noexcept {
    if (!error) {
        return;
    }
    // relaxed (both): numbers
    error_at_.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
    last_kind_.store(error.kind, std::memory_order_relaxed);
    const std::lock_guard hold(figures_lock_);
    last_error_ = error;
}

void resource_core::parts::tell(resource_event event) const noexcept {
    if (!params_.observer) {
        return;
    }
    event.pool = params_.name;
    params_.observer(event);
}

void resource_core::parts::tell_liveness(liveness_input input) noexcept {
    live_told_at_ = now_;
    const auto change = live_.tell(input);
    if (!change) {
        return;
    }
    liveness_now_.store(change->to, std::memory_order_relaxed);  // relaxed: a number
    resource_event event;
    event.kind = resource_event_kind::liveness_changed;
    event.from_liveness = change->from;
    event.to_liveness = change->to;
    tell(event);
}

void resource_core::parts::answer_start(const slot_counts& counts) noexcept {
    if (start_answer_ != 0) {
        return;
    }
    const auto kind = open_kind_.load(std::memory_order_relaxed);  // relaxed: own
    const bool tries_over = start_failures_ >= params_.startup_attempts ||
                            retry_at_ == resource_clock_point::max() ||  // none will follow
                            kind == resource_error_kind::authentication ||
                            kind == resource_error_kind::invalid;
    const std::uint32_t least = min_size_.load(std::memory_order_relaxed);  // relaxed: an order
    const bool degraded = params_.on_startup == startup::start_degraded;
    std::uint32_t answer = 0;
    if (counts.idle() + counts.active() >= least) {
        answer = 1;
    } else if (retry_pending_ && counts[slot_phase::opening] == 0) {
        answer = degraded ? 1 : tries_over ? 2 : 0;
    }
    if (answer == 0) {
        return;
    }
    resource_event event;
    resource_error error;
    event.kind = resource_event_kind::started;
    event.count = counts.open();
    event.lasted = now_ - began_;
    if (answer == 2) {
        const std::lock_guard hold(figures_lock_);
        error = open_error_;
        event.kind = resource_event_kind::start_failed;
        event.error = &error;
    }
    tell(event);
    start_answer_ = answer;
}

void resource_core::parts::end_start() noexcept {
    // relaxed: own
    std::uint32_t word = start_word_.load(std::memory_order_relaxed);
    // release: pairs with start(): whoever it lets go on sees the state that was told; relaxed:
    // shutdown() has let it go on before
    while (start_answer_ != 0 && (word == start_words::waits || word == start_words::help)) {
        if (start_word_.compare_exchange_weak(word, start_answer_, std::memory_order_release,
                                              std::memory_order_relaxed)) {
            time_.notify(start_word_);
            return;
        }
    }
}

void resource_core::parts::tell_state() noexcept {
    tell_orders();
    const slot_counts counts = count();
    const pool_state from = state_.load(std::memory_order_relaxed);    // relaxed: own
    const bool ending = end_at_.load(std::memory_order_relaxed) != 0;  // relaxed: an order
    tell_loss(counts, ending);
    pool_state to = from;
    if (ending) {
        to = pool_state::shutting_down;
    } else if (start_answer_ != 1) {
        to = pool_state::initializing;
    } else if (lost_ || (counts.open() == 0 && retry_pending_)) {
        to = pool_state::recovering;
    } else if (live_.state() == liveness_state::unhealthy) {
        to = pool_state::unhealthy;
    } else if (counts.open() < min_size_.load(std::memory_order_relaxed) ||  // relaxed: an order
               live_.state() == liveness_state::suspect || !leak_times_.empty() ||
               counts[slot_phase::quarantined] != 0) {
        to = pool_state::degraded;
    } else {
        to = pool_state::healthy;
    }
    set_state(to);
}

void resource_core::parts::set_state(pool_state to) noexcept {
    const pool_state from = state_.load(std::memory_order_relaxed);  // relaxed: own
    if (from == to || !may_follow(from, to)) {
        return;
    }
    state_.store(to, std::memory_order_relaxed);  // relaxed: a number
    resource_event event;
    event.kind = resource_event_kind::state_changed;
    event.from_state = from;
    event.to_state = to;
    tell(event);
}

void resource_core::parts::tell_loss(const slot_counts& counts, bool ending) noexcept {
    const std::uint32_t least = min_size_.load(std::memory_order_relaxed);  // relaxed: an order
    const std::uint32_t open = counts.open();
    resource_event event;
    if (!was_up_) {
        was_up_ = start_answer_ == 1;
        return;
    }
    const bool hopeless = retry_pending_ || live_.state() == liveness_state::unhealthy;
    if (!lost_ && !ending && open == 0 && hopeless) {
        lost_ = true;
        lost_at_ = now_;
        forgive_slots();
        resource_error error = last_error();
        event.kind = resource_event_kind::lost;
        event.error = &error;
        tell(event);
    } else if (lost_ && open != 0 && open >= least) {
        lost_ = false;
        event.kind = resource_event_kind::recovered;
        event.count = counts.idle();
        event.limit = open;
        event.lasted = now_ - lost_at_;
        tell(event);
    }
}

void resource_core::parts::forgive_slots() noexcept {
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        const bool rested = tasks_[slot].history.resting();
        tasks_[slot].history.forget();
        // relaxed: a slot that rests is this thread's own
        const std::uint64_t word = leases_[slot].word.load(std::memory_order_relaxed);
        if (lease_word::phase(word) == slot_phase::quarantined) {
            set_phase(slot, slot_phase::empty);
        }
        if (rested) {
            resource_event event;
            event.kind = resource_event_kind::quarantine_over;
            event.resource = leases_[slot].number.load(std::memory_order_relaxed);  // relaxed: own
            tell(event);
        }
    }
}

void resource_core::parts::tell_orders() noexcept {
    resource_event event;
    // acquire (both): pair with the order's release
    if (const std::uint32_t before = resized_from_.exchange(0, std::memory_order_acquire)) {
        event.kind = resource_event_kind::resized;
        event.limit = before;
        event.count = max_size_.load(std::memory_order_relaxed);  // relaxed: an order
        tell(event);
    }
    if (const std::uint32_t order = suspend_told_.exchange(0, std::memory_order_acquire)) {
        event = {};
        event.kind = order == 1 ? resource_event_kind::suspended : resource_event_kind::resumed;
        tell(event);
    }
}

resource_error resource_core::parts::last_error() const {
    if (!at_home()) {
        return {};  // a fork: the lock may be held by a thread that is not here
    }
    const std::lock_guard hold(figures_lock_);
    return last_error_;
}

}  // namespace ropeway::detail
