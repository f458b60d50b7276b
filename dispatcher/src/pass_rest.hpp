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
void engine::pass_rest(subscription_core& sub, publisher_core& from, ring_class c,
                       See&& see) noexcept {
    tail_views tails;
    serve_context context;
    context.tails = &tails;
    context.before = end_for(sub, from);
    taken_range range;
    // Up to some point of a ring that goes on.
    for (std::uint32_t passed = 0;
         passed <= from.rings[index_of(c)].capacity && look_at(sub, from, c, range) &&
         take_range(sub, from, c, batch_size, false, context, range);
         passed += batch_size, tails.forget()) {
        for (std::uint32_t i = range.next_wanted(0); i != range.count();
             i = range.next_wanted(i + 1)) {
            const void* const event = from.payload(range.slots[i]);
            if (sub.face.wants(sub, event)) {
                see(event);
            }
        }
        end_range(sub, from, c, false, range.last);
    }
}

}  // namespace ropeway::detail
