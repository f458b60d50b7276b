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
#include <ropeway/dispatcher/batch_fill.hpp>
#include <ropeway/dispatcher/between_handlers.hpp>
#include <ropeway/dispatcher/close_delivery.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/serving.hpp>
#include <ropeway/dispatcher/shared_delivery.hpp>
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
        if constexpr (!owns && std::is_trivially_copyable_v<E>) {
            if (params.delivery == delivery_mode::duplicate) {
                face.show = &shown_by<&shared::duplicates>;
            }
        }
        if (params.delivery == delivery_mode::original) {
            face.serve = &serve_original;
        }
        if constexpr (handler_for<Handler, const E&>) {
            if (params.delivery == delivery_mode::in_place) {
                face.serve = &serve_in_place;
                face.show = &shown_by<&shared::in_place>;
            }
        }
        face.recycle = [](engine& owner, slot_pool& pool, slot_ref held) noexcept {
            static_cast<void>(owner.returns().template recycle_one<E>(pool, held));
        };
        face.copy = [](void* to, const void* from) noexcept {
            filler::copy_event(*static_cast<E*>(to), *static_cast<const E*>(from));
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
            return filler::wants(sub.wanted(), *static_cast<const E*>(event));
        };
        face.destroy = [](void* object) noexcept {
            std::unique_ptr<binding>{static_cast<binding*>(object)}.reset();
        };
        face.object = self.release();
        return face;
    }

  private:
    using filler = batch_fill<E>;
    using closely = close_delivery<E, wrapper<E, Handler>>;
    using shared = shared_delivery<E, wrapper<E, Handler>>;
    static constexpr bool owns = owning_handler_for<Handler, E>;

    template <auto show>
    static shown shown_by(subscription_core& sub, shared_range& range, std::uint32_t at) {
        return show(static_cast<binding*>(sub.face.object)->consumer_, sub, range, at);
    }

    static std::uint32_t serve_duplicates(subscription_core& sub, publisher_core& from,
                                          ring_class c, serve_context& context) {
        return fill_and_run<held_in::duplicates>(sub, from, c, context);
    }

    static std::uint32_t serve_original(subscription_core& sub, publisher_core& from, ring_class c,
                                        serve_context& context) {
        static_cast<void>(context.tails->of(from));  // before the look at who else there is
        // At `full` a published slot is sealed, and whoever changes it is reported.
        const bool sole = alone(sub, from) && from.slots_.level() < guard_level::full;
        return sole ? fill_and_run<held_in::ring>(sub, from, c, context)
                    : fill_and_run<held_in::duplicates>(sub, from, c, context);
    }

    static std::uint32_t serve_in_place(subscription_core& sub, publisher_core& from, ring_class c,
                                        serve_context& context) {
        if (sub.contended(c) || sub.was_lossy || !sub.box[index_of(c)].empty()) {
            // The range stays pinned until its last handler has returned: the publisher takes
            // spares instead of waiting for it.
            return fill_and_run<held_in::ring>(sub, from, c, context);
        }
        return run_in_ring(sub, from, c, context);
    }

    /// One batch: what waits in the inbox, or else what the ring holds.
    template <held_in where>
    static std::uint32_t fill_and_run(subscription_core& sub, publisher_core& from, ring_class c,
                                      serve_context& context) {
        inbox& box = sub.box[index_of(c)];
        typename filler::result filled;
        if (box.empty()) {
            const binding& self = *static_cast<const binding*>(sub.face.object);
            const std::uint64_t least = std::max(
                self.consumer_.min_version_source().load(std::memory_order_acquire),  // as there
                context.owner->version());
            filled = filler::template fill<where>(sub, from, c, context, least);
            if (filled.without_slot != 0) [[unlikely]] {
                const std::uint32_t count = box.count;
                run_without_slots(sub, from, c, context, filled.without_slot);
                return filled.passed + count + filled.without_slot;
            }
        }
        return filled.passed + run_inbox(sub, box, c, context);
    }

    /// A claimed range, and not a slot for every event of it: the handler gets those that are left
    /// from the stack, before anything can overtake them.
    [[gnu::cold, gnu::noinline]] static void run_without_slots(subscription_core& sub,
                                                               publisher_core& from, ring_class c,
                                                               serve_context& context,
                                                               std::uint32_t left) noexcept {
        inbox& box = sub.box[index_of(c)];
        const std::uint32_t got = box.count;
        binding& self = *static_cast<binding*>(sub.face.object);
        const std::array<void*, batch_size> originals = box.events;
        const std::array<std::uint64_t, batch_size> sequences = box.sequences;
        while (!box.empty() && !sub.ending()) {
            context.critical_seen = context.owner->critical_hint();  // no giving way in here
            static_cast<void>(run_inbox(sub, box, c, context));
        }
        between_handlers between{sub, context, self.consumer_.min_version_source(), false};
        const handler_scope inside{*context.owner, sub};
        for (std::uint32_t i = got; i != got + left && between.go_on(); ++i) {
            E event;
            filler::copy_event(event, *static_cast<const E*>(originals[i]));
            const delivery facts{.sequence = sequences[i],
                                 .publisher = static_cast<std::uint16_t>(from.number_),
                                 .end_of_batch = i + 1 == got + left};
            static_cast<void>(closely::hand_over(
                {self.consumer_, *context.owner, sub, from, event, sequences[i]}, between.least(),
                [&] { return give_copy(self, sub, *context.owner, event, facts); }));
            sub.starved.add(1);
        }
        end_range(sub, from, c, true, 0);
    }
    static outcome give_copy(binding& self, subscription_core& sub, engine& owner, E& event,
                             const delivery& facts) noexcept {
        if constexpr (owns) {
            slot_ref slot;  // one of the kept events' pool; only without any it goes uncalled
            slot_pool& pool = owner.kept();
            if (!pool.try_get(slot, make_meta(sub.site, thread_number(), coarse_now_ms()))) {
                self.consumer_.count_filtered(traits::kind(event));
                return outcome::filtered;
            }
            pooled<E> owned = owner.returns().template adopt<E>(pool, slot);
            filler::copy_event(*owned, event);
            return self.consumer_.deliver_owned(std::move(owned), facts);
        } else {
            return self.consumer_.deliver(event, facts);
        }
    }

    /// The handlers of plain events, [first, stop) of an inbox at most. A function of its own, so
    /// that its loop has the registers to itself.
    [[gnu::noinline]] static progress run_plain(binding& self, engine& owner, inbox& box,
                                                std::uint32_t first, std::uint32_t stop,
                                                plainness plain) {
        std::uint32_t head = first;
        delivery facts = facts_of(box);
        slot_pool& pool = pool_of(owner, box);
        while (head != stop && owner.changes() == plain.changes) {
            E& event = *static_cast<E*>(box.events[head]);
            facts.sequence = box.sequences[head];
            if (traits::routing_version(event) < plain.least || facts.sequence >= plain.watched)
                [[unlikely]] {
                break;
            }
            facts.end_of_batch = head + 1 == box.count;
            if (give(self, owner, pool, event, box.refs[head++], facts) == outcome::failed)
                [[unlikely]] {
                return {head, head - first, true};
            }
        }
        return {head, head - first, false};
    }
    /// The handler of one event, whatever it is.
    [[gnu::noinline]] static outcome run_one(binding& self, engine& owner, subscription_core& sub,
                                             inbox& box, std::uint64_t least) {
        delivery facts = facts_of(box);
        facts.sequence = box.sequences[box.head];
        facts.end_of_batch = box.head + 1 == box.count;
        facts.lost_before = box.lost_before;
        facts.conflated_before = box.conflated_before;
        slot_pool& pool = pool_of(owner, box);
        E& event = *static_cast<E*>(box.events[box.head]);
        const slot_ref slot = box.refs[box.head];
        const outcome ended =
            closely::hand_over({self.consumer_, owner, sub, *box.from, event, facts.sequence},
                               least, [&] { return give(self, owner, pool, event, slot, facts); });
        if (ended != outcome::filtered) {
            box.lost_before = box.conflated_before = 0;  // a filtered event tells nobody
        } else if constexpr (owns) {
            owner.returns().template recycle_n<E>(pool, &slot, 1);
        }
        return ended;
    }
    [[nodiscard]] static delivery facts_of(const inbox& box) noexcept {
        return {.lag = box.lag, .publisher = static_cast<std::uint16_t>(box.from->number_)};
    }
    [[nodiscard]] static slot_pool& pool_of(engine& owner, const inbox& box) noexcept {
        return box.where == held_in::kept ? owner.kept() : owner.duplicates();
    }
    static outcome give(binding& self, engine& owner, slot_pool& pool, E& event, slot_ref slot,
                        const delivery& facts) noexcept {
        if constexpr (owns) {
            return self.consumer_.deliver_owned(owner.returns().template adopt<E>(pool, slot),
                                                facts);
        } else {
            return self.consumer_.deliver(event, facts);
        }
    }

    /// Runs the handler on what waits in the inbox; returns how many events are done with.
    static std::uint32_t run_inbox(subscription_core& sub, inbox& box, ring_class c,
                                   serve_context& context) {
        if (box.empty()) {
            return 0;
        }
        binding& self = *static_cast<binding*>(sub.face.object);
        engine& owner = *context.owner;
        slot_pool& pool = pool_of(owner, box);
        const bool recycles = !owns && box.where != held_in::ring;
        const bool one_by_one = recycles && pool.storage().level() >= guard_level::sampled;
        const std::uint32_t first = box.head;
        const std::uint32_t between_looks =
            one_by_one ? 1 : calls_between_looks(sub, context.slice_ticks);
        std::uint32_t next_look = first + between_looks;
        const std::uint64_t start = context.now;
        between_handlers between{sub, context, self.consumer_.min_version_source(),
                                 c == ring_class::market && sub.gives_way()};
        const handler_scope inside{owner, sub};
        while (!box.empty() && between.go_on()) {
            const std::uint32_t begin = box.head;
            bool failed = false;
            if ((box.lost_before | box.conflated_before) == 0) [[likely]] {
                const progress to =
                    run_plain(self, owner, box, begin, std::min(next_look, box.count),
                              between.plain_from(box.sequences[begin], *box.from));
                box.head = to.head;
                failed = to.failed;
            }
            if (box.head == begin) {
                if (between.changed()) {
                    continue;
                }
                failed = run_one(self, owner, sub, box, between.least()) == outcome::failed;
                ++box.head;
            }
            if (one_by_one) [[unlikely]] {
                owner.returns().template recycle_n<E>(pool, &box.refs[begin], 1);
            }
            context.slice_over |= failed && note_failure(sub, owner);  // into quarantine
            if (box.head >= next_look && !box.empty()) {
                next_look = box.head + between_looks;
                context.now = tick_clock::now();
                context.slice_over |= context.now >= context.slice_end;
            }
            if (context.slice_over) {
                break;
            }
        }
        if constexpr (has_on_batch_end<Handler>) {
            if (box.empty()) {
                self.consumer_.batch_end();
            }
        }
        const std::uint32_t done = box.head - first;
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
        context.now = tick_clock::now();
        context.slice_over |= context.now >= context.slice_end;
        note_time(sub, context.now - start, done);
        return done;
    }

    /// What a loop over events where they lie reads.
    struct ring_events {
        const engine& owner;
        slab_run<E> originals;
        const taken_range& range;
        const interest& wanted;
        delivery facts;
    };

    /// The same as run_plain(), for events where they lie: positions [at, stop) of a range. One
    /// that it does not want is plain too.
    [[gnu::noinline]] static progress run_plain_in_ring(binding& self, const ring_events& events,
                                                        std::uint32_t at, std::uint32_t stop,
                                                        plainness plain) {
        const engine& owner = events.owner;
        const std::uint32_t* const slots = events.range.slots.data();
        const slab_run<E> from = events.originals;
        const kind_set kinds = events.wanted.kinds;
        const std::uint32_t count = events.range.count();
        delivery facts = events.facts;
        std::uint32_t calls = 0;
        while (at != stop && owner.changes() == plain.changes) {
            const E& event = *from.payload(slots[at]);
            // Relaxed: ordered by tail, like the payload.
            facts.sequence = from.header(slots[at]).meta.load(std::memory_order_relaxed);
            if (traits::routing_version(event) < plain.least || facts.sequence >= plain.watched)
                [[unlikely]] {
                break;
            }
            ++at;
            if (!kinds.contains(traits::kind(event))) {
                continue;
            }
            ++calls;
            facts.end_of_batch = at == count;
            if (self.consumer_.deliver(event, facts) == outcome::failed) [[unlikely]] {
                return {at, calls, true};
            }
        }
        return {at, calls, false};
    }
    /// The same for one that named instruments: the few positions that are marked for it.
    [[gnu::noinline]] static progress run_marked_in_ring(binding& self, const ring_events& events,
                                                         std::uint32_t at, std::uint32_t stop,
                                                         plainness plain) {
        const engine& owner = events.owner;
        const slab_run<E> originals = events.originals;
        const taken_range& range = events.range;
        delivery facts = events.facts;
        std::uint32_t calls = 0;
        for (std::uint64_t left = range.wanted >> at << at; left != 0; left &= left - 1) {
            const auto i = static_cast<std::uint32_t>(std::countr_zero(left));
            if (i >= stop) {
                break;
            }
            const E& event = *originals.payload(range.slots[i]);
            // Relaxed: ordered by tail, like the payload.
            facts.sequence = originals.header(range.slots[i]).meta.load(std::memory_order_relaxed);
            if (owner.changes() != plain.changes || traits::routing_version(event) < plain.least ||
                facts.sequence >= plain.watched) {
                return {i, calls, false};
            }
            if (!filler::wants(events.wanted, event)) {
                continue;
            }
            ++calls;
            facts.end_of_batch = i + 1 == range.count();
            if (self.consumer_.deliver(event, facts) == outcome::failed) {
                return {i + 1, calls, true};
            }
        }
        return {stop, calls, false};
    }
    /// One event where it lies, whatever it is.
    [[gnu::noinline]] static outcome run_one_in_ring(binding& self, subscription_core& sub,
                                                     publisher_core& from, const taken_range& range,
                                                     std::uint32_t at, delivery facts,
                                                     std::uint64_t least) {
        const std::uint32_t index = range.slots[at];
        const E& event = *static_cast<const E*>(from.payload(index));
        facts.sequence = from.sequence_of(index);
        facts.end_of_batch = range.first + at + 1 == range.last;
        return range.may_want(at) ? closely::deliver(self.consumer_, sub, from, event, facts, least)
                                  : closely::unwanted(sub, from, facts.sequence);
    }

    /// Runs the handler on events where they lie, in a range that only this worker's cursor holds.
    static std::uint32_t run_in_ring(subscription_core& sub, publisher_core& from, ring_class c,
                                     serve_context& context) {
        taken_range range;
        if (!look_at(sub, from, c, range) ||
            !take_range(sub, from, c, chunk_for(sub, context.slice_ticks), false, context, range)) {
            return 0;
        }
        binding& self = *static_cast<binding*>(sub.face.object);
        engine& owner = *context.owner;
        const slab_run<E> originals{from.slots_};
        const bool marked = !range.has_all_slots;
        const bool any_plain = originals.usable() && (marked || sub.wanted().instruments.empty());
        const ring_events events{
            owner,
            originals,
            range,
            sub.wanted(),
            {.lag = range.lag, .publisher = static_cast<std::uint16_t>(from.number_)}};
        const std::uint32_t count = range.count();
        const std::uint32_t between_looks = calls_between_looks(sub, context.slice_ticks);
        std::uint32_t next_look = between_looks;
        const std::uint64_t start = context.now;
        between_handlers between{sub, context, self.consumer_.min_version_source(),
                                 c == ring_class::market && sub.gives_way()};
        const handler_scope inside{owner, sub};
        std::uint32_t at = 0;
        std::uint32_t calls = 0;
        while (at != count && !context.slice_over && between.go_on()) {
            if (marked && (at = range.next_wanted(at)) == count) {
                break;
            }
            const std::uint32_t begin = at;
            bool failed = false;
            if (any_plain) [[likely]] {
                const plainness plain =
                    between.plain_from(from.sequence_of(range.slots[begin]), from);
                const std::uint32_t stop = std::min(std::max(next_look, begin), count);
                const progress to = marked ? run_marked_in_ring(self, events, begin, stop, plain)
                                           : run_plain_in_ring(self, events, begin, stop, plain);
                at = to.head;
                calls += to.calls;
                failed = to.failed;
            }
            if (at == begin) {
                if (between.changed()) {
                    continue;
                }
                const outcome ended =
                    run_one_in_ring(self, sub, from, range, at++, events.facts, between.least());
                calls += ended == outcome::filtered ? 0 : 1;
                failed = ended == outcome::failed;
            }
            context.slice_over |= failed && note_failure(sub, owner);  // into quarantine
            if (at >= next_look && at != count) {
                next_look = at + between_looks;
                context.now = tick_clock::now();
                context.slice_over |= context.now >= context.slice_end;
            }
        }
        if constexpr (has_on_batch_end<Handler>) {
            if (calls != 0) {
                self.consumer_.batch_end();
            }
        }
        end_range(sub, from, c, false, range.first + at);
        context.more |= range.lag != 0 || at != count;
        context.now = tick_clock::now();
        context.slice_over |= context.now >= context.slice_end;
        note_time(sub, context.now - start, calls);
        return at;
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
