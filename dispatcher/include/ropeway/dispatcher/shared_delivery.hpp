// SPDX-License-Identifier: Apache-2.0
//
// How a subscription gets the events of a shared range: its part of what one look found for many,
// with the user's handler inlined. Runs on whoever holds the subscription, counted as inside a
// handler; its inbox is empty.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include <ropeway/consumer/wrapper.hpp>
#include <ropeway/dispatcher/batch_fill.hpp>
#include <ropeway/dispatcher/close_delivery.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/serving.hpp>

namespace ropeway::detail {

template <event_type E, class Wrapper>
class shared_delivery {
  public:
    /// Where they lie.
    static shown in_place(Wrapper& consumer, subscription_core& sub, shared_range& range,
                          std::uint32_t at) {
        const interest& wanted = sub.wanted();
        if (!wanted.instruments.empty()) [[unlikely]] {
            return marked(consumer, sub, range, at);
        }
        if (!fits(sub, range.count - at) || !take_shown(sub, range, at)) [[unlikely]] {
            return {at, false};
        }
        const engine& owner = *range.from->owner_;
        const std::uint64_t least = least_for(consumer, sub);
        const kind_set kinds = wanted.kinds;
        delivery facts = facts_of(range);
        std::uint32_t watched = range.next_watched(at);
        [[maybe_unused]] bool called = false;
        bool failed = false;
        while (at != range.count && !failed && range.unchanged(owner)) {
            const E& event = *static_cast<const E*>(range.events[at]);
            facts.sequence = range.sequences[at];
            facts.end_of_batch = at + 1 == range.count;
            if (at == watched || traits::routing_version(event) < least) [[unlikely]] {
                const outcome ended =
                    closely::deliver(consumer, sub, *range.from, event, facts, least);
                called |= ended != outcome::filtered;
                failed = ended == outcome::failed;
                watched = range.next_watched(at + 1);
            } else if (kinds.contains(traits::kind(event))) {
                called = true;
                failed = consumer.deliver(event, facts) == outcome::failed;
            }
            ++at;
        }
        end_batch(consumer, called);
        end_shown(sub, range, at);
        return {at, failed};
    }
    /// The same for one that named instruments: the few events that are marked for it.
    static shown marked(Wrapper& consumer, subscription_core& sub, shared_range& range,
                        std::uint32_t at) {
        const std::uint64_t mine = range.wanted_by(sub.number) >> at << at;
        // Somebody may ask about each of them: a turn of its own tells what became of it.
        if (range.from->awaited() >= range.sequences[at] ||
            !fits(sub, static_cast<std::uint32_t>(std::popcount(mine))) ||
            !take_shown(sub, range, at)) [[unlikely]] {
            return {at, false};
        }
        const engine& owner = *range.from->owner_;
        const std::uint64_t least = least_for(consumer, sub);
        const interest& wanted = sub.wanted();
        delivery facts = facts_of(range);
        bool called = false;
        bool failed = false;
        for (std::uint64_t left = mine;; left &= left - 1) {
            at = left == 0 ? range.count : static_cast<std::uint32_t>(std::countr_zero(left));
            if (at == range.count || !range.unchanged(owner)) {
                break;
            }
            const E& event = *static_cast<const E*>(range.events[at]);
            facts.sequence = range.sequences[at];
            facts.end_of_batch = at + 1 == range.count;
            if (fanout_sample::is_sampled(facts.sequence) || traits::routing_version(event) < least)
                [[unlikely]] {
                const outcome ended =
                    closely::deliver(consumer, sub, *range.from, event, facts, least);
                called |= ended != outcome::filtered;
                failed = ended == outcome::failed;
            } else if (filler::wants(wanted, event)) {
                called = true;
                failed = consumer.deliver(event, facts) == outcome::failed;
            }
            if (failed) [[unlikely]] {
                ++at;
                break;
            }
        }
        end_batch(consumer, called);
        end_shown(sub, range, at);
        return {at, failed};
    }
    /// The same with duplicates, for one that wants all of it. The range ends before the first
    /// handler; what a change leaves of the duplicates waits in the inbox.
    static shown duplicates(Wrapper& consumer, subscription_core& sub, shared_range& range,
                            std::uint32_t at) {
        engine& owner = *range.from->owner_;
        const std::uint64_t least = least_for(consumer, sub);
        const interest& wanted = sub.wanted();
        if (!fits(sub, range.count - at) || !wanted.instruments.empty() ||
            !filler::all_wanted(range, at, wanted.kinds, least) ||
            !filler::hold_slots(sub, range, at) || !take_shown(sub, range, at)) {
            return {at, false};
        }
        filler::duplicate_all(range, at);
        end_shown(sub, range, range.count);
        const slab_run<E> slots{owner.duplicates().storage()};
        const std::uint32_t count = range.count - at;
        delivery facts = facts_of(range);
        std::uint32_t watched = range.next_watched(at);
        bool failed = false;
        std::uint32_t i = 0;
        while (i != count && !failed && range.unchanged(owner)) {
            E& event = *slots.payload(range.duplicates()[i].index);
            facts.sequence = range.sequences[at + i];
            facts.end_of_batch = i + 1 == count;
            if (at + i == watched) [[unlikely]] {
                failed = closely::deliver(consumer, sub, *range.from, event, facts, least) ==
                         outcome::failed;
                watched = range.next_watched(at + i + 1);
            } else {
                failed = consumer.deliver(event, facts) == outcome::failed;
            }
            ++i;
        }
        if (i != count) [[unlikely]] {
            filler::leave_in(sub.box[index_of(ring_class::market)], range, at, i);
        } else {
            end_batch(consumer, true);
        }
        return {range.count, failed};
    }

  private:
    using traits = event_traits<E>;
    using filler = batch_fill<E>;
    using closely = close_delivery<E, Wrapper>;

    /// So many calls are no more than its part of a turn that others wait for.
    [[nodiscard]] static bool fits(const subscription_core& sub, std::uint32_t calls) noexcept {
        // Relaxed: we hold it.
        const std::uint32_t most = sub.together.load(std::memory_order_relaxed);
        return most != 0 && calls <= most;
    }
    [[nodiscard]] static delivery facts_of(const shared_range& range) noexcept {
        return {.lag = range.lag, .publisher = static_cast<std::uint16_t>(range.from->number_)};
    }
    static void end_batch([[maybe_unused]] Wrapper& consumer,
                          [[maybe_unused]] bool called) noexcept {
        if constexpr (requires { consumer.batch_end(); }) {
            if (called) {
                consumer.batch_end();
            }
        }
    }
    /// Market data of a lower version is stale for the handlers of a turn that has just begun.
    [[nodiscard]] static std::uint64_t least_for(const Wrapper& consumer,
                                                 const subscription_core& sub) noexcept {
        // Relaxed: acknowledged just before. Acquire: as in between_handlers.
        return std::max(sub.acknowledged.load(std::memory_order_relaxed),
                        consumer.min_version_source().load(std::memory_order_acquire));
    }
};

}  // namespace ropeway::detail
