// SPDX-License-Identifier: Apache-2.0
//
// What a consumer has beside its events: a timer, a call when it falls idle, and others that must
// have handled an event before it does.
#include <atomic>
#include <bit>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "pass_rest.hpp"
#include "sequence_cut.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {

void engine::call_timer(subscription_core& sub) noexcept {
    // Relaxed: a look. Acquire pairs with set_off_timers(), for nothing but order.
    if (sub.timer_due.load(std::memory_order_relaxed) != 0 &&
        sub.timer_due.exchange(0, std::memory_order_acquire) != 0) [[unlikely]] {
        const handler_scope inside{*this, sub};
        sub.face.timer(sub.face.object);
    }
}

void engine::call_idle(subscription_core& sub) noexcept {
    if (sub.face.idle != nullptr && !sub.ending()) {
        const handler_scope inside{*this, sub};
        sub.face.idle(sub.face.object);
    }
}

void engine::quarantined(subscription_core& sub) noexcept {
    const auto rest = static_cast<std::uint64_t>(sub.quarantine.retry_after.count());
    // Relaxed: whoever looks for work re-checks under `owned`.
    sub.quarantined_until.store(tick_clock::now() + tick_clock::from_ns(rest),
                                std::memory_order_relaxed);
    sub.quarantines.add(1);
    quarantined_.fetch_or(bit_of(sub.number), std::memory_order_relaxed);
    something_to_tell();
}

bool engine::stays_in_quarantine(subscription_core& sub) noexcept {
    const std::uint64_t until = sub.quarantined_until.load(std::memory_order_relaxed);  // our own
    if (until == 0) [[likely]] {
        return false;
    }
    if (tick_clock::now() < until) {
        pass_over_market_data(sub);
        return true;
    }
    // Relaxed: as in quarantined().
    sub.quarantined_until.store(0, std::memory_order_relaxed);
    quarantined_.fetch_and(~bit_of(sub.number), std::memory_order_relaxed);
    return false;
}

void engine::pass_over_market_data(subscription_core& sub) noexcept {
    const auto passed = [&](publisher_core& from, const void* event, std::uint64_t sequence) {
        sub.missed[kind_index(ops_.kind_of(event))].add(1);
        if (sequence == from.awaited()) {
            from.note_outcome(sub.number, sequence, delivery_outcome::dropped);
        }
    };
    const inbox& box = sub.box[index_of(ring_class::market)];
    for (std::uint32_t i = box.head; i != box.count; ++i) {
        passed(*box.from, box.events[i], box.sequences[i]);
    }
    sub.face.discard(sub, *this, ring_class::market);
    for (const auto& from : publishers()) {
        pass_rest(
            sub, *from, ring_class::market, in_rescue::leaves,
            [&](const void* event, std::uint64_t sequence) { passed(*from, event, sequence); });
    }
}

bool engine::market_data_waits(const subscription_core& sub) const noexcept {
    for (const auto& from : publishers()) {
        std::uint64_t unused = 0;
        if (lag_in(*from, sub.number, ring_class::market, 0, unused) != 0) {
            return true;
        }
    }
    return false;
}

std::uint64_t engine::set_off_timers(std::uint64_t now) noexcept {
    std::uint64_t earliest = 0;
    // Relaxed: who sets a bit unparks us after.
    const std::uint64_t resting = quarantined_.load(std::memory_order_relaxed);
    if ((timers_.load(std::memory_order_relaxed) | resting) == 0) {
        return earliest;
    }
    const std::lock_guard lock{faces_};  // no subscription ends meanwhile
    for (std::uint64_t bits = resting & live(); bits != 0; bits &= bits - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(bits))];
        const std::uint64_t until =
            sub.quarantined_until.load(std::memory_order_relaxed);  // relaxed: a look
        if (until <= now) {
            look_again(sub);
        }
        earliest = earliest == 0 ? std::max(until, now) : std::min(earliest, std::max(until, now));
    }
    std::uint64_t left = timers_.load(std::memory_order_relaxed) & live();  // relaxed: as above
    for (; left != 0; left &= left - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        // Relaxed: the supervisor's, once it is live.
        std::uint64_t next = sub.timer_next.load(std::memory_order_relaxed);
        if (next <= now) {
            const std::uint64_t period = sub.timer_ticks.load(std::memory_order_relaxed);
            next = std::max(next + period, now + 1);  // late ones are called once
            sub.timer_next.store(next, std::memory_order_relaxed);
            sub.timer_due.store(1, std::memory_order_release);  // pairs with call_timer()
            look_again(sub);
        }
        earliest = earliest == 0 ? next : std::min(earliest, next);
    }
    return earliest;
}

bool engine::first_waits_for_others(const subscription_core& sub, const publisher_core& from,
                                    ring_class c) const noexcept {
    // Relaxed throughout: a look; whoever lets it go, or announces, looks again after.
    const auto first = [&](ring_class of) -> std::uint64_t {
        const cursor_block& block = from.rings[index_of(of)].cursors[sub.number];
        if (const std::uint64_t kept = block.first_kept.load(std::memory_order_relaxed);
            kept != 0) {
            return kept;
        }
        const std::uint64_t word = block.cursor.load(std::memory_order_relaxed);
        if (cursor_word::busy(word) || word == cursor_word::join ||
            block.kept.load(std::memory_order_relaxed) != 0) {
            return 0;  // unknown: a turn tells
        }
        return cursor_word::position(word) < from.committed(of)
                   ? from.sequence_in(of, cursor_word::position(word))
                   : ~std::uint64_t{0};
    };
    const std::uint64_t mine = first(c);
    if (mine >= handled_by_others(sub, from, c)) {
        return true;
    }
    if (sub.order != event_order::in_sequence) {
        return false;
    }
    const auto other = static_cast<ring_class>(1 - index_of(c));
    const std::uint64_t before = first(other);
    return before < mine && before >= handled_by_others(sub, from, other);
}

void engine::announce(subscription_core& sub) noexcept {
    // Relaxed: who begins to follow asks for an announcement after.
    if (sub.followed.load(std::memory_order_relaxed) == 0) [[likely]] {
        return;
    }
    sub.to_announce.store(0, std::memory_order_seq_cst);  // before the look at the rings
    bool moved = false;
    for (const auto& from : publishers()) {
        const sequence_cut cut{sub, *from, ~std::uint64_t{0},
                               from->tail.load(std::memory_order_acquire)};  // pairs: commit()
        for (const ring_class c : {ring_class::market, ring_class::critical}) {
            cursor_block& block = from->rings[index_of(c)].cursors[sub.number];
            const inbox& box = sub.box[index_of(c)];
            std::uint64_t next = 0;
            if (!box.empty() && box.from == from.get()) {
                next = box.sequences[box.head];
            } else if (!cut.first_of(c, next, *this)) {
                continue;  // a rescue is at work, and is followed by another turn
            } else if ((block.cursor.load(std::memory_order_relaxed) & cursor_word::closed_bit) !=
                       0) {
                next = ~std::uint64_t{0};  // disconnected: it handles nothing any more
            }
            // Relaxed: our own.
            if (block.handled.load(std::memory_order_relaxed) != next) {
                // Release pairs with handled_by_others(): what our handlers did is visible.
                block.handled.store(next, std::memory_order_release);
                moved = true;
            }
        }
    }
    if (moved) {
        wake();  // inline followers: whoever announces serves them, or says that a worker is to
    }
}

std::string engine::path_between(const subscription_core& from, const subscription_core& to) const {
    // Depth first; relaxed: under the registry's lock.
    if (&from == &to) {
        return "\"" + to.name + "\"";
    }
    for (std::uint64_t left = from.after.load(std::memory_order_relaxed); left != 0;
         left &= left - 1) {
        const subscription_core& next =
            subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        if (const std::string rest = path_between(next, to); !rest.empty()) {
            return "\"" + from.name + "\" after " + rest;
        }
    }
    return {};
}

void engine::follow(subscription_core& sub, const std::vector<subscription_core*>& others) {
    std::uint64_t after = 0;
    for (subscription_core* const other : others) {
        if (const std::string path = path_between(*other, sub); !path.empty()) {
            throw std::invalid_argument("subscription_params::after makes a cycle: \"" + sub.name +
                                        "\" after " + path + ". None of them would get an event.");
        }
        after |= bit_of(other->number);
    }
    for (subscription_core* const other : others) {
        other->followed.store(1, std::memory_order_relaxed);     // relaxed: the next line's order
        other->to_announce.store(1, std::memory_order_seq_cst);  // it says where it is
    }
    sub.after.store(after, std::memory_order_relaxed);  // relaxed: under the registry's lock
    note_change();  // whoever serves one of the others looks again
}

void engine::set_after(subscription_core& sub, const std::vector<subscription_core*>& others) {
    {
        const std::lock_guard lock{registry_};
        follow(sub, others);
    }
    wake();
    serve_inline();
}

}  // namespace ropeway::detail
