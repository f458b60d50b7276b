// SPDX-License-Identifier: Apache-2.0
//
// Resident workers: how they start, and who serves what. Who is woken when: worker_group.cpp.
//
// A worker that is about to run handlers of unknown or long duration steps out of its group's count
// of those who look for work, so that whoever finds nobody counted (the next publish, or the worker
// itself when others are ready) gets one more worker going.
#include <algorithm>
#include <bit>
#include <utility>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/intake.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>

#include "failure_queue.hpp"
#include "mask_windows.hpp"
#include "spin.hpp"
#include "supervisor.hpp"
#include "system.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {
namespace {

/// A look that finds less than a batch per subscription came too early: close behind a publisher,
/// we read lines that it is about to write. The next look comes half a microsecond later, or two
/// when the events come by millions a second. Those found do not wait for that, the next ones may.
constexpr std::uint32_t few_events = 8;
constexpr int pauses_after_few = 32;
constexpr int pauses_after_many = 128;

/// Batches that a subscription takes before the next one's turn: what one read of the ring is still
/// in the cache for the others.
constexpr int batches_per_turn = 4;

constexpr std::uint64_t half_a_millisecond = 500'000;

/// Of the looks of an idle worker, one in this many goes through all subscriptions, and one after
/// this time: a pause may be a sleep. The others ask only whether something was published.
constexpr std::uint32_t full_look_every = 128;
constexpr std::uint64_t full_look_after_ns = 2'000;

}  // namespace

void engine::start() {
    start_workers();
    serve_inline();  // what was published before
}

void engine::start_workers() {
    const std::lock_guard lock{registry_};
    if (started_.load(std::memory_order_relaxed) != 0 || stopped_) {  // relaxed: under the lock
        throw std::logic_error(stopped_ ? "start() after stop(): make a new dispatcher."
                                        : "start() was called already.");
    }
    const unsigned groups = group_count();
    unsigned begun = 0;
    try {
        for (; begun < groups; ++begun) {
            worker_group& group = *groups_[begun];
            if (!group.in_use()) {
                continue;
            }
            group.replacements = group.where->start(group.workers, group.params.replacements,
                                                    &run_worker, group.job());
        }
        supervisor_->start(
            params_.workers.name,
            [](void* self) noexcept { return static_cast<engine*>(self)->supervise(); }, this);
    } catch (...) {
        while (begun != 0) {
            worker_group& group = *groups_[--begun];
            static_cast<void>(group.in_use() &&
                              group.where->stop(std::chrono::steady_clock::time_point::max()));
        }
        throw;
    }
    started_.store(1, std::memory_order_seq_cst);  // pairs with ramp_group()
    for (unsigned i = 0; i < groups; ++i) {
        if (groups_[i]->in_use()) {
            asleep_.fetch_or(bit_of(i), std::memory_order_seq_cst);
        }
    }
    // A publish that still saw nobody asleep shows us its tail after this.
    barrier_everywhere();
    for (unsigned i = 0; i < groups; ++i) {
        if (groups_[i]->in_use() &&
            (groups_[i]->params.wait != wait_strategy::park || any_ready(*groups_[i], nullptr))) {
            wake_group(*groups_[i]);
        }
    }
}

void engine::run_worker(void* of) noexcept {
    auto& group = *static_cast<worker_group*>(of);
    engine& owner = *group.owner;
    owner.supervisor_->unpark();
    owner.duplicates_->prepare_thread();
    owner.kept_->prepare_thread();
    for (bool again = true; again;) {
        worker_seat* seat = nullptr;
        for (unsigned i = 0; seat == nullptr; i = (i + 1) % group.seat_count) {
            seat = group.seats[i].take() ? &group.seats[i] : nullptr;  // as many as may run
        }
        const bool stays = owner.work(group, *seat);
        owner.duplicates_->flush_thread();
        owner.kept_->flush_thread();
        seat->leave();
        if (stays) {
            again = owner.job_over(group);
        } else {
            owner.written_off_returns(group);
            again = false;
        }
    }
}

bool engine::work(worker_group& group, worker_seat& seat) noexcept {
    std::uint64_t idle_since = 0;
    std::uint64_t busy_since = tick_clock::now();
    std::uint64_t looked_at = busy_since;
    const std::uint64_t full_look_after = tick_clock::from_ns(full_look_after_ns);
    idle_wait wait{group.params.wait};
    tail_views tails;
    mask_windows masks;
    std::uint32_t idle_looks = 0;
    std::uint32_t looks = 0;
    std::uint64_t last_look = busy_since;
    std::uint64_t shown = 0;  // together, in the last look
    for (;;) {
        // Acquire pairs with retire(): there is no member any more.
        if (stopping() || group.life.load(std::memory_order_acquire) == worker_group::retiring) {
            group.awake.fetch_sub(1, std::memory_order_seq_cst);  // nobody is woken any more
            break;
        }
        const std::uint64_t now = tick_clock::now();
        // With nobody's tail moved a look would find nothing but what is rare: a timer, a drain.
        const bool glance = idle_looks % full_look_every != 0 &&
                            now - looked_at < full_look_after && nothing_new(tails);
        looked_at = glance ? looked_at : now;
        const std::uint64_t suspects =
            now - std::exchange(last_look, now) > group.slice_ticks ? shown : 0;
        shown = 0;
        const look found =
            glance ? look::nothing
                   : look_once(group, seat, {tails, &masks, ++looks, suspects, &shown}, now);
        idle_looks = found == look::something ? 0 : idle_looks + 1;
        if (found == look::written_off) {
            return false;
        }
        // Acquire pairs with serve_inline_later().
        if (found == look::nothing && inline_left(group) &&
            inline_left_.exchange(0, std::memory_order_acquire) != 0) {
            if (!serve_inline(&group, &seat)) {
                return false;
            }
            // It may have made room. Relaxed: as in look_once().
            if (intake_count_.load(std::memory_order_relaxed) != 0) [[unlikely]] {
                static_cast<void>(pump_intakes());
            }
        }
        if (found == look::something) {
            idle_since = 0;
            wait.reset();
            if (now - busy_since > group.slice_ticks) {
                // A whole slice without an idle look: more than one worker's load.
                ramp_group(group, nullptr);
                busy_since = now;
            }
            continue;
        }
        busy_since = now;
        if (idle_since == 0) {
            idle_since = now;
        } else if (group.params.wait == wait_strategy::park &&
                   now - idle_since > group.linger_ticks) {
            if (leave(group)) {
                break;
            }
            idle_since = 0;
            continue;
        }
        wait.pause();
    }
    return true;
}

bool engine::nothing_new(const tail_views& tails) const noexcept {
    for (const auto& from : publishers()) {
        if (!tails.unmoved(*from)) {
            from->fetch_newest();
            return false;
        }
    }
    return true;
}

engine::look engine::look_once(worker_group& group, worker_seat& seat, const views& seen,
                               std::uint64_t now) noexcept {
    tail_views& tails = seen.tails;
    tails.forget();
    tails.forget_before(critical_hint());
    // Relaxed: a member that joins meanwhile wakes us.
    const std::uint64_t all = live() & group.members.load(std::memory_order_relaxed);
    std::uint32_t served = 0;
    std::uint32_t done = 0;
    std::uint64_t alone = all;  // those that need a turn of their own
    // Relaxed: as below. Both want a look after each turn.
    if ((inline_.load(std::memory_order_relaxed) | intake_count_.load(std::memory_order_relaxed)) ==
        0) [[likely]] {
        std::uint64_t together = all & ~seen.suspects;
        alone = all & seen.suspects;
        views from_here = seen;
        bool more = true;
        for (int i = 0; i < batches_per_turn && more; ++i) {
            const served_together was = serve_together(&group, &seat, from_here, together, now);
            if (was.written_off) {
                return look::written_off;
            }
            served = std::max(served, was.turns);
            done += was.done;
            *seen.shown |= was.taken;
            alone = (alone & ~together) | was.left;
            together &= ~was.left | was.rear;
            from_here.rear = was.rear != 0 ? was.from : nullptr;
            from_here.rear_at = was.rear_at;
            more = false;
            if (was.turns != 0 && (was.more || alone != 0)) {
                const std::uint64_t before = now;
                now = tick_clock::now();  // its time is not the next subscription's
                // A change: what it is about goes first, and may be a critical event.
                more = (was.more || was.rear != 0) && !was.changed &&
                       now - before < group.slice_ticks / 2;
            }
        }
        tails.forget_before(critical_hint());
    }
    // Always the same for one worker: a start that moved would give some subscription two turns in
    // a row, and the others behind a slow one would wait for both.
    const std::uint32_t turn = thread_number() % max_live_subscriptions;
    for (std::uint64_t left = std::rotr(alone, static_cast<int>(turn)); left != 0;
         left &= left - 1) {
        const auto number =
            (static_cast<std::uint32_t>(std::countr_zero(left)) + turn) % max_live_subscriptions;
        subscription_core& sub = subscriptions_[number];
        if (!ready(sub, tails)) {
            continue;
        }
        std::uint32_t nobody = subscription_core::idle;
        // seq_cst: ordered with flip(), so the version read after this is not an old one (P8).
        if (!sub.owned.compare_exchange_strong(nobody, subscription_core::served,
                                               std::memory_order_seq_cst,
                                               std::memory_order_relaxed)) {
            continue;
        }
        if (stopping()) {  // whoever comes back late calls no further handler
            let_go(sub);
            return look::nothing;
        }
        const bool may_be_long = sub.average_ticks == 0 || sub.average_ticks > group.slice_ticks;
        const bool out = may_be_long && step_out(group, sub);
        now = out ? tick_clock::now() : now;  // that took its time
        seat.begin(sub.site, now, !out);
        done += serve(group, sub, seen, now);
        ++served;
        let_go(sub);
        const worker_seat::doing was = seat.end();
        if (was == worker_seat::written_off) {
            return look::written_off;
        }
        if (was == worker_seat::serving_out) {
            group.awake.fetch_add(1, std::memory_order_seq_cst);  // looks again before it leaves
        }
        // It may have made room. Relaxed: who fills an intake later tells the supervisor.
        if (intake_count_.load(std::memory_order_relaxed) != 0) [[unlikely]] {
            static_cast<void>(pump_intakes());
            now = tick_clock::now();  // its time is not the next subscription's
        }
        // What its handlers published to inline subscriptions. Relaxed: as in serve_inline().
        if (inline_.load(std::memory_order_relaxed) != 0) [[unlikely]] {
            if (!serve_inline(&group, &seat)) {
                return look::written_off;
            }
            now = tick_clock::now();  // as above
        }
    }
    if (served == 0) {
        return look::nothing;
    }
    if (done < served * batch_size) {
        relax(done < served * few_events ? pauses_after_few : pauses_after_many);
    }
    return look::something;
}

bool engine::ready(subscription_core& sub) noexcept {
    tail_views tails;
    return ready(sub, tails);
}

bool engine::ready(subscription_core& sub, tail_views& tails) noexcept {
    // Relaxed: whoever clears it looks again afterwards.
    if (sub.owned.load(std::memory_order_relaxed) != subscription_core::idle) {
        return false;
    }
    // Acquire pairs with remove_subscription(): one that a thread waits for is left to that thread.
    const std::uint32_t closing = sub.closing.load(std::memory_order_acquire);
    if (closing != subscription_core::stays) {
        return closing == subscription_core::marked;
    }
    // Relaxed: whoever asks for a drain wakes somebody after.
    const std::uint32_t draining = sub.draining.load(std::memory_order_relaxed);
    if (draining != subscription_core::flows) [[unlikely]] {
        return draining == subscription_core::drains;
    }
    // Relaxed: as above.
    if (const std::uint64_t until = sub.quarantined_until.load(std::memory_order_relaxed);
        until != 0) [[unlikely]] {
        return tick_clock::now() >= until || market_data_waits(sub);
    }
    if ((sub.timer_due.load(std::memory_order_relaxed) |
         sub.to_announce.load(std::memory_order_relaxed)) != 0) [[unlikely]] {
        return true;
    }
    if (sub.pending.load(std::memory_order_acquire) ==  // acquire pairs with let_go()
            subscription_core::can_go_on ||
        sub.market_data.load(std::memory_order_relaxed) == subscription_core::lapped) {
        return true;  // relaxed: as above
    }
    return any_for(sub, tails);
}

bool engine::any_for(const subscription_core& sub, tail_views& tails) const noexcept {
    for (const auto& from : publishers()) {
        for (const ring_class c : {ring_class::market, ring_class::critical}) {
            if (holds_any(sub, *from, c, tails) && !waits_for_others(sub, *from, c)) {
                return true;
            }
        }
    }
    return false;
}

bool engine::holds_any(const subscription_core& sub, const publisher_core& from, ring_class c,
                       tail_views& tails) noexcept {
    const cursor_block& block = from.rings[index_of(c)].cursors[sub.number];
    // Relaxed: a look; look_at() reads it again with acquire.
    const std::uint64_t word = block.cursor.load(std::memory_order_relaxed);
    if (cursor_word::busy(word) || word == cursor_word::join) {
        return false;
    }
    const std::uint64_t at = cursor_word::position(word);
    // Relaxed: as above.
    return tail_word::extend(at, tail_word::count(tails.of(from), c)) > at ||
           block.kept.load(std::memory_order_relaxed) != 0 ||
           block.first_kept.load(std::memory_order_relaxed) != 0;
}

void engine::note_time(std::uint64_t now) noexcept {
    // Relaxed: who else brings it up to date at the same time does no harm.
    if (now >= coarse_clock_due_.load(std::memory_order_relaxed)) [[unlikely]] {
        coarse_clock_due_.store(now + tick_clock::from_ns(half_a_millisecond),
                                std::memory_order_relaxed);
        advance_coarse_clock();
    }
}

bool engine::any_ready(const worker_group& group, const subscription_core* but) noexcept {
    // Relaxed: as in look_once().
    std::uint64_t left = live() & group.members.load(std::memory_order_relaxed);
    for (; left != 0; left &= left - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        if (&sub != but && ready(sub)) {
            return true;
        }
    }
    return false;
}

bool engine::anything_left(const worker_group& group, const subscription_core* but) noexcept {
    return any_ready(group, but) || inline_left(group);
}

std::uint32_t engine::serve(worker_group& group, subscription_core& sub, const views& seen,
                            std::uint64_t& now) noexcept {
    std::uint32_t done = 0;
    // Acquire pairs with remove_subscription().
    if (sub.closing.load(std::memory_order_acquire) != subscription_core::stays) {
        return done;
    }
    note_time(now);
    // Relaxed: the rescue that set it woke us after.
    if (sub.market_data.load(std::memory_order_relaxed) != subscription_core::connected)
        [[unlikely]] {
        end_market_data(sub);
    }
    if (stays_in_quarantine(sub)) [[unlikely]] {
        announce(sub);
        look_if_drained(sub);
        return done;
    }
    acknowledge(sub);
    call_timer(sub);
    serve_context context;
    context.owner = this;
    context.tails = &seen.tails;
    context.masks = seen.masks;
    context.slice_ticks = group.slice_ticks;
    context.now = now;
    context.slice_end = context.now + group.slice_ticks;
    bool more = true;
    for (int i = 0; i < batches_per_turn && more; ++i) {
        context.more = false;
        done += serve_round(sub, context);
        context.slice_over |= context.now >= context.slice_end;
        more = context.more && !context.slice_over && !stopping() && !sub.ending();
    }
    now = context.now;
    if (done != 0 && sub.face.idle != nullptr && (context.slice_over || !context.more) &&
        has_nothing(sub)) {
        call_idle(sub);
        now = tick_clock::now();
    }
    announce(sub);
    look_if_drained(sub);
    note_if_together(sub, group.slice_ticks);
    sub.slices.add(1);
    if (context.slice_over) {
        seen.tails.forget();  // that took its time
        ramp_group(group, &sub);
    }
    return done;
}

bool engine::has_nothing(const subscription_core& sub) const noexcept {
    for (const auto& from : publishers()) {
        for (const ring_class c : {ring_class::market, ring_class::critical}) {
            if (from->stores_[sub.number]->left(c)) {
                return false;
            }
            // Relaxed: as in let_go().
            from->rings[index_of(c)].cursors[sub.number].first_kept.store(
                0, std::memory_order_relaxed);
        }
    }
    tail_views tails;
    return sub.box[0].empty() && sub.box[1].empty() && !any_for(sub, tails);
}

std::uint32_t engine::serve_round(subscription_core& sub, serve_context& context) noexcept {
    // Acquire pairs with hint_critical(): the events it speaks of are in their rings.
    context.critical_seen = critical_hint_.load(std::memory_order_acquire);
    context.tails->forget_before(context.critical_seen);
    std::uint32_t done = 0;
    if (sub.order == event_order::in_sequence) {
        serve_in_sequence(sub, context, done);
        return done;
    }
    std::uint32_t before = 0;
    do {  // all of it: a chunk may be a single event
        before = done;
        serve_class(sub, ring_class::critical, context, done);
        context.slice_over |= context.now >= context.slice_end;
    } while (done != before && !context.slice_over && !sub.ending());
    if (!context.slice_over) {
        serve_class(sub, ring_class::market, context, done);
    }
    return done;
}

void engine::serve_class(subscription_core& sub, ring_class c, serve_context& context,
                         std::uint32_t& done) noexcept {
    const inbox& box = sub.box[index_of(c)];
    const auto all = publishers();
    if (!box.empty()) {
        done += sub.face.serve(sub, *box.from, c, context);
        if (!box.empty()) {
            return;  // its slice is over, or a critical event goes first
        }
    }
    for (std::size_t i = 0; i < all.size() && !context.slice_over && box.empty(); ++i) {
        publisher_core& from = *all[(i + sub.next_publisher) % all.size()];
        if (!sub.kept_left && !holds_any(sub, from, c, *context.tails)) {
            continue;
        }
        const std::uint64_t others = handled_by_others(sub, from, c);
        context.before = std::min(end_for(sub, from), others);
        context.conflated_before = others;
        done += sub.face.serve(sub, from, c, context);
    }
    if (c == ring_class::market) {
        ++sub.next_publisher;
    }
}

void engine::let_go(subscription_core& sub) noexcept {
    bool goes_on = !sub.box[0].empty() || !sub.box[1].empty();
    if (sub.kept_left) {
        sub.kept_left = false;
        for (const auto& from : publishers()) {
            for (const ring_class c : {ring_class::market, ring_class::critical}) {
                const std::uint64_t first = from->stores_[sub.number]->first_left(c);
                // Relaxed: released with owned.
                from->rings[index_of(c)].cursors[sub.number].first_kept.store(
                    first, std::memory_order_relaxed);
                sub.kept_left |= first != 0;
            }
            for (const ring_class c : {ring_class::market, ring_class::critical}) {
                goes_on |= from->stores_[sub.number]->left(c) && !waits_for_others(sub, *from, c);
            }
        }
    }
    if (planted(planted_bug::leftovers_forgotten)) {
        goes_on = false;
    }
    // Relaxed: released with owned.
    sub.pending.store(goes_on         ? subscription_core::can_go_on
                      : sub.kept_left ? subscription_core::waits_for_others
                                      : subscription_core::nothing,
                      std::memory_order_relaxed);
    // seq_cst: the next taker sees all we did; in one order with leave_to_worker().
    sub.owned.store(subscription_core::idle, std::memory_order_seq_cst);
    if (sub.closing.load(std::memory_order_seq_cst) == subscription_core::marked) {
        static_cast<void>(end_if_idle(sub));
    }
}

}  // namespace ropeway::detail
