// SPDX-License-Identifier: Apache-2.0
//
// A worker's side of a ring: taking a range, ending it, and sizing batches to the time slice.
#include <algorithm>
#include <bit>

#include <ropeway/dispatcher/binding.hpp>

#include "mask_windows.hpp"

namespace ropeway::detail {

namespace {

[[nodiscard]] cursor_block& block_of(const subscription_core& sub, const publisher_core& from,
                                     ring_class c) noexcept {
    return from.rings[index_of(c)].cursors[sub.number];
}

/// Which of [first, first + count) a subscription may want, as the publisher stamped them.
[[nodiscard]] std::uint64_t read_masks(const ring& places, std::uint64_t first, std::uint32_t count,
                                       std::uint32_t number) noexcept {
    std::uint64_t wanted = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        // Relaxed: ordered by tail; a place that was lapped meanwhile fails the claim.
        const std::uint64_t mask =
            places.masks[(first + i) & places.mask].load(std::memory_order_relaxed);
        wanted |= (mask >> number & 1U) << i;
    }
    return wanted;
}

/// The same, of at most `count` positions before `tail`: how many it tells in `count`.
[[nodiscard]] std::uint64_t read_wanted(const ring& places, const serve_context& context,
                                        std::uint64_t first, std::uint64_t tail,
                                        std::uint32_t number, std::uint32_t& count) noexcept {
    if (context.masks == nullptr || count < mask_windows::worth_turning) {
        return read_masks(places, first, count, number);
    }
    count = std::min(count, mask_windows::rest(first));
    return context.masks->wanted({&places, tail}, first, count, number);
}

/// Slot indexes of [first, first + count), and how many of them the context's cut leaves.
[[nodiscard]] std::uint32_t read_entries(const subscription_core& sub, const publisher_core& from,
                                         const ring& places, std::uint64_t tail,
                                         std::uint32_t count, const serve_context& context,
                                         taken_range& out) noexcept {
    const std::uint64_t first = out.first;
    const std::uint64_t before = context.before;
    const auto slot_at = [&](std::uint32_t i) {
        // Relaxed: as above.
        return places.entries[(first + i) & places.mask].load(std::memory_order_relaxed);
    };
    out.wanted = ~std::uint64_t{0};
    out.has_all_slots = true;
    if (!sub.wanted().instruments.empty()) {
        out.wanted = read_wanted(places, context, first, tail, sub.number, count);
        // Somebody may ask about each of them: whether it comes before, what became of it.
        out.has_all_slots = before != ~std::uint64_t{0} || count == 0 ||
                            from.awaited() >= from.sequence_of(slot_at(0));
        if (!out.has_all_slots) {
            for (std::uint64_t left = out.wanted; left != 0; left &= left - 1) {
                const auto i = static_cast<std::uint32_t>(std::countr_zero(left));
                out.slots[i] = slot_at(i);
            }
            return count;
        }
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        out.slots[i] = slot_at(i);
    }
    if (before != ~std::uint64_t{0}) {
        for (std::uint32_t i = 0; i < count; ++i) {
            if (from.sequence_of(out.slots[i]) >= before) {
                return i;
            }
        }
    }
    return count;
}

}  // namespace

bool look_at(const subscription_core& sub, const publisher_core& from, ring_class c,
             taken_range& out) noexcept {
    // The cursor first: a rescue that ends after this load makes the claim fail. Acquire pairs with
    // rescue(): what it kept and counted before this place is visible.
    out.cursor = block_of(sub, from, c).cursor.load(std::memory_order_acquire);
    if (cursor_word::busy(out.cursor) || out.cursor == cursor_word::join) {
        return false;
    }
    out.first = out.last = cursor_word::position(out.cursor);
    return true;
}

bool kept_waits(const subscription_core& sub, const publisher_core& from, ring_class c) noexcept {
    if (c == ring_class::market && !sub.was_lossy) {
        return false;
    }
    if (planted(planted_bug::kept_after_ring) &&
        cursor_word::position(block_of(sub, from, c).cursor.load(std::memory_order_acquire)) !=
            from.committed(c)) {
        return false;
    }
    // Acquire pairs with rescue(): the events it speaks of are in the store.
    return block_of(sub, from, c).kept.load(std::memory_order_acquire) != 0 ||
           (sub.kept_left && from.stores_[sub.number]->left(c));
}

bool take_range(subscription_core& sub, publisher_core& from, ring_class c, std::uint32_t limit,
                bool pinned, const serve_context& context, taken_range& out) noexcept {
    const ring& places = from.rings[index_of(c)];
    cursor_block& block = places.cursors[sub.number];
    const std::uint64_t first = out.first;
    const std::uint64_t tail =
        tail_word::extend(first, tail_word::count(context.tails->of(from), c));
    if (tail <= first) {
        return false;  // or what was seen is older than the cursor
    }
    auto count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(tail - first, std::min(limit, batch_size)));
    count = read_entries(sub, from, places, tail, count, context, out);
    if (count == 0) {
        return false;
    }
    out.last = first + count;
    out.lag = static_cast<std::uint32_t>(tail - out.last);
    out.lost = out.conflated = 0;
    if (tail - first > sub.high_water.get()) [[unlikely]] {
        sub.high_water.set(tail - first);
    }
    if (c == ring_class::market && sub.was_lossy) {
        // Relaxed: ordered by the cursor's acquire; exact because the CAS fails after a later
        // rescue.
        out.lost =
            block.lost.load(std::memory_order_relaxed) - block.told.load(std::memory_order_relaxed);
        const rescue_store& store = *from.stores_[sub.number];
        out.conflated = store.folded.get() + store.folded_late.get() - store.told_folded;
    }
    // Relaxed: the cursor's release orders it, so a publisher that sees the cursor moved sees the
    // pin.
    if (!planted(planted_bug::no_pin)) {
        block.pin.store(pin_word::of(first, count), std::memory_order_relaxed);
    }
    if (!sub.contended(c)) {
        // For the compiler; the processor's part is the barrier in abandon(): either we see that it
        // stops us, or it sees our pin.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (block.left_behind.load(std::memory_order_relaxed) != cursor_block::kept_up)
            [[unlikely]] {
            block.pin.store(0, std::memory_order_release);  // nothing was read
            return false;
        }
        if (pinned) {
            block.cursor.store(cursor_word::at(out.last), std::memory_order_release);
        }
        return true;
    }
    if (planted(planted_bug::claim_by_store)) {
        block.cursor.store(cursor_word::at(out.last), std::memory_order_release);
        return true;
    }
    std::uint64_t word = out.cursor;
    // acq_rel: success makes the range ours; pairs with refresh() and rescue().
    if (block.cursor.compare_exchange_strong(word, cursor_word::at(out.last),
                                             std::memory_order_acq_rel,
                                             std::memory_order_relaxed)) {
        return true;
    }
    block.pin.store(0, std::memory_order_release);  // pairs with refresh(): nothing was read
    return false;
}

void end_range(subscription_core& sub, publisher_core& from, ring_class c, bool pinned,
               std::uint64_t upto) noexcept {
    cursor_block& block = block_of(sub, from, c);
    // Release pairs with refresh(): our reads of the slots are over before they are overwritten.
    block.pin.store(0, std::memory_order_release);
    if (!pinned && !sub.contended(c)) {
        block.cursor.store(cursor_word::at(upto), std::memory_order_release);
    }
}

bool alone(const subscription_core& sub, const publisher_core& from) noexcept {
    // seq_cst: after the tail in one order with join_cursors(), which sets its bit before it reads
    // the tail: whom we do not see here starts behind what we saw.
    return from.owner_->live_in_order() == engine::bit_of(sub.number);
}

void note_told(subscription_core& sub, publisher_core& from, ring_class c, std::uint64_t lost,
               std::uint64_t conflated) noexcept {
    cursor_block& block = block_of(sub, from, c);
    // Relaxed: one writer, whoever holds the subscription; readers want a number.
    block.told.store(block.told.load(std::memory_order_relaxed) + lost, std::memory_order_relaxed);
    if (conflated != 0) {
        from.stores_[sub.number]->told_folded += conflated;
    }
}

void left_batch(subscription_core& sub, inbox& box, ring_class c, std::uint32_t done) noexcept {
    if (box.where == held_in::ring) {
        if (box.empty()) {
            end_range(sub, *box.from, c, true, 0);
        }
    } else if (c == ring_class::market) {
        box.from->owner_->conflated_back(done);
    }
}

first_kept look_at_kept(subscription_core& sub, publisher_core& from, ring_class c,
                        const taken_range& at, engine& owner, std::uint64_t& sequence) noexcept {
    rescue_store& store = *from.stores_[sub.number];
    cursor_block& block = block_of(sub, from, c);
    if (c == ring_class::critical) {
        store.gather_critical(block, engine::end_for(sub, from), sub, owner);
        if (store.critical.empty()) {
            return first_kept::none;
        }
        sequence = store.critical.front().sequence;
    } else {
        store.gather(block, at.first, engine::end_for(sub, from), sub, owner);
        sub.kept_left |= store.left(c);
        if (store.head == store.ready) {
            return store.left(c) ? first_kept::undecided : first_kept::none;
        }
        sequence = store.taken[store.head].sequence;
    }
    sub.kept_left = true;
    return first_kept::found;
}

bool take_kept(subscription_core& sub, publisher_core& from, ring_class c, std::uint32_t limit,
               const taken_range& at, serve_context& context) noexcept {
    cursor_block& block = block_of(sub, from, c);
    rescue_store& store = *from.stores_[sub.number];
    inbox& box = sub.box[index_of(c)];
    slot_pool& pool = context.owner->kept();
    std::uint32_t count = 0;
    bool held_back = false;  // by those that it comes after
    const auto take = [&](const kept_event& event) {
        box.refs[count] = event.slot;
        box.events[count] = pool.payload(event.slot.index);
        box.sequences[count++] = event.sequence;
    };
    if (c == ring_class::critical) {
        store.gather_critical(block, engine::end_for(sub, from), sub, *context.owner);
        while (count != limit && !store.critical.empty() &&
               store.critical.front().sequence < context.before) {
            take(store.critical.front());
            store.critical.pop();
        }
        held_back = !store.critical.empty();
    } else {
        store.gather(block, at.first, engine::end_for(sub, from), sub, *context.owner);
        std::vector<kept_event>& taken = store.taken;
        while (count != limit && store.head != store.ready &&
               taken[store.head].sequence < context.conflated_before) {
            take(taken[store.head++]);
        }
        held_back = store.head != store.ready;
    }
    sub.kept_left |= store.left(c);
    context.more |=
        count != 0 || !held_back;  // a rescue may be at work: its end tells what goes first
    if (count == 0) {
        return false;
    }
    box.from = &from;
    box.where = held_in::kept;
    box.head = 0;
    box.count = count;
    box.lag = 0;
    box.lost_before = box.conflated_before = 0;
    if (c == ring_class::market) {
        // Relaxed: as in take_range().
        const std::uint64_t lost =
            block.lost.load(std::memory_order_relaxed) - block.told.load(std::memory_order_relaxed);
        const std::uint64_t folded =
            store.folded.get() + store.folded_late.get() - store.told_folded;
        box.lost_before = lost;
        box.conflated_before = folded;
        note_told(sub, from, c, lost, folded);
    }
    return true;
}

std::uint32_t chunk_for(const subscription_core& sub, std::uint64_t slice_ticks) noexcept {
    if (sub.average_ticks == 0) {
        return 1;  // unknown: one event tells
    }
    if (2 * sub.average_ticks * batch_size <= slice_ticks) [[likely]] {
        return batch_size;  // without a division
    }
    const std::uint64_t fits = slice_ticks / (2 * sub.average_ticks);
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fits, 1, batch_size));
}

std::uint32_t calls_between_looks(const subscription_core& sub,
                                  std::uint64_t slice_ticks) noexcept {
    const std::uint64_t average = sub.average_ticks;
    const auto fit = [&](std::uint64_t calls) { return average * calls <= slice_ticks; };
    if (average == 0 || !fit(16)) {
        return 1;
    }
    return !fit(256) ? 8 : !fit(1024) ? 32 : batch_size;
}

bool note_failure(subscription_core& sub, engine& owner) noexcept {
    if (sub.quarantine.after == 0) {
        return false;
    }
    std::uint64_t done = 0;
    for (const counter_cell& of_kind : sub.cells.done) {
        done += of_kind.get();
    }
    sub.failed_in_row = done == sub.done_at_failure ? sub.failed_in_row + 1 : 1;
    sub.done_at_failure = done;
    if (sub.failed_in_row < sub.quarantine.after) {
        return false;
    }
    owner.quarantined(sub);
    return true;
}

void note_time(subscription_core& sub, std::uint64_t ticks, std::uint32_t calls) noexcept {
    if (calls == 0) {
        return;
    }
    const std::uint64_t each = calls == 1 ? ticks : ticks / calls;
    const std::uint64_t now = std::max<std::uint64_t>(1, each);
    sub.average_ticks = sub.average_ticks == 0
                            ? now
                            : std::max<std::uint64_t>(1, (3 * sub.average_ticks + now) / 4);
}

}  // namespace ropeway::detail
