// SPDX-License-Identifier: Apache-2.0
//
// Serving a subscription in the order of publication: both rings of a publisher are merged by
// sequence, over one cut through its tail.
#include <algorithm>
#include <array>
#include <atomic>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>

#include "sequence_cut.hpp"

namespace ropeway::detail {
namespace {

/// Times that a turn changes between a publisher's rings before the next publisher's turn.
constexpr int stretches_per_turn = 16;

}  // namespace

void engine::serve_in_sequence(subscription_core& sub, serve_context& context,
                               std::uint32_t& done) noexcept {
    for (const ring_class c : {ring_class::market, ring_class::critical}) {
        const inbox& box = sub.box[index_of(c)];
        if (!box.empty()) {  // one of the two at most
            done += sub.face.serve(sub, *box.from, c, context);
            if (!box.empty()) {
                return;  // its slice is over
            }
        }
    }
    const auto all = publishers();
    for (std::size_t i = 0; i < all.size() && !context.slice_over; ++i) {
        publisher_core& from = *all[(i + sub.next_publisher) % all.size()];
        const std::uint64_t end = end_for(sub, from);
        const sequence_cut cut{sub, from, end, context.tails->of(from)};
        ring_class c = ring_class::market;
        int stretches = 0;
        while (!context.slice_over && !sub.ending() && cut.next(c, context)) {
            if (++stretches > stretches_per_turn) {
                context.more = true;
                break;
            }
            const std::uint64_t others = handled_by_others(sub, from, c);
            // All that was committed before a drain goes first.
            context.conflated_before =
                context.before >= end ? others : std::min(context.before, others);
            context.before = std::min(context.before, others);
            const std::uint32_t served = sub.face.serve(sub, from, c, context);
            done += served;
            if (!sub.box[index_of(c)].empty()) {
                return;
            }
            if (served == 0) {
                break;  // it waits for others, or a rescue was at work
            }
        }
        context.before = context.conflated_before = ~std::uint64_t{0};
    }
    ++sub.next_publisher;
}

}  // namespace ropeway::detail
