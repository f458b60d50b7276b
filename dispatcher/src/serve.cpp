// SPDX-License-Identifier: Apache-2.0
//
// A worker's side of a ring: taking a range, ending it, and sizing batches to the time slice.
#include <algorithm>

#include <ropeway/dispatcher/binding.hpp>

namespace ropeway::detail {

bool take_range(subscription_core& sub, publisher_core& from, ring_class c, std::uint32_t limit,
                taken_range& out) noexcept {
    const ring& places = from.rings[index_of(c)];
    cursor_block& block = places.cursors[sub.number];
    // The cursor first: a rescue that ends after this load makes the CAS below fail. Acquire pairs
    // with rescue(): the counts of what was lost before this place are visible.
    std::uint64_t word = block.cursor.load(std::memory_order_acquire);
    if (cursor_word::busy(word) || word == cursor_word::join) {
        return false;
    }
    const std::uint64_t first = cursor_word::position(word);
    // Acquire pairs with commit(): slots and entries before the tail are visible.
    const std::uint64_t tail =
        tail_word::extend(first, tail_word::count(from.tail.load(std::memory_order_acquire), c));
    const auto count = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(tail - first, std::min(limit, batch_size)));
    if (count == 0) {
        return false;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        // Relaxed: ordered by tail; a place that was lapped meanwhile fails the CAS below.
        out.slots[i] = places.entries[(first + i) & places.mask].load(std::memory_order_relaxed);
    }
    out.first = first;
    out.last = first + count;
    out.lag = static_cast<std::uint32_t>(tail - out.last);
    out.lost = 0;
    if (!sub.lossy(c)) {
        return true;
    }
    // Relaxed: ordered by the cursor's acquire; exact because the CAS fails after a later rescue.
    out.lost = block.lost.load(std::memory_order_relaxed) - sub.told_lost[from.number_];
    // Relaxed: the CAS's release orders it, so a publisher that sees the cursor moved sees the pin.
    block.pin.store(pin_word::of(first, count), std::memory_order_relaxed);
    // acq_rel: success makes the range ours; pairs with refresh() and rescue().
    if (block.cursor.compare_exchange_strong(word, cursor_word::at(out.last),
                                             std::memory_order_acq_rel,
                                             std::memory_order_relaxed)) {
        return true;
    }
    block.pin.store(0, std::memory_order_release);  // pairs with refresh(): nothing was read
    return false;
}

void end_range(subscription_core& sub, publisher_core& from, ring_class c,
               std::uint64_t upto) noexcept {
    cursor_block& block = from.rings[index_of(c)].cursors[sub.number];
    // Release pairs with refresh(): our reads of the slots are over before they are overwritten.
    if (sub.lossy(c)) {
        block.pin.store(0, std::memory_order_release);
    } else {
        block.cursor.store(cursor_word::at(upto), std::memory_order_release);
    }
}

std::uint32_t chunk_for(const subscription_core& sub, std::uint64_t slice_ticks) noexcept {
    if (sub.average_ticks == 0) {
        return 1;  // unknown: one event tells
    }
    const std::uint64_t fits = slice_ticks / (2 * sub.average_ticks);
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fits, 1, batch_size));
}

std::uint32_t clock_mask(const subscription_core& sub, std::uint64_t slice_ticks) noexcept {
    const std::uint64_t calls = sub.average_ticks == 0 ? 0 : slice_ticks / sub.average_ticks;
    if (calls < 16) {
        return 0;
    }
    return calls < 256 ? 7 : 31;
}

void note_time(subscription_core& sub, std::uint64_t ticks, std::uint32_t calls) noexcept {
    if (calls == 0) {
        return;
    }
    const std::uint64_t now = std::max<std::uint64_t>(1, ticks / calls);
    sub.average_ticks = sub.average_ticks == 0
                            ? now
                            : std::max<std::uint64_t>(1, (3 * sub.average_ticks + now) / 4);
}

}  // namespace ropeway::detail
