// SPDX-License-Identifier: Apache-2.0
//
// What joins a wrapped consumer to a subscription: the serve loop with the user's handler inlined.
// The engine calls it through one function pointer per batch, so a delivery costs no indirection.
// Runs on the worker that holds the subscription (subscription_core::owned).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ropeway/consumer/wrapper.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/serving.hpp>
#include <ropeway/pool/block_copy.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/recycler.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway {

/// Inside a handler: the event, kept past it, as a duplicate that counts as the subscription's
/// until it goes back. Empty outside of handlers, and when no slot is free. Any number of them may
/// outlive the dispatcher. A handler that takes pooled<E> needs no copy.
template <event_type E>
[[nodiscard]] pooled<E> retain(const E& event) noexcept;

}  // namespace ropeway

namespace ropeway::detail {

template <event_type E, class Handler>
class binding {
  public:
    using traits = event_traits<E>;

    binding(std::string_view name, Handler handler, failure_sink* sink, std::uint64_t min_version)
        : consumer_(name, std::move(handler), sink, min_version) {}

    [[nodiscard]] static consumer_face make(std::string_view name, Handler handler,
                                            failure_sink* sink, const subscription_params& params) {
        auto self = std::make_unique<binding>(name, std::move(handler), sink, params.min_version);
        consumer_face face;
        face.serve = &serve_duplicates;
        if (params.delivery == delivery_mode::original) {
            face.serve = &serve_original;
        }
        if constexpr (handler_for<Handler, const E&>) {
            if (params.delivery == delivery_mode::in_place) {
                face.serve = &serve_in_place;
            }
        }
        face.recycle = [](engine& owner, slot_pool& pool, slot_ref held) noexcept {
            static_cast<void>(owner.returns().template recycle_one<E>(pool, held));
        };
        face.copy = [](void* to, const void* from) noexcept {
            copy_event(*static_cast<E*>(to), *static_cast<const E*>(from));
        };
        face.critical = [](std::uint32_t kind) noexcept { return traits::is_critical(kind); };
        face.conflatable = [](std::uint32_t kind) noexcept { return traits::conflatable(kind); };
        face.conflation_key = [](const void* event) noexcept {
            return traits::conflation_key(*static_cast<const E*>(event));
        };
        face.fold = [](void* older, const void* newer) noexcept {
            traits::fold(*static_cast<E*>(older), *static_cast<const E*>(newer));
        };
        if constexpr (has_on_idle<Handler>) {
            face.idle = [](void* object) noexcept {
                static_cast<binding*>(object)->consumer_.idle();
            };
        }
        if constexpr (has_on_timer<Handler>) {
            face.timer = [](void* object) noexcept {
                static_cast<binding*>(object)->consumer_.timer();
            };
        }
        face.use_cells = [](void* object, consumer_cells& cells) noexcept {
            static_cast<binding*>(object)->consumer_.use_cells(cells);
        };
        face.discard = &discard;
        face.stats = [](const void* object) noexcept {
            return static_cast<const binding*>(object)->consumer_.stats();
        };
        face.update_min_version = [](void* object, std::uint64_t version) noexcept {
            static_cast<binding*>(object)->consumer_.update_min_version(version);
        };
        face.wants = [](const subscription_core& sub, const void* event) noexcept {
            return wants(sub.wanted(), *static_cast<const E*>(event));
        };
        face.destroy = [](void* object) noexcept {
            std::unique_ptr<binding>{static_cast<binding*>(object)}.reset();
        };
        face.object = self.release();
        return face;
    }

  private:
    static constexpr bool owns = owning_handler_for<Handler, E>;

    static bool wants(const interest& wanted, const E& event) noexcept {
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

    static std::uint32_t serve_duplicates(subscription_core& sub, publisher_core& from,
                                          ring_class c, serve_context& context) {
        inbox& box = sub.box[index_of(c)];
        const std::uint32_t skipped =
            box.empty() ? fill<held_in::duplicates>(sub, from, c, context) : 0;
        return skipped + run_inbox(sub, box, c, context);
    }

    static std::uint32_t serve_original(subscription_core& sub, publisher_core& from, ring_class c,
                                        serve_context& context) {
        inbox& box = sub.box[index_of(c)];
        std::uint32_t skipped = 0;
        if (box.empty()) {
            // At `full` a published slot is sealed, and whoever changes it is reported.
            const bool sole = alone(sub, from) && from.slots_.level() < guard_level::full;
            skipped = sole ? fill<held_in::ring>(sub, from, c, context)
                           : fill<held_in::duplicates>(sub, from, c, context);
        }
        return skipped + run_inbox(sub, box, c, context);
    }

    /// After a handler whose event is sampled or awaited.
    [[gnu::noinline]] static void tell_of(subscription_core& sub, publisher_core& from,
                                          std::uint64_t sequence, std::uint64_t begin,
                                          outcome ended, bool asked) noexcept {
        const std::uint64_t end = tick_clock::now();
        if (asked) {
            from.note_outcome(sub.number, sequence, said_of(ended));
        }
        fanout_sample& sample = from.sample_of(sequence);
        const std::uint64_t published =
            fanout_sample::is_sampled(sequence) ? sample.published(sequence) : 0;
        if (ended != outcome::filtered && published != 0) {
            sub.latency.record(tick_clock::to_ns(begin > published ? begin - published : 0));
            sub.handler_time.record(tick_clock::to_ns(end - begin));
            sample.handled(sequence, end - begin, end);
        }
    }
    [[nodiscard]] static delivery_outcome said_of(outcome ended) noexcept {
        switch (ended) {
            case outcome::done: return delivery_outcome::delivered;
            case outcome::filtered: return delivery_outcome::filtered;
            case outcome::failed: return delivery_outcome::failed;
        }
        return delivery_outcome::failed;
    }
    /// True for awaited market data that was cancelled: no handler is called.
    [[gnu::cold, gnu::noinline]] static bool cancels(binding& self, subscription_core& sub,
                                                     publisher_core& from, const E& event,
                                                     std::uint64_t sequence) noexcept {
        const std::uint32_t kind = traits::kind(event);
        if (traits::is_critical(kind) || !from.is_cancelled(sequence)) {
            return false;
        }
        self.consumer_.count_filtered(kind);
        from.note_outcome(sub.number, sequence, delivery_outcome::cancelled);
        return true;
    }

    /// The version for the next handler, acknowledged: the one before has returned.
    static std::uint64_t held_to(subscription_core& sub, const engine& owner,
                                 std::uint64_t& held) noexcept {
        const std::uint64_t version = owner.version();
        if (version != held) [[unlikely]] {
            const std::uint64_t before = std::exchange(held, version);
            // Release pairs with flip_and_wait(): what that handler did is visible.
            sub.acknowledged.store(version, std::memory_order_release);
            if (planted(planted_bug::old_version)) {
                return before;
            }
        }
        return version;
    }

    /// Stale events of a batch, counted once it is known how much of the batch was taken.
    struct stale_events {
        std::array<std::uint64_t, batch_size> positions;
        std::array<std::uint32_t, batch_size> kinds;
        std::uint32_t count = 0;
    };

    /// Brings one batch of wanted, fresh events into the empty inbox, as duplicates or where they
    /// are; returns how many positions were passed without one.
    template <held_in where>
    static std::uint32_t fill(subscription_core& sub, publisher_core& from, ring_class c,
                              serve_context& context) noexcept {
        const std::uint32_t chunk = chunk_for(sub, context.slice_ticks);
        taken_range range;
        if (!look_at(sub, from, c, range)) {
            return 0;
        }
        if (kept_waits(sub, from, c)) [[unlikely]] {
            static_cast<void>(take_kept(sub, from, c, chunk, range, context));
            return 0;
        }
        constexpr bool copies = where == held_in::duplicates;
        std::uint32_t room = chunk;
        if constexpr (copies) {
            room = static_cast<std::uint32_t>(context.owner->duplicates().ensure(chunk));
        }
        if (room == 0 || !take_range(sub, from, c, room, !copies, context.before, range)) {
            return 0;
        }
        inbox& box = sub.box[index_of(c)];
        stale_events stale;
        const std::uint32_t found = pick(sub, from, range, box, stale);
        box.from = &from;
        box.where = where;
        box.lag = range.lag;
        box.head = 0;
        box.count = found;
        std::uint32_t got = found;
        if constexpr (copies) {
            got = copy_picked(sub, from, box, found);
            if (got != found) [[unlikely]] {
                // ensure() promised as many; fewer only when the guard refuses to hand a slot out.
                if (sub.contended(c)) {
                    count_stale(sub, stale, range.last);
                    context.more |= range.lag != 0;
                    run_without_slots(sub, from, c, context, found);
                    end_range(sub, from, c, true, range.last);
                    return static_cast<std::uint32_t>(range.last - range.first);
                }
                range.last = position_of(from, range, box.sequences[got]);  // the rest stays
            }
        }
        count_stale(sub, stale, range.last);
        context.more |= range.lag != 0;
        if (got != 0) {
            tell_before(sub, from, c, box, range.lost, range.conflated);
        }
        if (copies || got == 0) {
            end_range(sub, from, c, !copies, range.last);
        }
        return static_cast<std::uint32_t>(range.last - range.first) - got;
    }

    /// A claimed range, and not a slot for every event of it: the handler gets those that are left
    /// from the stack, before anything can overtake them.
    [[gnu::cold, gnu::noinline]] static void run_without_slots(subscription_core& sub,
                                                               publisher_core& from, ring_class c,
                                                               serve_context& context,
                                                               std::uint32_t found) noexcept {
        inbox& box = sub.box[index_of(c)];
        const std::uint32_t got = box.count;
        binding& self = *static_cast<binding*>(sub.face.object);
        std::array<void*, batch_size> left = box.events;
        std::array<std::uint64_t, batch_size> sequences = box.sequences;
        while (!box.empty() && !sub.ending()) {
            context.critical_seen = context.owner->critical_hint();  // no giving way in here
            static_cast<void>(run_inbox(sub, box, c, context));
        }
        std::uint64_t held = sub.acknowledged.load(std::memory_order_relaxed);  // relaxed: our own
        const handler_scope inside{*context.owner, sub};
        for (std::uint32_t i = got; i != found && !sub.ending(); ++i) {
            E event;
            copy_event(event, *static_cast<const E*>(left[i]));
            const delivery facts{.sequence = sequences[i],
                                 .publisher = static_cast<std::uint16_t>(from.number_),
                                 .end_of_batch = i + 1 == found};
            outcome ended = outcome::filtered;
            if constexpr (owns) {
                slot_ref slot;  // one of the kept events' pool; only without any it goes uncalled
                slot_pool& pool = context.owner->kept();
                if (pool.try_get(slot, make_meta(sub.site, thread_number(), coarse_now_ms()))) {
                    pooled<E> owned = context.owner->returns().template adopt<E>(pool, slot);
                    copy_event(*owned, event);
                    ended = self.consumer_.process_owned(std::move(owned), facts,
                                                         held_to(sub, *context.owner, held));
                } else {
                    self.consumer_.count_filtered(traits::kind(event));
                }
            } else {
                ended = self.consumer_.process(event, facts, held_to(sub, *context.owner, held));
            }
            if (sequences[i] == from.awaited()) {
                from.note_outcome(sub.number, sequences[i], said_of(ended));
            }
            sub.starved.add(1);
        }
    }

    static void tell_before(subscription_core& sub, publisher_core& from, ring_class c, inbox& box,
                            std::uint64_t lost, std::uint64_t conflated) noexcept {
        box.lost_before = lost;
        box.conflated_before = conflated;
        if (lost != 0 || conflated != 0) [[unlikely]] {
            note_told(sub, from, c, lost, conflated);
        }
    }

    [[nodiscard]] static std::uint64_t sequence_of(const publisher_core& from,
                                                   std::uint32_t index) noexcept {
        // Relaxed: ordered by tail, like the payload.
        return from.slots_.header(index).meta.load(std::memory_order_relaxed);
    }

    [[nodiscard]] static std::uint64_t position_of(const publisher_core& from,
                                                   const taken_range& range,
                                                   std::uint64_t sequence) noexcept {
        std::uint64_t at = range.first;
        while (at != range.last && sequence_of(from, range.slots[at - range.first]) != sequence) {
            ++at;
        }
        return at;
    }

    /// Each stale event once: what a cut batch leaves in the ring is looked at again.
    static void count_stale(subscription_core& sub, const stale_events& stale,
                            std::uint64_t before) noexcept {
        binding& self = *static_cast<binding*>(sub.face.object);
        for (std::uint32_t i = 0; i < stale.count && stale.positions[i] < before; ++i) {
            self.consumer_.count_filtered(stale.kinds[i]);
        }
    }

    /// Writes sequence and original of each wanted, fresh event into the inbox; returns how many.
    static std::uint32_t pick(subscription_core& sub, publisher_core& from,
                              const taken_range& range, inbox& box, stale_events& stale) noexcept {
        binding& self = *static_cast<binding*>(sub.face.object);
        const std::uint64_t floor = from.owner_->version();
        const std::uint64_t awaited = from.awaited();
        std::uint32_t found = 0;
        const interest& wanted = sub.wanted();
        const bool by_instrument = !wanted.instruments.empty();
        for (std::uint64_t at = range.first; at != range.last; ++at) {
            const std::uint32_t index = range.slots[at - range.first];
            void* const original = from.payload(index);
            const E& event = *static_cast<const E*>(original);
            if ((by_instrument && !range.may_want(at, sub.number)) || !wants(wanted, event)) {
                if (awaited != 0 && sequence_of(from, index) == awaited) [[unlikely]] {
                    from.note_outcome(sub.number, awaited, delivery_outcome::unwanted);
                }
                continue;
            }
            if (!self.consumer_.should_process(event, floor)) {
                if (awaited != 0 && sequence_of(from, index) == awaited) [[unlikely]] {
                    from.note_outcome(sub.number, awaited, delivery_outcome::filtered);
                }
                stale.positions[stale.count] = at;
                stale.kinds[stale.count++] = traits::kind(event);
                continue;
            }
            box.events[found] = original;
            box.sequences[found++] = sequence_of(from, index);
        }
        return found;
    }

    /// Puts a duplicate into the place of each original in the inbox; returns how many there were
    /// slots for.
    static std::uint32_t copy_picked(subscription_core& sub, publisher_core& from, inbox& box,
                                     std::uint32_t found) noexcept {
        slot_pool& pool = from.owner_->duplicates();
        const auto got = static_cast<std::uint32_t>(pool.get_n(
            box.refs.data(), found, make_meta(sub.site, thread_number(), coarse_now_ms())));
        for (std::uint32_t i = 0; i < got; ++i) {
            E* const copy = static_cast<E*>(pool.payload(box.refs[i].index));
            copy_event(*copy, *static_cast<const E*>(box.events[i]));
            box.events[i] = copy;
        }
        box.count = got;
        return got;
    }

    static std::uint32_t run_inbox(subscription_core& sub, inbox& box, ring_class c,
                                   serve_context& context) {
        if (box.empty()) {
            return 0;
        }
        binding& self = *static_cast<binding*>(sub.face.object);
        engine& owner = *context.owner;
        slot_pool& pool = box.where == held_in::kept ? owner.kept() : owner.duplicates();
        const std::uint32_t first = box.head;
        const std::uint32_t count = box.count;
        std::uint32_t head = first;
        const std::uint32_t mask = clock_mask(sub, context.slice_ticks);
        const bool recycles = !owns && box.where != held_in::ring;
        const bool one_by_one = recycles && pool.storage().level() >= guard_level::sampled;
        const bool gives_way = c == ring_class::market && sub.gives_way();
        const std::uint64_t awaited = box.from->awaited();
        std::uint64_t held = sub.acknowledged.load(std::memory_order_relaxed);  // relaxed: our own
        const std::uint64_t start = tick_clock::now();
        const handler_scope inside{*context.owner, sub};
        std::uint32_t end = count;  // or where it went into quarantine
        while (head != end) {
            if (gives_way && owner.critical_waits(context.critical_seen)) {
                break;  // at most the handler in progress goes before a critical event
            }
            if (sub.ending()) {
                break;  // the handler ended its own subscription
            }
            const std::uint32_t at = head++;
            const delivery facts{box.sequences[at],
                                 box.lost_before,
                                 box.conflated_before,
                                 box.lag,
                                 static_cast<std::uint16_t>(box.from->number_),
                                 head == count};
            const std::uint64_t sequence = box.sequences[at];
            const bool asked = sequence == awaited;
            E& event = *static_cast<E*>(box.events[at]);
            const bool special = static_cast<unsigned>(asked) |
                                 static_cast<unsigned>(fanout_sample::is_sampled(sequence));
            const std::uint64_t begin = special ? tick_clock::now() : 0;
            outcome ended = outcome::filtered;
            if (asked && cancels(self, sub, *box.from, event, awaited)) [[unlikely]] {
                if constexpr (owns) {
                    static_cast<void>(owner.returns().template adopt<E>(pool, box.refs[at]));
                }
            } else {
                if constexpr (owns) {
                    ended = self.consumer_.process_owned(
                        owner.returns().template adopt<E>(pool, box.refs[at]), facts,
                        held_to(sub, owner, held));
                } else {
                    ended = self.consumer_.process(event, facts, held_to(sub, owner, held));
                }
                if (special) [[unlikely]] {
                    tell_of(sub, *box.from, sequence, begin, ended, asked);
                }
                if (ended == outcome::failed && note_failure(sub, owner)) [[unlikely]] {
                    context.slice_over = true;
                    end = head;
                }
            }
            if (ended != outcome::filtered && (box.lost_before | box.conflated_before) != 0)
                [[unlikely]] {
                box.lost_before = box.conflated_before = 0;  // told; a filtered event tells nobody
            }
            if (one_by_one) {
                owner.returns().template recycle_n<E>(pool, &box.refs[at], 1);
            }
            if (((head - first) & mask) == 0 && tick_clock::now() >= context.slice_end) {
                context.slice_over = true;
                break;
            }
        }
        if constexpr (has_on_batch_end<Handler>) {
            if (head == count) {
                self.consumer_.batch_end();
            }
        }
        box.head = head;
        const std::uint32_t done = head - first;
        context.more |= !box.empty();
        if (recycles && !one_by_one && done != 0) {
            owner.returns().template recycle_n<E>(pool, &box.refs[first], done);
        }
        if (box.where != held_in::duplicates) [[unlikely]] {
            left_batch(sub, box, c, done);
        }
        if (box.empty() && (box.lost_before | box.conflated_before) != 0) [[unlikely]] {
            // With the next batch, then.
            note_told(sub, *box.from, c, 0 - box.lost_before, 0 - box.conflated_before);
            box.lost_before = box.conflated_before = 0;
        }
        note_time(sub, tick_clock::now() - start, done);
        return done;
    }

    static std::uint32_t serve_in_place(subscription_core& sub, publisher_core& from, ring_class c,
                                        serve_context& context) {
        inbox& box = sub.box[index_of(c)];
        if (sub.contended(c) || sub.was_lossy || !box.empty()) {
            // The range stays pinned until its last handler has returned: the publisher takes
            // spares instead of waiting for it.
            const std::uint32_t skipped =
                box.empty() ? fill<held_in::ring>(sub, from, c, context) : 0;
            return skipped + run_inbox(sub, box, c, context);
        }
        taken_range range;
        if (!look_at(sub, from, c, range) ||
            !take_range(sub, from, c, chunk_for(sub, context.slice_ticks), false, context.before,
                        range)) {
            return 0;
        }
        binding& self = *static_cast<binding*>(sub.face.object);
        engine& owner = *context.owner;
        const std::uint32_t mask = clock_mask(sub, context.slice_ticks);
        const std::uint64_t start = tick_clock::now();
        const bool gives_way = sub.gives_way();
        const interest& wanted = sub.wanted();
        const bool by_instrument = !wanted.instruments.empty();
        const std::uint64_t awaited = from.awaited();
        std::uint64_t held = sub.acknowledged.load(std::memory_order_relaxed);  // relaxed: our own
        std::uint32_t calls = 0;
        std::uint64_t at = range.first;
        const handler_scope inside{*context.owner, sub};
        while (at != range.last) {
            if (gives_way && owner.critical_waits(context.critical_seen)) {
                break;
            }
            if (sub.ending()) {
                break;  // as in run_inbox()
            }
            const std::uint32_t index = range.slots[at - range.first];
            const E& event = *static_cast<const E*>(from.payload(index));
            const bool masked = by_instrument && !range.may_want(at, sub.number);
            ++at;
            if (masked || !wants(wanted, event)) {
                if (awaited != 0 && sequence_of(from, index) == awaited) [[unlikely]] {
                    from.note_outcome(sub.number, awaited, delivery_outcome::unwanted);
                }
                continue;
            }
            const std::uint64_t sequence = sequence_of(from, index);
            if (sequence == awaited && cancels(self, sub, from, event, sequence)) [[unlikely]] {
                continue;
            }
            const delivery facts{.sequence = sequence,
                                 .lag = range.lag,
                                 .publisher = static_cast<std::uint16_t>(from.number_),
                                 .end_of_batch = at == range.last};
            const bool special = sequence == awaited || fanout_sample::is_sampled(sequence);
            const std::uint64_t begin = special ? tick_clock::now() : 0;
            const outcome ended = self.consumer_.process(event, facts, held_to(sub, owner, held));
            if (special) [[unlikely]] {
                tell_of(sub, from, sequence, begin, ended, sequence == awaited);
            }
            if (ended == outcome::failed && note_failure(sub, owner)) [[unlikely]] {
                context.slice_over = true;
                ++calls;
                break;
            }
            ++calls;
            if ((calls & mask) == 0 && tick_clock::now() >= context.slice_end) {
                context.slice_over = true;
                break;
            }
        }
        if constexpr (has_on_batch_end<Handler>) {
            if (calls != 0) {
                self.consumer_.batch_end();
            }
        }
        end_range(sub, from, c, false, at);
        context.more |= range.lag != 0 || at != range.last;
        note_time(sub, tick_clock::now() - start, calls);
        return static_cast<std::uint32_t>(at - range.first);
    }

    static void discard(subscription_core& sub, engine& owner, ring_class c) noexcept {
        inbox& box = sub.box[index_of(c)];
        const std::uint32_t left = box.count - box.head;
        if (left != 0 && box.where != held_in::ring) {
            slot_pool& pool = box.where == held_in::kept ? owner.kept() : owner.duplicates();
            owner.returns().template recycle_n<E>(pool, &box.refs[box.head], left);
        }
        if (left != 0 && box.where != held_in::duplicates) {
            box.head = box.count;
            left_batch(sub, box, c, left);
        }
        box.head = box.count = 0;
    }

    wrapper<E, Handler> consumer_;
};

}  // namespace ropeway::detail

namespace ropeway {

template <event_type E>
pooled<E> retain(const E& event) noexcept {
    const detail::retainer& in = detail::retaining();
    slot_ref slot;
    if (in.owner == nullptr || !in.owner->duplicates().try_get(
                                   slot, make_meta(in.site, thread_number(), coarse_now_ms()))) {
        return {};
    }
    pooled<E> out = in.owner->returns().adopt<E>(in.owner->duplicates(), slot);
    event_traits<E>::clone(*out, event);
    return out;
}

}  // namespace ropeway
