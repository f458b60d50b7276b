// SPDX-License-Identifier: Apache-2.0
//
// Making room: the publisher's slow path. Refresh looks at every cursor and pin; a cursor that is
// about to be lapped is rescued, unless it blocks; a pinned slot is exchanged for a spare; a
// blocking cursor is waited for. Recycling happens here and only here: positions that everybody has
// passed leave the publisher's ledger exactly once.
#include <algorithm>
#include <bit>
#include <mutex>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/publisher_core.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>

#include "spin.hpp"

namespace ropeway::detail {

bool publisher_core::make_free(ring_class c, wait_budget& budget, publish_result& why) noexcept {
    const std::size_t r = index_of(c);
    const bool had_room = position_[r] < limit_[r];
    const std::size_t other = ring_classes - 1 - r;
    if (eager_ && position_[other] < limit_[other]) {
        // It has room, so this rescues nobody: it recycles, and thereby verifies.
        static_cast<void>(refresh(static_cast<ring_class>(other)));
    }
    if (refresh(c) || had_room) {
        return true;
    }
    if (commit_placed() && refresh(c)) {
        return true;
    }
    why.held_by = blocker_name(c);
    if (handler_depth() != 0) {
        why.status = publish_status::would_block;
        return false;
    }
    const auto full =
        c == ring_class::critical ? publish_status::backlog_full : publish_status::full;
    why.status = full;
    if (budget.deadline.count() <= 0) {
        return false;
    }
    const auto begin = clock::now();  // first: what it waited is no less than its deadline
    if (budget.until == clock::time_point{}) {
        budget.until = end_of_wait(budget.deadline);
    }
    waits_.add(1);
    const bool passed = wait_for(c, budget.until);
    why.waited += clock::now() - begin;
    if (passed) {
        return true;
    }
    why.held_by = blocker_name(c);
    why.status = closed() ? closed_status() : full;
    return false;
}

std::string_view publisher_core::blocker_name(ring_class c) const noexcept {
    // Relaxed: a name for a message; it may have left meanwhile.
    return site_text(static_cast<site_id>(
        rings[index_of(c)].cursors[blocker_].site.load(std::memory_order_relaxed)));
}

bool publisher_core::commit_placed() noexcept {
    // Relaxed: written by this thread.
    if (tail.load(std::memory_order_relaxed) == tail_word::of(position_[0], position_[1])) {
        return false;
    }
    commit(true);
    return true;
}

bool publisher_core::wait_for(ring_class c, clock::time_point until) noexcept {
    const std::size_t r = index_of(c);
    backoff wait;
    for (std::uint32_t polls = 0; !closed(); ++polls) {
        const cursor_block& block = rings[r].cursors[blocker_];
        // Acquire pairs with the worker's release: its reads of the slots are over.
        const std::uint64_t word = block.cursor.load(std::memory_order_acquire);
        const bool passed = (word & cursor_word::closed_bit) != 0 ||
                            cursor_word::position(word) + rings[r].capacity > position_[r];
        // A pin may be what holds the place, so look again from time to time all the same.
        if ((passed || wait.slow()) && refresh(c)) {
            return true;
        }
        if (wait.slow()) {
            if (clock::now() >= until) {
                return false;
            }
            if (polls % 64 == 0) {
                owner_->ramp();
            }
        }
        if (!owner_->params().publishers_help || !helped()) {
            wait.pause();
        }
    }
    return false;
}

bool publisher_core::helped() noexcept {
    // seq_cst: stop() sees that we may be in a handler, or we see that it has closed us.
    helping_.store(1, std::memory_order_seq_cst);
    const bool did = !closed() && owner_->help();
    helping_.store(0, std::memory_order_release);  // pairs with helping(): the handler is over
    return did;
}

bool publisher_core::await_outcomes(const std::stop_token& stop, bool may_cancel,
                                    std::chrono::nanoseconds deadline) {
    const auto until = end_of_wait(std::max(deadline, std::chrono::nanoseconds{0}));
    backoff wait;
    while (outcomes(nullptr) != 0) {
        if (stop.stop_requested() && may_cancel) {
            cancel_awaited();
        }
        if (stop.stop_requested() || clock::now() >= until || owner_->stopping()) {
            return outcomes(nullptr) == 0;
        }
        wait.pause();
    }
    return true;
}

bool publisher_core::refresh(ring_class c) noexcept {
    const std::size_t r = index_of(c);
    const ring& places = rings[r];
    const std::uint64_t at = position_[r];
    const std::uint64_t lap = at >= places.capacity ? at - places.capacity : 0;
    // Pairs with add_subscription()'s fence: either we see its live bit, or it sees our last tail
    // and starts at or after it, so no place it needs is overwritten.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // Not `at`: a subscription that we do not see may start at the tail, before what a packet has
    // placed already.
    const std::uint64_t tail_at = committed(c);
    std::uint64_t low = tail_at;
    std::uint64_t pin_low = at;
    for (std::uint64_t left = owner_->live(); left != 0; left &= left - 1) {
        const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
        cursor_block& block = places.cursors[number];
        // Acquire: a cursor seen moved also shows the pin set before it, and ends the reads it
        // covers.
        std::uint64_t word = block.cursor.load(std::memory_order_acquire);
        if (word == cursor_word::join) {
            // The bit that we saw may be of the block's former life. One that is not live yet sees
            // our tail when it is; acquire orders this look behind the cursor's.
            if ((owner_->live() & engine::bit_of(number)) == 0) {
                continue;
            }
            // Whoever wins sets the stated start; acq_rel as for every hand-over of a cursor.
            if (block.cursor.compare_exchange_strong(word, cursor_word::at(tail_at),
                                                     std::memory_order_acq_rel,
                                                     std::memory_order_acquire)) {
                word = cursor_word::at(tail_at);
            }
        }
        // Acquire pairs with abandon(): a pin that it left standing is visible.
        if (block.left_behind.load(std::memory_order_acquire) == cursor_block::abandoned)
            [[unlikely]] {
            word |= cursor_word::closed_bit;
        }
        if ((word & cursor_word::closed_bit) == 0 &&
            cursor_word::position(word) + places.capacity <= at &&
            // Relaxed: a look; rescue() reads it again.
            (c == ring_class::critical || block.policy.load(std::memory_order_relaxed) != 0)) {
            rescue(owner_->subscription(number), c);
            word = block.cursor.load(std::memory_order_acquire);  // as above
        }
        if ((word & cursor_word::closed_bit) == 0 && cursor_word::position(word) < low) {
            low = cursor_word::position(word);
            blocker_ = number;
        }
        const std::uint64_t pin =
            block.pin.load(std::memory_order_acquire);  // pairs with end_range
        if (pin != 0 && pin_word::first(pin, at) + pin_word::length(pin) > lap &&
            !planted(planted_bug::pins_overlooked)) {
            pin_low = std::min(pin_low, std::max(pin_word::first(pin, at), lap));
        }
    }
    base_[r].store(at, std::memory_order_relaxed);  // relaxed: see committed()
    if (!limbo_.empty()) {
        reclaim_limbo();
    }
    // A place below the limit is free already, and may be claimed: a pin that covers it is one that
    // its worker takes back, because the cursor had been moved on.
    if (at >= limit_[r] && low + places.capacity > at && pin_low + places.capacity <= at) {
        pass(c, lap);
        return exchange(c);
    }
    const std::uint64_t free_below = std::min(low, pin_low);
    limit_[r] = std::max(limit_[r], free_below + places.capacity);
    pass(c, free_below);
    return at < limit_[r];
}

void publisher_core::rescue(subscription_core& sub, ring_class c) noexcept {
    const std::size_t r = index_of(c);
    const ring& places = rings[r];
    cursor_block& block = places.cursors[sub.number];
    const std::uint64_t at = position_[r];
    std::uint64_t word = block.cursor.load(std::memory_order_acquire);  // as in refresh()
    do {
        if ((word & cursor_word::closed_bit) != 0 ||
            cursor_word::position(word) + places.capacity > at) {
            return;
        }
        // acq_rel: from here the worker skips this cursor and we own the positions before it.
    } while (!block.cursor.compare_exchange_weak(word, word | cursor_word::rescue_bit,
                                                 std::memory_order_acq_rel,
                                                 std::memory_order_acquire));
    // Acquire pairs with set_policy(), which waits for our bit after it has changed this.
    const auto policy = static_cast<overflow>(block.policy.load(std::memory_order_acquire));
    if (c == ring_class::market && policy == overflow::block) [[unlikely]] {
        std::uint64_t ours = word | cursor_word::rescue_bit;  // its worker may store over it
        block.cursor.compare_exchange_strong(ours, word, std::memory_order_release,
                                             std::memory_order_relaxed);
        return;
    }
    const std::uint64_t from = cursor_word::position(word);
    const std::uint64_t step = std::max<std::uint64_t>(1, places.capacity / 8);
    // Never beyond the tail: there nobody could tell a cursor from one that is a lap behind.
    std::uint64_t to = std::min(committed(c), std::max(from + step, at - places.capacity + 1));
    std::uint64_t closes = 0;
    if (c == ring_class::market && policy == overflow::disconnect) {
        to = committed(c);  // all that it misses is counted
        closes = cursor_word::closed_bit;
    }
    to = rescue_range(sub, c, policy, from, to);
    if (closes != 0) {
        disconnect(sub, block);
    }
    // Relaxed: one writer, and the release below orders it for the worker.
    block.rescues.store(block.rescues.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
    const std::uint32_t group = sub.group;  // its block may begin another life after our bit
    std::uint64_t mine = word | cursor_word::rescue_bit;
    // Release pairs with look_at(): whoever reads the new place sees what was counted and kept.
    if (!block.cursor.compare_exchange_strong(mine, cursor_word::at(to) | closes,
                                              std::memory_order_release,
                                              std::memory_order_relaxed)) {
        // Closed meanwhile: leave it closed, without our bit, so that its closer can go on.
        block.cursor.fetch_and(~cursor_word::rescue_bit, std::memory_order_release);
    }
    // A worker may have seen the rescue, found nothing to do here and gone to sleep; what is left
    // in the ring needs one even when this publish ends without a commit.
    owner_->wake();
    owner_->serve_inline_later();
    owner_->ramp_in(group, &sub);
    owner_->something_to_tell();
}

void publisher_core::disconnect(subscription_core& sub, cursor_block& block) noexcept {
    // Relaxed throughout: the release that ends the rescue publishes them.
    block.losing.store(1, std::memory_order_relaxed);  // even if it wanted none of what it missed
    block.disconnected.store(1, std::memory_order_relaxed);
    std::uint32_t was = subscription_core::connected;
    sub.market_data.compare_exchange_strong(was, subscription_core::lapped,
                                            std::memory_order_relaxed, std::memory_order_relaxed);
}

std::uint64_t publisher_core::rescue_range(const subscription_core& sub, ring_class c,
                                           overflow policy, std::uint64_t from,
                                           std::uint64_t to) noexcept {
    cursor_block& block = rings[index_of(c)].cursors[sub.number];
    rescue_store& store = *stores_[sub.number];
    bool kept = false;
    std::uint64_t p = from;
    for (; p != to; ++p) {
        const std::uint32_t index = entry(c, p);
        if (!sub.face.wants(sub, slots_.payload(index))) {
            continue;
        }
        if (c == ring_class::critical) {
            if (!keep_critical(store, sub, index) && !planted(planted_bug::backlog_drops)) {
                break;  // it stays in the ring, and this publish waits
            }
            kept = true;
        } else if (policy == overflow::conflate) {
            conflate(store, block, sub, index, p);
            kept = true;
        } else {
            count_lost(block, index);
        }
    }
    if (kept) {
        block.kept.store(1, std::memory_order_release);  // pairs with kept_waits()
    }
    return p;
}

bool publisher_core::keep_critical(rescue_store& store, const subscription_core& sub,
                                   std::uint32_t index) noexcept {
    slot_pool& pool = owner_->kept();
    slot_ref slot;
    if (store.critical.full() ||
        !pool.try_get(slot, make_meta(sub.site, thread_number(), coarse_now_ms()))) {
        return false;
    }
    sub.face.copy(pool.payload(slot.index), slots_.payload(index));
    static_cast<void>(store.critical.push({.slot = slot, .sequence = sequence_of(index)}));
    store.backlogged.add(1);
    store.high_water.set(std::max(store.high_water.get(), store.critical.size()));
    return true;
}

void publisher_core::conflate(rescue_store& store, cursor_block& block,
                              const subscription_core& sub, std::uint32_t index,
                              std::uint64_t position) noexcept {
    const void* const event = slots_.payload(index);
    const std::uint32_t cell = store.table->cell_of(sub.face.conflation_key(event));
    if (cell == conflation_table::no_cell) {
        store.no_cell.add(1);
        count_lost(block, index);
        return;
    }
    slot_pool& pool = owner_->kept();
    std::uint32_t slot = 0;
    // The cell is ours while it is empty: the worker takes what it finds, and puts nothing.
    if (const std::uint64_t older = store.table->take(cell); older != 0) {
        slot = conflation_table::slot(older);
        void* const folded = pool.payload(slot);
        store.folded.add(1);
        store.folded_by_kind[kind_index(slots_.ops().kind_of(folded))].add(1);
        sub.face.fold(folded, event);
    } else {
        slot_ref fresh;
        if (!owner_->may_conflate_one_more() ||
            !pool.try_get(fresh, make_meta(sub.site, thread_number(), coarse_now_ms()))) {
            store.no_slot.add(1);
            count_lost(block, index);
            return;
        }
        owner_->conflated_out();
        slot = fresh.index;
        sub.face.copy(pool.payload(slot), event);
        owner_->begin_kept_span(slot, sequence_of(index));
    }
    owner_->extend_kept_span(slot, sequence_of(index));
    store.table->keep(cell, position, slot);
}

void publisher_core::count_lost(cursor_block& block, std::uint32_t index) noexcept {
    // Relaxed throughout: this publisher is the only writer; rescue()'s release publishes them.
    const std::uint64_t sequence = sequence_of(index);
    const std::uint64_t lost = block.lost.load(std::memory_order_relaxed);
    if (lost == 0) {
        block.first_lost.store(sequence, std::memory_order_relaxed);
    }
    if (block.losing.load(std::memory_order_relaxed) == 0) {
        block.episode_first.store(sequence, std::memory_order_relaxed);
        block.losing.store(1, std::memory_order_relaxed);
    }
    block.last_lost.store(sequence, std::memory_order_relaxed);
    block.lost.store(lost + 1, std::memory_order_relaxed);
    atomic<std::uint64_t>& of_kind =
        block.lost_by_kind[kind_index(slots_.ops().kind_of(slots_.payload(index)))];
    of_kind.store(of_kind.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool publisher_core::pinned(ring_class c, std::uint64_t position) const noexcept {
    const ring& places = rings[index_of(c)];
    for (std::uint64_t left = owner_->live(); left != 0; left &= left - 1) {
        const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
        // Acquire pairs with end_range(): the copy is over when the pin is gone.
        const std::uint64_t pin = places.cursors[number].pin.load(std::memory_order_acquire);
        if (pin != 0 && position >= pin_word::first(pin, position) &&
            position < pin_word::first(pin, position) + pin_word::length(pin)) {
            return true;
        }
    }
    return false;
}

bool publisher_core::exchange(ring_class c) noexcept {
    const std::size_t r = index_of(c);
    ring& places = rings[r];
    const std::uint64_t at = position_[r];
    const std::uint64_t lap = at - places.capacity;
    if (spares_.empty()) {
        return false;  // more pins than live subscriptions allow; wait for one to end
    }
    const std::uint32_t spare = spares_.back();
    spares_.pop_back();
    // Capacity was reserved for every slot, so this never allocates.
    limbo_.push_back({entry(c, lap), c, lap});
    // Relaxed: readers of the pinned place took its old slot before they moved their cursor.
    places.entries[at & places.mask].store(spare, std::memory_order_relaxed);
    passed_[r] = std::max(passed_[r], lap + 1);
    limit_[r] = at + 1;
    exchanges_.add(1);
    return true;
}

void publisher_core::reclaim_limbo() noexcept {
    for (std::size_t i = 0; i < limbo_.size();) {
        const limbo_slot slot = limbo_[i];
        if (!planted(planted_bug::limbo_overlooked) && pinned(slot.where, slot.position)) {
            ++i;
            continue;
        }
        if (eager_) {
            check_in(slot.index);
        }
        spares_.push_back(slot.index);
        recycled_.add(1);
        limbo_[i] = limbo_.back();
        limbo_.pop_back();
    }
}

void publisher_core::pass(ring_class c, std::uint64_t upto) noexcept {
    const std::size_t r = index_of(c);
    if (upto <= passed_[r]) {
        return;
    }
    recycled_.add(upto - passed_[r]);
    if (eager_) {
        for (std::uint64_t p = passed_[r]; p != upto; ++p) {
            check_in(entry(c, p));
        }
    }
    passed_[r] = upto;
}

std::uint64_t publisher_core::recycle_all() noexcept {
    const std::lock_guard lock{closing_};
    eager_ = slots_.level() >= guard_level::full;
    reclaim_limbo();
    for (const ring_class c : {ring_class::market, ring_class::critical}) {
        pass(c, position_[index_of(c)]);
        limit_[index_of(c)] = position_[index_of(c)] + rings[index_of(c)].capacity;
    }
    return claims_out_.get() + limbo_.size();
}

void publisher_core::report(violation_kind kind, std::uint32_t index,
                            std::uint32_t generation) const noexcept {
    violation what{};
    what.kind = kind;
    slots_.name().copy(what.pool.data(), what.pool.size() - 1);
    what.pool_number = slots_.number();
    what.index = index;
    what.generation_held = generation;
    // Relaxed: a name for the report; whoever is inside may leave meanwhile.
    const std::uint32_t inside = inside_.load(std::memory_order_relaxed);
    what.first = {slot_action::claimed, site_,
                  static_cast<std::uint16_t>(inside == 0 ? 0 : inside - 1), coarse_now_ms()};
    what.second = {slot_action::published, site_, thread_number(), coarse_now_ms()};
    report_violation(what, slots_.policy());
}

}  // namespace ropeway::detail
