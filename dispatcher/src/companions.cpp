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

#include <ropeway/consumer/clock.hpp>
#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>

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

std::uint64_t engine::set_off_timers(std::uint64_t now) noexcept {
    std::uint64_t earliest = 0;
    if (timers_.load(std::memory_order_relaxed) == 0) {  // relaxed: who sets one unparks us after
        return earliest;
    }
    const std::lock_guard lock{faces_};  // no subscription ends meanwhile
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

void engine::announce(subscription_core& sub) noexcept {
    // Relaxed: who begins to follow asks for an announcement after.
    if (sub.followed.load(std::memory_order_relaxed) == 0) [[likely]] {
        return;
    }
    sub.to_announce.store(0, std::memory_order_seq_cst);  // before the look at the rings
    bool moved = false;
    for (const auto& from : publishers()) {
        const sequence_cut cut{sub, *from, ~std::uint64_t{0}};
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
        wake();
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
