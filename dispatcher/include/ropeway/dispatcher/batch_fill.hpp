// SPDX-License-Identifier: Apache-2.0
//
// From a ring into a subscription's inbox: one batch of wanted, fresh events, as duplicates or
// where they lie. Knows the event type but no handler, so that it is compiled once per event type.
// Runs on the worker that holds the subscription (subscription_core::owned).
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/serving.hpp>
#include <ropeway/pool/block_copy.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/slab_run.hpp>
#include <ropeway/pool/slot_pool.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway::detail {

/// What a batch of events of type E asks of the events of a ring.
template <event_type E>
class batch_fill {
  public:
    using traits = event_traits<E>;

    /// What came of it.
    struct result {
        std::uint32_t passed = 0;  ///< positions that ended here: unwanted or stale
        /// Events of a claimed range for which there was no slot: their originals stand in the
        /// inbox behind those that have one, and the range is still pinned.
        std::uint32_t without_slot = 0;
    };

    /// Fills the empty inbox. `least`: market data of a lower version is stale.
    template <held_in where>
    [[nodiscard]] static result fill(subscription_core& sub, publisher_core& from, ring_class c,
                                     serve_context& context, std::uint64_t least) noexcept {
        constexpr bool copies = where == held_in::duplicates;
        const std::uint32_t chunk = chunk_for(sub, context.slice_ticks);
        taken_range range;
        if (!look_at(sub, from, c, range)) {
            return {};
        }
        if (kept_waits(sub, from, c)) [[unlikely]] {
            static_cast<void>(take_kept(sub, from, c, chunk, range, context));
            return {};
        }
        slot_pool& pool = context.owner->duplicates();
        const auto room = copies ? static_cast<std::uint32_t>(pool.ensure(chunk)) : chunk;
        if (room == 0) [[unlikely]] {
            context.starved = true;
            return {};
        }
        if (!take_range(sub, from, c, room, !copies, context, range)) {
            return {};
        }
        inbox& box = sub.box[index_of(c)];
        const picked found = pick(sub, from, range, box, least);
        std::uint32_t got = found.count;
        if constexpr (copies) {
            got = copy_picked(sub, pool, box, found.count);
            if (got != found.count && !sub.contended(c)) [[unlikely]] {
                range.last = position_of(from, range, box.sequences[got]);  // the rest stays
            }
        }
        if (found.stale != 0) [[unlikely]] {
            count_stale(sub, from, range, found.stale);
        }
        box.from = &from;
        box.where = where;
        box.lag = range.lag;
        box.head = 0;
        box.count = got;
        context.more |= range.lag != 0;
        if (got != found.count && sub.contended(c)) [[unlikely]] {
            return {range.count() - found.count, found.count - got};
        }
        if (got != 0) {
            box.lost_before = range.lost;
            box.conflated_before = range.conflated;
            if ((range.lost | range.conflated) != 0) [[unlikely]] {
                note_told(sub, from, c, range.lost, range.conflated);
            }
        }
        if (copies || got == 0) {
            end_range(sub, from, c, !copies, range.last);
        }
        return {range.count() - got, 0};
    }

    /// True when a subscription, which the caller holds, wants all of a shared range from `at` on,
    /// and nothing of it is stale.
    [[nodiscard]] static bool all_wanted(shared_range& range, std::uint32_t at, kind_set kinds,
                                         std::uint64_t least) noexcept {
        for (std::uint32_t i = at; i < std::min(range.surveyed, range.count); ++i) {
            const E& event = *static_cast<const E*>(range.events[i]);
            range.kinds |= kind_set::bit(traits::kind(event));
            range.least_version = std::min(range.least_version, traits::routing_version(event));
        }
        range.surveyed = std::min(range.surveyed, at);
        return range.least_version >= least && (range.kinds & ~kinds.bits()) == 0;
    }
    /// Slots of a shared range for duplicates of its events from `at` on; false when there are not
    /// as many, and at levels that watch slots one by one.
    [[nodiscard]] static bool hold_slots(const subscription_core& sub, shared_range& range,
                                         std::uint32_t at) noexcept {
        engine& owner = *range.from->owner_;
        slot_pool& pool = owner.duplicates();
        if (pool.storage().level() >= guard_level::sampled || pool.storage().had_own_allocations())
            [[unlikely]] {
            return false;
        }
        const std::uint32_t count = range.count - at;
        const std::uint64_t meta = make_meta(sub.site, thread_number(), coarse_now_ms());
        range.give_back = &give_back;
        const std::size_t again = std::min(count, range.held);
        if (owner.returns().template renew_n<E>(pool, std::span{range.duplicates(), again}, meta) !=
            again) [[unlikely]] {
            give_back(owner, range);  // which reports what the guard objects to
        }
        if (range.held < count) {
            range.held += static_cast<std::uint32_t>(
                pool.get_n(range.duplicates() + range.held, count - range.held, meta));
        }
        return range.held >= count && slab_run<E>{pool.storage()}.usable();
    }
    /// Duplicates of those events, in those slots.
    static void duplicate_all(const shared_range& range, std::uint32_t at) noexcept {
        const slab_run<E> slots{range.from->owner_->duplicates().storage()};
        const void* const* const originals = range.events.data() + at;
        const std::uint32_t count = range.count - at;
        for (std::uint32_t i = 0; i != count; ++i) {
            copy_event(*slots.payload(range.duplicates()[i].index),
                       *static_cast<const E*>(originals[i]));
        }
    }
    /// What a change left of the duplicates of the events from `at` on, from the duplicate `begin`
    /// on, leaves the range for the inbox.
    [[gnu::cold, gnu::noinline]] static void leave_in(inbox& box, shared_range& range,
                                                      std::uint32_t at,
                                                      std::uint32_t begin) noexcept {
        slot_pool& pool = range.from->owner_->duplicates();
        const std::uint32_t count = range.count - at;
        box.from = range.from;
        box.where = held_in::duplicates;
        box.lag = range.lag;
        box.head = 0;
        box.count = count - begin;
        for (std::uint32_t i = begin; i != count; ++i) {
            box.refs[i - begin] = range.duplicates()[i];
            box.events[i - begin] = pool.payload(range.duplicates()[i].index);
            box.sequences[i - begin] = range.sequences[at + i];
        }
        for (std::uint32_t i = count; i != range.held; ++i) {
            range.duplicates()[i - box.count] = range.duplicates()[i];
        }
        range.held -= box.count;
    }

    [[nodiscard]] static bool wants(const interest& wanted, const E& event) noexcept {
        if (!wanted.kinds.contains(traits::kind(event))) {
            return false;
        }
        if (wanted.instruments.empty()) [[likely]] {
            return true;
        }
        const std::uint32_t instrument = traits::instrument(event);
        return instrument == 0 ||
               std::binary_search(wanted.instruments.begin(), wanted.instruments.end(), instrument);
    }

    [[nodiscard]] static bool is_stale(const E& event, std::uint64_t least) noexcept {
        if (traits::routing_version(event) >= least) [[likely]] {
            return false;
        }
        return !traits::is_critical(traits::kind(event));
    }

    static void copy_event(E& to, const E& from) noexcept {
        if constexpr (std::is_trivially_copyable_v<E> && is_simulated) {
            constexpr std::size_t half = sizeof(E) / 2;  // others run in the middle of the copy
            auto* const out = reinterpret_cast<std::byte*>(&to);
            const auto* const in = reinterpret_cast<const std::byte*>(&from);
            std::copy_n(in, half, out);
            scheduling_point();
            std::copy_n(in + half, sizeof(E) - half, out + half);
        } else if constexpr (std::is_trivially_copyable_v<E>) {
            copy_block<sizeof(E)>(&to, &from);
        } else {
            traits::clone(to, from);
        }
    }

  private:
    struct picked {
        std::uint32_t count = 0;  ///< in the inbox
        std::uint64_t stale = 0;  ///< a bit each, from the first position of the range on
    };

    /// Sequence and original of each wanted, fresh event into the inbox.
    [[nodiscard]] static picked pick(subscription_core& sub, publisher_core& from,
                                     const taken_range& range, inbox& box,
                                     std::uint64_t least) noexcept {
        const slab_run<E> originals{from.slots_};
        if (!range.has_all_slots) {
            return pick_marked(sub, from, range, box, least);
        }
        if (!sub.wanted().instruments.empty() || !originals.usable() ||
            from.awaited() >= from.sequence_of(range.slots[0])) [[unlikely]] {
            return pick_one_by_one(sub, from, range, box, least);
        }
        const std::uint32_t n = range.count();
        const std::uint32_t* const slots = range.slots.data();
        const kind_set kinds = sub.wanted().kinds;
        void** const events = box.events.data();
        std::uint64_t* const sequences = box.sequences.data();
        picked out;
        for (std::uint32_t i = 0; i != n; ++i) {
            E* const original = originals.payload(slots[i]);
            if (!kinds.contains(traits::kind(*original))) {
                continue;
            }
            if (is_stale(*original, least)) [[unlikely]] {
                out.stale |= std::uint64_t{1} << i;
                continue;
            }
            events[out.count] = original;
            // Relaxed: ordered by tail, like the payload.
            sequences[out.count++] =
                originals.header(slots[i]).meta.load(std::memory_order_relaxed);
        }
        return out;
    }
    /// The same for one that named instruments: the few that are marked for it.
    [[nodiscard]] static picked pick_marked(subscription_core& sub, publisher_core& from,
                                            const taken_range& range, inbox& box,
                                            std::uint64_t least) noexcept {
        const interest& wanted = sub.wanted();
        picked out;
        for (std::uint64_t left = range.wanted; left != 0; left &= left - 1) {
            const auto i = static_cast<std::uint32_t>(std::countr_zero(left));
            E* const original = static_cast<E*>(from.payload(range.slots[i]));
            if (!wants(wanted, *original)) {
                continue;
            }
            if (is_stale(*original, least)) [[unlikely]] {
                out.stale |= std::uint64_t{1} << i;
                continue;
            }
            box.events[out.count] = original;
            box.sequences[out.count++] = from.sequence_of(range.slots[i]);
        }
        return out;
    }
    /// The same when somebody waits to hear of an event.
    [[nodiscard, gnu::noinline]] static picked pick_one_by_one(subscription_core& sub,
                                                               publisher_core& from,
                                                               const taken_range& range, inbox& box,
                                                               std::uint64_t least) noexcept {
        const interest& wanted = sub.wanted();
        const std::uint64_t awaited = from.awaited();
        picked out;
        for (std::uint32_t i = 0; i != range.count(); ++i) {
            E* const original = static_cast<E*>(from.payload(range.slots[i]));
            const std::uint64_t sequence = from.sequence_of(range.slots[i]);
            if (!range.may_want(i) || !wants(wanted, *original)) {
                if (sequence == awaited) [[unlikely]] {
                    from.note_outcome(sub.number, sequence, delivery_outcome::unwanted);
                }
            } else if (is_stale(*original, least)) {
                if (sequence == awaited) [[unlikely]] {
                    from.note_outcome(sub.number, sequence, delivery_outcome::filtered);
                }
                out.stale |= std::uint64_t{1} << i;
            } else {
                box.events[out.count] = original;
                box.sequences[out.count++] = sequence;
            }
        }
        return out;
    }

    /// Puts a duplicate into the place of each original in the inbox; returns how many there were
    /// slots for. ensure() promised as many; fewer only when the guard refuses to hand one out.
    [[nodiscard]] static std::uint32_t copy_picked(const subscription_core& sub, slot_pool& pool,
                                                   inbox& box, std::uint32_t count) noexcept {
        const auto got = static_cast<std::uint32_t>(pool.get_n(
            box.refs.data(), count, make_meta(sub.site, thread_number(), coarse_now_ms())));
        const slab_run<E> slots{pool.storage()};
        const slot_ref* const refs = box.refs.data();
        void** const events = box.events.data();
        for (std::uint32_t i = 0; !slots.usable() && i != got; ++i) {
            E* const copy = static_cast<E*>(pool.payload(refs[i].index));
            copy_event(*copy, *static_cast<const E*>(events[i]));
            events[i] = copy;
        }
        for (std::uint32_t i = 0; slots.usable() && i != got; ++i) {
            E* const copy = slots.payload(refs[i].index);
            copy_event(*copy, *static_cast<const E*>(events[i]));
            events[i] = copy;
        }
        return got;
    }
    static void give_back(engine& owner, shared_range& range) noexcept {
        owner.returns().template recycle_n<E>(owner.duplicates(), range.duplicates(),
                                              std::exchange(range.held, 0U));
    }

    [[nodiscard]] static std::uint64_t position_of(const publisher_core& from,
                                                   const taken_range& range,
                                                   std::uint64_t sequence) noexcept {
        std::uint32_t i = 0;
        while (i != range.count() && ((!range.has_all_slots && !range.may_want(i)) ||
                                      from.sequence_of(range.slots[i]) != sequence)) {
            ++i;
        }
        return range.first + i;
    }

    /// Each stale event once: what a cut range leaves in the ring is looked at again.
    [[gnu::noinline]] static void count_stale(subscription_core& sub, publisher_core& from,
                                              const taken_range& range,
                                              std::uint64_t stale) noexcept {
        for (; stale != 0; stale &= stale - 1) {
            const auto i = static_cast<std::uint32_t>(std::countr_zero(stale));
            if (range.first + i < range.last) {
                const E& event = *static_cast<const E*>(from.payload(range.slots[i]));
                sub.cells.filtered[kind_index(traits::kind(event))].add(1);
            }
        }
    }
};

}  // namespace ropeway::detail
