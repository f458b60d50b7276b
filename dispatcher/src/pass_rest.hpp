// SPDX-License-Identifier: Apache-2.0
//
// Taking a ring's events without handling them, for whoever holds the subscription. Private.
#pragma once

#include <cstdint>
#include <utility>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {

template <class See>
void engine::pass_rest(subscription_core& sub, publisher_core& from, ring_class c, in_rescue what,
                       See&& see) noexcept {
    tail_views tails;
    serve_context context;
    context.tails = &tails;
    context.before = end_for(sub, from);
    const ring& places = from.rings[index_of(c)];
    cursor_block& block = places.cursors[sub.number];
    taken_range range;
    // Up to some point of a ring that goes on; a publisher's rescue may come in between.
    for (std::uint32_t turns = places.capacity / batch_size + 64; turns != 0; --turns) {
        tails.forget();
        if (!look_at(sub, from, c, range)) {
            if ((range.cursor & cursor_word::rescue_bit) == 0 || what == in_rescue::leaves) {
                return;  // closed, not joined, or another turn's
            }
            wait_out_rescue(block);
            continue;
        }
        if (!take_range(sub, from, c, batch_size, false, context, range)) {
            // Relaxed: look_at() reads it again.
            if (block.cursor.load(std::memory_order_relaxed) == range.cursor) {
                return;  // it has all
            }
            continue;
        }
        for (std::uint32_t i = 0; i != range.count(); ++i) {
            if (!range.has_all_slots && !range.may_want(i)) {
                continue;  // nobody asks about it
            }
            const void* const event = from.payload(range.slots[i]);
            const std::uint64_t sequence = from.sequence_of(range.slots[i]);
            if (range.may_want(i) && sub.face.wants(sub, event)) {
                see(event, sequence);
            } else if (sequence == from.awaited()) {
                from.note_outcome(sub.number, sequence, delivery_outcome::unwanted);
            }
        }
        end_range(sub, from, c, false, range.last);
    }
}

}  // namespace ropeway::detail
