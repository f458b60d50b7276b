// SPDX-License-Identifier: Apache-2.0
//
// What the I/O thread looks after: that enough is open, that no more than needed is, leaks,
// periodic probes, and the states it tells its observer.
#include <algorithm>

#include "resource_parts.hpp"

namespace ropeway::detail {

namespace {
constexpr auto forever = resource_clock_point::max();
constexpr std::chrono::seconds leak_window{60};
}  // namespace

void resource_core::parts::open_missing() noexcept {
    const slot_counts counts = count();
    const std::uint32_t most = most_;
    // relaxed: an order. It may be newer than the maximum: bounded by it below.
    const std::uint32_t least = min_size_.load(std::memory_order_relaxed);
    const std::uint32_t taken =
        counts.open() + counts[slot_phase::opening] + counts[slot_phase::closing];
    // seq_cst: pairs with acquire_waiting(), which enters the queue and then looks at it
    room_.store(taken < most, std::memory_order_seq_cst);
    const bool waited_for = (door_.load(std::memory_order_seq_cst) & door_bits::waiters) != 0;
    // relaxed (both): numbers
    const std::uint32_t first = waiting_first_.load(std::memory_order_relaxed);
    const std::uint32_t second = waiting_second_.load(std::memory_order_relaxed);
    const std::uint32_t busy = counts.active();
    const std::uint32_t open_to_all = most - std::min(most, params_.reserved);
    const std::uint32_t useful =
        first + std::min(second, open_to_all - std::min(open_to_all, busy));
    const std::uint32_t want = std::min(most, std::max(least, busy + useful));
    const std::uint32_t have = counts.open() + counts[slot_phase::opening];
    if (want <= have || taken >= most) {
        return;
    }
    std::uint32_t n = std::min(want - have, most - taken);
    if (retry_pending_) {
        if (waited_for && params_.reconnect.while_waiting.count() != 0) {
            retry_at_ = std::min<resource_clock_point>(retry_at_,
                                                       tried_at_ + params_.reconnect.while_waiting);
        }
        if (now_ < retry_at_) {
            return;
        }
        retry_pending_ = false;
        if (was_up_) {
            n = counts.open() == 0 ? 1 : n;
            resource_event event;
            event.kind = resource_event_kind::retry;
            event.count = schedule_.attempts();
            event.lasted = planned_delay_;
            tell(event);
            tell_liveness(liveness_input::retrying);
        }
    }
    tried_at_ = now_;
    for (std::uint32_t slot = 0; slot != most && n != 0; ++slot) {
        n -= open_slot(slot) ? 1U : 0U;
    }
}

void resource_core::parts::shrink() noexcept {
    if (params_.max_idle.count() == 0) {
        return;
    }
    const slot_counts counts = count();
    const std::uint32_t least = min_size_.load(std::memory_order_relaxed);  // relaxed: an order
    const std::uint32_t before = counts.open();
    std::uint32_t open = before;
    const auto limit =
        static_cast<std::uint64_t>(std::chrono::nanoseconds{params_.max_idle}.count());
    for (std::uint32_t slot = static_cast<std::uint32_t>(tasks_.size()); slot-- != 0;) {
        lease_block& block = leases_[slot];
        const std::uint64_t word = block.word.load(std::memory_order_relaxed);  // relaxed: retire()
        // relaxed: one that is leased in between is not idle any more
        const auto idled = block.returned_at.load(std::memory_order_relaxed);
        const task_block& of = tasks_[slot];
        // A probe is no use: what is only probed is idle all the while.
        const auto since = of.unused_since != 0 && idled == of.idled_at ? of.unused_since : idled;
        if (open > least && lease_word::phase(word) == slot_phase::idle &&
            between(since, stamp_now_) >= limit && close_idle(slot, close_reason::idle)) {
            --open;
        }
    }
    if (open != before) {
        resource_event event;
        event.kind = resource_event_kind::shrunk;
        event.limit = before;
        event.count = open;
        tell(event);
    }
}

void resource_core::parts::close_above(std::uint32_t most) noexcept {
    std::uint32_t open = count().open();
    for (std::uint32_t slot = 0; open > most && slot != tasks_.size(); ++slot) {
        open -= close_idle(slot, close_reason::evicted) ? 1U : 0U;
    }
}

bool resource_core::parts::close_idle(std::uint32_t slot, close_reason why) noexcept {
    lease_block& block = leases_[slot];
    std::uint64_t word = block.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    if (lease_word::phase(word) != slot_phase::idle ||
        // acquire: pairs with who made it idle
        !block.word.compare_exchange_strong(word, lease_word::into(word, slot_phase::closing),
                                            std::memory_order_acquire, std::memory_order_relaxed)) {
        return false;
    }
    close(slot, why);
    return true;
}

void resource_core::parts::probe_due() noexcept {
    probe_next_ = forever;
    const auto every = std::chrono::nanoseconds{params_.probe_interval};
    const auto live_after = live_.next_probe_after();
    const bool live_due = live_after.count() != 0 && now_ >= live_told_at_ + live_after;
    bool live_done = !live_due;
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        task_block& of = tasks_[slot];
        lease_block& block = leases_[slot];
        std::uint64_t word =
            block.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
        if (lease_word::phase(word) != slot_phase::idle || of.running) {
            continue;
        }
        // relaxed: one that is leased in between is not idle any more
        const auto idle = std::chrono::nanoseconds{
            between(block.returned_at.load(std::memory_order_relaxed), stamp_now_)};
        const auto answered = std::max<resource_clock_point>(of.checked_at, now_ - idle);
        const bool due = every.count() != 0 && now_ >= answered + every;
        if (!due && live_done && !probe_all_) {
            if (every.count() != 0) {
                probe_next_ = std::min<resource_clock_point>(probe_next_, answered + every);
            }
            continue;
        }
        // acquire: pairs with who made it idle
        if (block.word.compare_exchange_strong(word, lease_word::into(word, slot_phase::checking),
                                               std::memory_order_acquire,
                                               std::memory_order_relaxed)) {
            live_done = true;
            live_told_at_ = now_;
            begin(slot, resource_task::probe,
                  std::min<std::chrono::nanoseconds>(params_.probe_timeout, live_.probe_timeout()));
        }
    }
    probe_all_ = false;
    if (live_after.count() != 0 && count().idle() != 0) {
        // Due already, and no idle one could be had for it: looked at again after the same time.
        const auto from = live_due && !live_done ? now_ : live_told_at_;
        probe_next_ = std::min<resource_clock_point>(probe_next_, from + live_after);
    }
    judge_opens();
}

void resource_core::parts::judge_opens() noexcept {
    const slot_counts counts = count();
    if (live_.state() != liveness_state::suspect || counts.open() != 0 ||
        counts[slot_phase::opening] == 0) {
        return;
    }
    auto began = forever;
    for (const task_block& of : tasks_) {
        if (of.running && of.task == resource_task::open) {
            began = std::min(began, of.began_at);
        }
    }
    const auto due = std::max(live_told_at_, began) + live_.probe_timeout();
    if (now_ < due) {
        probe_next_ = std::min<resource_clock_point>(probe_next_, due);
        return;
    }
    tell_liveness(liveness_input::failure);
    if (live_.state() == liveness_state::suspect) {
        probe_next_ = std::min<resource_clock_point>(probe_next_, now_ + live_.probe_timeout());
    }
}

void resource_core::parts::scan_leaks() noexcept {
    const auto limit =
        static_cast<std::uint64_t>(std::chrono::nanoseconds{params_.leak_timeout}.count());
    for (std::uint32_t slot = 0; limit != 0 && slot != tasks_.size(); ++slot) {
        const lease_block& block = leases_[slot];
        // acquire: pairs with the acquirer's CAS at the latest; the stamps below are his or older
        const std::uint64_t word = block.word.load(std::memory_order_acquire);
        if (lease_word::phase(word) != slot_phase::active || (word & lease_word::overdue) != 0) {
            continue;
        }
        if (!is_lent(block)) {
            continue;
        }
        // relaxed: ordered by is_lent()
        const std::uint64_t at = block.acquired_at.load(std::memory_order_relaxed);
        if (between(at, stamp_now_) >= limit) {
            tell_leak(slot, word, between(at, stamp_now_));
        }
    }
    const auto old = std::find_if(leak_times_.begin(), leak_times_.end(),
                                  [this](auto at) { return now_ - at < leak_window; });
    leak_times_.erase(leak_times_.begin(), old);
    // relaxed: a number
    recent_leaks_.store(static_cast<std::uint32_t>(leak_times_.size()), std::memory_order_relaxed);
}

void resource_core::parts::tell_leak(std::uint32_t slot, std::uint64_t word,
                                     std::uint64_t age_ns) noexcept {
    lease_block& block = leases_[slot];
    std::array<const void*, lease_frames> stack{};
    std::size_t frames = 0;
    // relaxed (both): the CAS below finds out whether it is still this lease
    const std::uint64_t who = block.who.load(std::memory_order_relaxed);
    for (const auto& each : block.stack) {
        if (const void* const frame = each.load(std::memory_order_relaxed)) {
            stack[frames++] = frame;
        }
    }
    begin_flagging();
    // acq_rel: the loads above stay before it; the holder sees the flag at his return
    if (!block.word.compare_exchange_strong(word, word | lease_word::overdue,
                                            std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return;
    }
    tasks_[slot].flag_overdue = true;
    tasks_[slot].overdue = low_half(lease_word::generation(word));
    leaks_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a number
    if (leak_times_.size() < 1024) {
        leak_times_.push_back(now_);
    }
    resource_event event;
    event.kind = resource_event_kind::leak;
    event.resource = block.number.load(std::memory_order_relaxed);  // relaxed: own
    event.lasted = std::chrono::nanoseconds{age_ns};
    event.site = lease_who::acquire_site(who);
    event.thread = lease_who::acquire_thread(who);
    event.stack = stack.data();
    event.stack_size = frames;
    tell(event);
    event = {};
    event.kind = resource_event_kind::leaks_recent;
    event.count = leak_times_.size();
    tell(event);
}

}  // namespace ropeway::detail
