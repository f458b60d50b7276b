// SPDX-License-Identifier: Apache-2.0
//
// One look's market events shown to many. Where several subscriptions stand before the same events
// and need no more than their handlers called, a worker looks the events up once and goes from
// subscription to subscription with them. Each is still taken, moves its own cursor and is let go;
// what is not repeated is the tail, the entries, the clock and the questions that a turn of its own
// asks. Whoever needs more than that is left to such a turn.
#include <algorithm>
#include <bit>
#include <optional>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/serving.hpp>
#include <ropeway/pool/thread_number.hpp>

#include "mask_windows.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {
namespace {

/// Turns that a subscription takes together with others before one of its own times its handler.
constexpr std::uint32_t turns_together = 64;

/// A handler that takes more than this part of a slice gains nothing: what a turn of its own costs
/// does not show beside it.
constexpr std::uint64_t part_of_slice = 16;

/// What a tail tells of a cursor: its word without the position's upper bits.
constexpr std::uint64_t told_by_tail = (std::uint64_t{1} << 34U) - 1;

/// A publisher as one look sees it.
struct seen_publisher {
    publisher_core* from;
    const cursor_block* market;
    const cursor_block* critical;
    std::uint64_t market_end;  ///< what a cursor that has all says, as far as a tail tells
    std::uint64_t critical_end;
};

class seen_publishers {
  public:
    seen_publishers(std::span<const std::unique_ptr<publisher_core>> all, tail_views& tails,
                    std::uint32_t first) noexcept
        : count_(all.size()) {
        std::size_t next = count_ < 2 ? 0 : first % static_cast<std::uint32_t>(count_);
        for (std::size_t i = 0; i != count_; ++i) {
            publisher_core& from = *all[next];
            next = next + 1 == count_ ? 0 : next + 1;
            const std::uint64_t tail = tails.of(from);
            const auto end = [tail](ring_class c) {
                return cursor_word::at(tail_word::count(tail, c));
            };
            places_[i] = {&from, from.rings[index_of(ring_class::market)].cursors,
                          from.rings[index_of(ring_class::critical)].cursors,
                          end(ring_class::market), end(ring_class::critical)};
        }
    }

    /// Where a subscription stands, as seen without taking it.
    struct standing {
        publisher_core* before = nullptr;  ///< before market events of this one
        std::uint64_t at = 0;              ///< its position there
        bool several = false;              ///< others
        bool elsewhere = false;            ///< before anything else, or in a rescue, or joining
    };
    [[nodiscard]] standing of(std::uint32_t number,
                              const publisher_core* preferred) const noexcept {
        standing out;
        for (const seen_publisher& one : std::span{places_}.first(count_)) {
            // Relaxed (all): a look; whoever takes it reads the cursor again.
            const cursor_block& critical = one.critical[number];
            if ((critical.cursor.load(std::memory_order_relaxed) & told_by_tail) !=
                    one.critical_end ||
                critical.kept.load(std::memory_order_relaxed) != 0 ||
                critical.first_kept.load(std::memory_order_relaxed) != 0) {
                return {.elsewhere = true};
            }
            const std::uint64_t word = one.market[number].cursor.load(std::memory_order_relaxed);
            if ((word & told_by_tail) == one.market_end) {
                continue;
            }
            if (cursor_word::busy(word) || word == cursor_word::join) {
                return {.elsewhere = true};
            }
            out.several = out.before != nullptr;
            if (out.before == nullptr || one.from == preferred) {
                out.before = one.from;
                out.at = cursor_word::position(word);
            }
        }
        return out;
    }

  private:
    std::size_t count_;
    std::array<seen_publisher, max_live_publishers> places_;
};

/// Up to a batch of market events from `at` on; none when the tail was seen before the cursor.
void find_events(publisher_core& from, std::uint64_t at, tail_views& tails,
                 shared_range& out) noexcept {
    const ring& places = from.rings[index_of(ring_class::market)];
    const std::uint64_t tail =
        std::max(at, tail_word::extend(at, tail_word::count(tails.of(from), ring_class::market)));
    out.from = &from;
    out.places = &places;
    out.cursors = places.cursors;
    out.first = at;
    out.count = static_cast<std::uint32_t>(std::min<std::uint64_t>(tail - at, batch_size));
    out.lag = static_cast<std::uint32_t>(tail - at - out.count);
    for (std::uint32_t i = 0; i != out.count; ++i) {
        // Relaxed: ordered by the tail.
        const std::uint32_t slot =
            places.entries[(at + i) & places.mask].load(std::memory_order_relaxed);
        out.events[i] = from.payload(slot);
        out.sequences[i] = from.sequence_of(slot);
    }
}

/// Ends a taking. Release: the next taker sees all we did. That it was marked meanwhile, to be
/// ended by whoever lets it go, is seen by our next look, which comes before we sleep; or, when
/// none comes any more, by end_marked().
void let_go_quickly(subscription_core& sub) noexcept {
    sub.owned.store(subscription_core::idle, std::memory_order_release);
}

}  // namespace

std::uint64_t shared_range::wanted_by(std::uint32_t number) noexcept {
    if (!turned) {
        turned = true;
        rows.fill(0);
        for (std::uint32_t i = 0; i != count; ++i) {
            // Relaxed: ordered by the tail.
            rows[i] = places->masks[(first + i) & places->mask].load(std::memory_order_relaxed);
        }
        transpose(rows);
    }
    return rows[number];
}

inline bool engine::show_to(subscription_core& sub, shared_range& range, std::uint64_t at,
                            served_together& out) noexcept {
    const cursor_block& block = range.cursors[sub.number];
    const auto begin = static_cast<std::uint32_t>(at - range.first);
    if (!sub.needs_no_care()) {
        return false;
    }
    // Acquire: as in look_at(). Another worker may have served it since we saw where it stands.
    if (block.cursor.load(std::memory_order_acquire) != cursor_word::at(at) &&
        !planted(planted_bug::stale_place)) {
        return false;
    }
    acknowledge(sub);
    const shown to = sub.face.show(sub, range, begin);
    if (to.upto == begin) {
        return false;
    }
    sub.slices.add(1);
    if (--sub.turns_together == 0) [[unlikely]] {
        sub.together.store(0, std::memory_order_relaxed);  // relaxed: we hold it
    }
    if (to.failed) [[unlikely]] {
        static_cast<void>(note_failure(sub, *this));
    }
    ++out.turns;
    out.done += to.upto - begin;
    return to.upto == range.count && sub.box[index_of(ring_class::market)].empty();
}

engine::served_together engine::serve_together(worker_group* group, worker_seat* seat,
                                               const views& seen, std::uint64_t members,
                                               std::uint64_t now) noexcept {
    served_together out;
    out.left = members;
    shared_range range;
    range.changes = changes();
    // After it: a critical event that is no change any more is in the tails.
    seen.tails.forget_before(critical_hint());
    const seen_publishers published{publishers(), seen.tails, seen.turn};
    if (seen.rear != nullptr) {
        find_events(*seen.rear, seen.rear_at, seen.tails, range);
    }
    std::optional<handler_scope> inside;
    retainer& behalf = retaining();
    std::uint64_t taken = 0;
    std::uint64_t done = 0;
    std::uint64_t ahead = 0;
    const std::uint32_t turn = thread_number() % max_live_subscriptions;
    for (std::uint64_t left = std::rotr(members, static_cast<int>(turn)); left != 0;
         left &= left - 1) {
        const auto number =
            (static_cast<std::uint32_t>(std::countr_zero(left)) + turn) % max_live_subscriptions;
        subscription_core& sub = subscriptions_[number];
        // Relaxed (both): a look; show_to() asks again.
        if (sub.owned.load(std::memory_order_relaxed) != subscription_core::idle) {
            out.left &= ~bit_of(number);  // another's, who looks again
            continue;
        }
        if (sub.together.load(std::memory_order_relaxed) == 0) {
            continue;
        }
        const seen_publishers::standing where = published.of(number, range.from);
        if (where.elsewhere) {
            continue;
        }
        if (where.before == nullptr) {
            out.left &= sub.needs_no_care() ? ~bit_of(number) : ~std::uint64_t{0};
            continue;
        }
        if (range.from == nullptr) {
            find_events(*where.before, where.at, seen.tails, range);
        }
        if (where.before != range.from) {
            continue;
        }
        if (where.at < range.first) [[unlikely]] {
            out.rear_at = out.rear == 0 ? where.at : std::min(out.rear_at, where.at);
            out.rear |= bit_of(number);
            continue;
        }
        if (where.at - range.first >= range.count) [[unlikely]] {
            // The others catch up first, but for one look in eight.
            ahead |= where.several || seen.turn % 8 == 0 ? 0 : bit_of(number);
            continue;
        }
        std::uint32_t nobody = subscription_core::idle;
        // seq_cst: as in look_once().
        if (!sub.owned.compare_exchange_strong(nobody, subscription_core::served,
                                               std::memory_order_seq_cst,
                                               std::memory_order_relaxed)) {
            out.left &= ~bit_of(number);  // as above
            continue;
        }
        taken |= bit_of(number);
        out.more |= where.several;
        if (stopping()) {  // as in look_once()
            let_go(sub);
            break;
        }
        if (!inside.has_value()) {
            inside.emplace(*this, sub);
            if (seat != nullptr) {
                seat->begin(sub.site, now, true);
            }
        }
        behalf.site = sub.site;
        if (seat != nullptr) {
            seat->go_on(sub.site);
        }
        if (show_to(sub, range, where.at, out)) [[likely]] {
            out.left &= ~bit_of(number);
            done |= bit_of(number);
        }
        if (sub.box[index_of(ring_class::market)].empty()) [[likely]] {
            let_go_quickly(sub);
        } else {
            let_go(sub);
        }
        if (changes() != range.changes) [[unlikely]] {
            out.left = members & ~done;  // who had nothing may have something by now
            out.changed = true;
            break;
        }
        if (seat != nullptr && worker_seat::what(seat->word()) != worker_seat::serving)
            [[unlikely]] {
            break;
        }
    }
    if (out.turns != 0 && ahead != 0) {
        out.left &= ~ahead;  // the others catch up first
        out.more = true;
    }
    if (range.held != 0) {
        range.give_back(*this, range);
    }
    out.taken = taken;
    out.from = range.from;
    out.changes = range.changes;
    if (inside.has_value()) {
        inside.reset();
        out.more |= range.lag != 0 || changes() != range.changes;
        note_time(now);
        if (stopping()) [[unlikely]] {
            end_marked(taken);
        }
        const worker_seat::doing was = seat != nullptr ? seat->end() : worker_seat::serving;
        out.written_off = was == worker_seat::written_off;
        if (was == worker_seat::serving_out) {
            group->awake.fetch_add(1, std::memory_order_seq_cst);  // as in look_once()
        }
    }
    return out;
}

void engine::end_marked(std::uint64_t subs) noexcept {
    // No look of ours follows. Pairs with leave_to_worker(): either we see it marked, or it finds
    // that we let it go.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (; subs != 0; subs &= subs - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(subs))];
        if (sub.closing.load(std::memory_order_seq_cst) == subscription_core::marked) {
            static_cast<void>(end_if_idle(sub));
        }
    }
}

void engine::note_if_together(subscription_core& sub, std::uint64_t slice_ticks) noexcept {
    const bool may = sub.face.show != nullptr && sub.face.idle == nullptr &&
                     sub.policy == overflow::block && !sub.was_lossy &&
                     sub.order == event_order::critical_first && sub.average_ticks != 0 &&
                     part_of_slice * sub.average_ticks <= slice_ticks;
    sub.turns_together = turns_together;
    // Relaxed: a hint for others, and our own.
    sub.together.store(may ? chunk_for(sub, slice_ticks) : 0, std::memory_order_relaxed);
}

}  // namespace ropeway::detail
