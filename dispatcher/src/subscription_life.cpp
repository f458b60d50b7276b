// SPDX-License-Identifier: Apache-2.0
//
// A subscription's end, and its changes while it runs. Whoever holds `owned` may change it; a
// publisher that reads it in a rescue is waited for.
#include <algorithm>
#include <bit>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>

#include "pass_rest.hpp"
#include "spin.hpp"
#include "supervisor.hpp"
#include "system.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {
namespace {

/// How long unsubscribe() waits for a handler that stop() gave up.
constexpr std::chrono::seconds patience_after_stop{1};

/// How long a handler may take before the cursors of a subscription that ends are closed under it.
constexpr std::chrono::milliseconds patience_with_handler{1};

}  // namespace

unsubscribe_report engine::remove_subscription(subscription_core& sub, leaving how,
                                               std::chrono::nanoseconds deadline) noexcept {
    unsubscribe_report report;
    if (handler_depth() != 0) {
        leave_to_worker(sub);
        wake();
        return report;
    }
    const auto until = end_of_wait(deadline);
    if (how == leaving::drain) {
        report.drained = drain_out(sub, until);
    }
    // Release: whoever serves it stops soon and leaves the rest to us. From here only we take it,
    // so the block cannot end, and begin another life, before we are done.
    sub.closing.store(subscription_core::waited_for, std::memory_order_release);
    note_change();
    const auto begin = steady_clock::now();
    auto gives_up = end_of_wait(patience_after_stop);
    bool left = false;
    backoff wait;
    while (!end_if_idle(sub, &report)) {
        const auto now = steady_clock::now();
        if (!left && now - begin >= patience_with_handler) {
            abandon(sub, report);
            left = true;
        }
        // Acquire pairs with stop(): the handler hangs, and nobody subscribes any more. It gets a
        // last chance, since what it captured may end with its subscription.
        if (gave_up_.load(std::memory_order_acquire) == 0) {
            gives_up = end_of_wait(patience_after_stop);
        }
        if (left && (now >= until || now >= gives_up)) {
            // The backlogs. Drained: what is left came later.
            const std::uint64_t kept = report.drained ? 0 : lag_of(sub, ring_class::critical);
            report.discarded_critical += kept;
            report.discarded += kept;
            leave_to_worker(sub);
            end_if_idle(sub);  // it came back in between
            return report;
        }
        wait.pause();
    }
    report.ended = true;
    return report;
}

bool engine::drain_out(subscription_core& sub, steady_clock::time_point until) noexcept {
    sub.drain_cut.fill(0);  // of a publisher that is made later: nothing
    for (const auto& from : publishers()) {
        sub.drain_cut[from->number_] = from->committed_sequence();
    }
    sub.draining.store(subscription_core::drains, std::memory_order_release);  // pairs: end_for()
    wake();
    backoff wait;
    // Acquire pairs with look_if_drained(): the handlers have returned.
    while (sub.draining.load(std::memory_order_acquire) != subscription_core::drained) {
        // Acquire pairs with stop(): nobody serves it any more.
        if (steady_clock::now() >= until || stopping() ||
            started_.load(std::memory_order_acquire) == 0) {
            return false;
        }
        serve_inline();
        wait.pause();
    }
    return true;
}

void engine::look_if_drained(subscription_core& sub) noexcept {
    // Acquire pairs with drain_out().
    if (sub.draining.load(std::memory_order_acquire) != subscription_core::drains ||
        (!planted(planted_bug::early_drained) && (!sub.box[0].empty() || !sub.box[1].empty()))) {
        return;
    }
    for (const auto& from : publishers()) {
        if (!drained_of(sub, *from)) {
            return;
        }
    }
    sub.draining.store(subscription_core::drained,
                       std::memory_order_release);  // pairs: drain_out()
}

bool engine::drained_of(subscription_core& sub, publisher_core& from) noexcept {
    const std::uint64_t before = end_for(sub, from);
    for (const ring_class c : {ring_class::market, ring_class::critical}) {
        cursor_block& block = from.rings[index_of(c)].cursors[sub.number];
        taken_range at;
        if (!look_at(sub, from, c, at)) {
            // Lapped: what it leaves is not counted yet; the next turn does. Relaxed: the cursor's
            // acquire.
            if ((at.cursor & cursor_word::closed_bit) != 0 &&
                sub.market_data.load(std::memory_order_relaxed) != subscription_core::lapped) {
                continue;
            }
            return false;
        }
        rescue_store& store = *from.stores_[sub.number];
        if (c == ring_class::critical) {
            store.gather_critical(block, before, sub, *this);
        } else if (sub.was_lossy && store.table != nullptr) {
            store.gather(block, at.first, before, sub, *this);
        }
        sub.kept_left |= store.left(c);
        if (store.left(c)) {
            return false;
        }
        if (at.first < from.committed(c) && from.sequence_in(c, at.first) < before) {
            return false;
        }
        // Lapped meanwhile? Then the cursor has moved, perhaps past an event that is kept by now:
        // the next look tells. The fence keeps this one behind those.
        std::atomic_thread_fence(std::memory_order_acquire);
        if (block.cursor.load(std::memory_order_relaxed) != at.cursor) {  // relaxed: the fence
            return false;
        }
    }
    return true;
}

void engine::abandon(subscription_core& sub, unsubscribe_report& report) noexcept {
    // What its worker holds is its own; what lies in the rings goes without it. Drained, it came
    // after the cut, and its worker has only not yet let go.
    report.discarded += report.drained ? 0 : lag_of(sub, ring_class::market);
    for (const auto& from : publishers()) {
        cursor_block& market = from->rings[0].cursors[sub.number];
        // Relaxed: the barrier orders it; pairs with take_range().
        market.left_behind.store(cursor_block::stops, std::memory_order_relaxed);
        const ring& places = from->rings[1];
        cursor_block& critical = places.cursors[sub.number];
        const std::uint64_t at = cursor_word::position(close_cursor(critical));
        const std::uint64_t left = report.drained ? 0 : from->committed(ring_class::critical) - at;
        report.discarded += left;
        report.discarded_critical += left;
    }
    barrier_everywhere();
    for (const auto& from : publishers()) {
        cursor_block& market = from->rings[0].cursors[sub.number];
        // Relaxed: changed by whoever holds the subscription, which is in its handler.
        if (market.policy.load(std::memory_order_relaxed) !=
            static_cast<std::uint32_t>(overflow::block)) {
            static_cast<void>(close_cursor(market));
        }
        // Release pairs with refresh(): the pin that our barrier brought out is visible.
        market.left_behind.store(cursor_block::abandoned, std::memory_order_release);
    }
}

bool engine::end_if_idle(subscription_core& sub, unsubscribe_report* report) noexcept {
    std::uint32_t was = subscription_core::idle;
    // seq_cst: in one order with `closing`, see leave_to_worker(); served to its end by whoever had
    // it, taken by nobody after us.
    if (!sub.owned.compare_exchange_strong(was, subscription_core::dead, std::memory_order_seq_cst,
                                           std::memory_order_relaxed)) {
        return false;
    }
    if (report != nullptr) {
        count_rest(sub, *report);
    }
    finish_removal(sub);
    return true;
}

void engine::count_rest(subscription_core& sub, unsubscribe_report& report) noexcept {
    const auto count = [&report](ring_class c, std::uint64_t n) {
        report.discarded += n;
        report.discarded_critical += c == ring_class::critical ? n : 0;
    };
    for (const ring_class c : {ring_class::market, ring_class::critical}) {
        const inbox& box = sub.box[index_of(c)];
        count(c, box.count - box.head);
        for (const auto& from : publishers()) {
            pass_rest(sub, *from, c, in_rescue::waits,
                      [&](const void*, std::uint64_t) { count(c, 1); });
        }
    }
    close_cursors(sub);  // no rescue keeps more of them from here on
    for (const auto& from : publishers()) {
        backlog& kept = from->stores_[sub.number]->critical;
        for (; !kept.empty(); kept.pop()) {
            count(ring_class::critical, kept.front().sequence < end_for(sub, *from) ? 1 : 0);
            sub.face.recycle(*this, *kept_, kept.front().slot);
        }
    }
    count(ring_class::market, discard_all(sub));
}

void engine::leave_to_worker(subscription_core& sub) noexcept {
    // seq_cst pairs with let_go(): a worker that lets it go afterwards sees this and ends it; one
    // that let it go before is followed by another, which finds it ready.
    sub.closing.store(subscription_core::marked, std::memory_order_seq_cst);
    note_change();
}

void engine::close_cursors(subscription_core& sub) noexcept {
    for (const auto& from : publishers()) {
        for (const ring& places : from->rings) {
            static_cast<void>(close_cursor(places.cursors[sub.number]));
        }
    }
}

std::uint64_t engine::close_cursor(cursor_block& block) noexcept {
    // acq_rel: from here the publisher neither waits for nor rescues this cursor.
    const std::uint64_t was =
        block.cursor.fetch_or(cursor_word::closed_bit, std::memory_order_acq_rel);
    wait_out_rescue(block);
    return was;
}

void engine::wait_out_rescue(cursor_block& block) noexcept {
    backoff wait;
    // Acquire pairs with rescue()'s end.
    while ((block.cursor.load(std::memory_order_acquire) & cursor_word::rescue_bit) != 0) {
        wait.pause();
    }
}

std::uint64_t engine::discard_all(subscription_core& sub) noexcept {
    for (const ring_class c : {ring_class::market, ring_class::critical}) {
        sub.face.discard(sub, *this, c);
    }
    std::uint64_t conflated = 0;
    for (const auto& from : publishers()) {
        rescue_store& store = *from->stores_[sub.number];
        for (; !store.critical.empty(); store.critical.pop()) {
            sub.face.recycle(*this, *kept_, store.critical.front().slot);
        }
        conflated += store.discard_conflated(end_for(sub, *from), sub, *this);
    }
    sub.kept_left = false;
    return conflated;
}

void engine::finish_removal(subscription_core& sub) noexcept {
    close_cursors(sub);
    void* object = nullptr;
    {
        const std::lock_guard lock{faces_};
        live_.fetch_and(~bit_of(sub.number), std::memory_order_seq_cst);    // pairs with refresh()
        timers_.fetch_and(~bit_of(sub.number), std::memory_order_relaxed);  // relaxed: a hint
        quarantined_.fetch_and(~bit_of(sub.number), std::memory_order_relaxed);  // as above
        (sub.execution == execution_mode::inline_ ? inline_ : groups_[sub.group]->members)
            .fetch_and(~bit_of(sub.number), std::memory_order_relaxed);  // relaxed: as above
        object = std::exchange(sub.face.object, nullptr);
    }
    static_cast<void>(discard_all(sub));
    sub.face.destroy(object);
    if (handler_depth() == 0) {  // not a worker's: nothing else would empty its magazines
        duplicates_->flush_thread();
        kept_->flush_thread();
    }
    const std::lock_guard lock{registry_};
    if (sub.execution == execution_mode::own_thread) {
        retire(sub);
    }
    // Relaxed throughout: under the registry's lock; whoever reads a bit too many waits a moment.
    if (sub.followed.load(std::memory_order_relaxed) != 0) {
        for (std::uint32_t i = 0; i < params_.max_subscriptions; ++i) {
            subscriptions_[i].after.fetch_and(~bit_of(sub.number), std::memory_order_relaxed);
        }
        wake();
        serve_inline_later();
    }
    refresh_wanted();
    taken_numbers_.fetch_and(~bit_of(sub.number), std::memory_order_release);  // vacant_number()
}

void engine::end_market_data(subscription_core& sub) noexcept {
    const inbox& box = sub.box[index_of(ring_class::market)];
    if (!box.empty() && box.where == held_in::ring) {
        return;  // its pin holds them in place; the turn after they are handled
    }
    const auto missed = [&](const void* event, std::uint64_t) {
        sub.missed[kind_index(ops_.kind_of(event))].add(1);
    };
    for (const auto& from : publishers()) {
        cursor_block& block = from->rings[0].cursors[sub.number];
        // Relaxed: ours, or closed already.
        if (sub.market_data.load(std::memory_order_relaxed) == subscription_core::disconnected &&
            (block.cursor.load(std::memory_order_relaxed) & cursor_word::closed_bit) != 0) {
            continue;  // all but a publisher that was made since
        }
        pass_rest(sub, *from, ring_class::market, in_rescue::waits, missed);
        static_cast<void>(close_cursor(block));
        // It conflated before: nobody reaches them behind a closed cursor.
        rescue_store::clear(block);
        static_cast<void>(from->stores_[sub.number]->discard_conflated(end_for(sub, *from), sub,
                                                                       *this, &sub.missed));
    }
    // Relaxed: whoever looks for work re-checks under `owned`.
    sub.market_data.store(subscription_core::disconnected, std::memory_order_relaxed);
}

bool engine::take_over(subscription_core& sub, std::chrono::nanoseconds deadline) noexcept {
    const auto until = end_of_wait(deadline);
    backoff wait;
    for (;;) {
        std::uint32_t nobody = subscription_core::idle;
        // seq_cst: as in look_once().
        if (sub.owned.compare_exchange_strong(nobody, subscription_core::served,
                                              std::memory_order_seq_cst,
                                              std::memory_order_relaxed)) {
            return true;
        }
        if (nobody == subscription_core::dead || steady_clock::now() >= until) {
            return false;
        }
        wait.pause();
    }
}

void engine::hand_back(subscription_core& sub) noexcept {
    let_go(sub);
    if (sub.execution == execution_mode::inline_) {
        serve_inline();
    } else {
        look_again(sub);
    }
}

change_status engine::set_interest(subscription_core& sub, kind_set kinds,
                                   std::vector<std::uint32_t> instruments,
                                   std::chrono::nanoseconds deadline) {
    if (kinds.empty()) {
        throw std::invalid_argument("subscription \"" + sub.name +
                                    "\": kinds is empty, so it would never get an event. Name the "
                                    "kinds it wants, or unsubscribe it.");
    }
    std::sort(instruments.begin(), instruments.end());
    auto next = std::make_unique<const interest>(
        interest{.kinds = kinds, .instruments = std::move(instruments)});
    return change(sub, deadline, [&] {
        check_conflatable(sub.name, sub.policy, kinds, sub.face);
        wanted_.fetch_or(kinds.bits(), std::memory_order_relaxed);  // relaxed: see wanted()
        renew_masks(sub.number, next.get());
        // Release pairs with wanted(); acquire with its writer.
        next.reset(sub.interested.exchange(next.release(), std::memory_order_acq_rel));
        for_each_cursor(sub, [](cursor_block& block) {
            // A rescue that begins after this sees the new interest. acq_rel: in the cursor's
            // order.
            block.cursor.fetch_or(0, std::memory_order_acq_rel);
            wait_out_rescue(block);
        });
        refresh_wanted();
    });
}

change_status engine::set_policy(subscription_core& sub, overflow policy,
                                 std::chrono::nanoseconds deadline) {
    return change(sub, deadline, [&] {
        check_conflatable(sub.name, policy, sub.wanted().kinds, sub.face);
        // Relaxed: we hold it.
        if (sub.market_data.load(std::memory_order_relaxed) != subscription_core::connected) {
            throw std::invalid_argument("subscription \"" + sub.name +
                                        "\": overflow::disconnect has ended its market data. "
                                        "Subscribe anew.");
        }
        for (const auto& from : publishers()) {
            if (policy == overflow::conflate) {
                from->stores_[sub.number]->make_table(sub.conflation_keys);
            }
        }
        for (const auto& from : publishers()) {
            cursor_block& block = from->rings[0].cursors[sub.number];
            // Release pairs with rescue(): the table is there.
            block.policy.store(static_cast<std::uint32_t>(policy), std::memory_order_release);
            // As in set_interest().
            block.cursor.fetch_or(0, std::memory_order_acq_rel);
            wait_out_rescue(block);
        }
        sub.policy = policy;
        sub.was_lossy |= policy != overflow::block;
        sub.together.store(0, std::memory_order_relaxed);  // relaxed: we hold it
    });
}

template <class Change>
change_status engine::change(subscription_core& sub, std::chrono::nanoseconds deadline,
                             Change&& make) {
    if (handler_depth() != 0) {
        return change_status::inside_handler;
    }
    if (!take_over(sub, deadline)) {
        return change_status::timed_out;
    }
    try {
        const std::lock_guard lock{registry_};
        make();
    } catch (...) {
        hand_back(sub);
        throw;
    }
    hand_back(sub);
    return change_status::done;
}

std::uint64_t engine::flip(std::uint64_t to) noexcept {
    std::uint64_t now = version_.load(std::memory_order_relaxed);  // the CAS re-checks it
    std::uint64_t next = 0;
    do {
        next = std::max(now + 1, to);
        // seq_cst: ordered with the workers' taking of subscriptions; see protocol P8.
    } while (!version_.compare_exchange_weak(now, next, std::memory_order_seq_cst,
                                             std::memory_order_relaxed));
    note_change();
    return next;
}

flip_report engine::flip_and_wait(std::chrono::nanoseconds deadline) {
    flip_report out;
    out.version = flip();
    if (handler_depth() != 0) {
        out.waiting_for = "the handler that flips";
        return out;
    }
    const auto until = end_of_wait(deadline);
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        const subscription_core& sub =
            subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        backoff wait;
        // seq_cst: in one order with the taking of subscriptions: whoever takes it after this look
        // reads the new version. Acquire pairs with between_handlers: the handler before has
        // returned.
        while (sub.owned.load(std::memory_order_seq_cst) == subscription_core::served &&
               sub.acknowledged.load(std::memory_order_acquire) < out.version) {
            if (steady_clock::now() >= until) {
                const std::lock_guard lock{faces_};
                out.waiting_for = sub.name;
                return out;
            }
            wait.pause();
        }
    }
    out.acknowledged = true;
    return out;
}

}  // namespace ropeway::detail
