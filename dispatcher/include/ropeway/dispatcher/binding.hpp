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
#include <ropeway/pool/block_copy.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/recycler.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway::detail {

/// Positions [first, last) of a ring, taken by a worker.
struct taken_range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t lost = 0;  ///< wanted events lost since the last delivery from this publisher
    std::uint32_t lag = 0;
    /// Slot of each position, read before the range was claimed: from then on the publisher may
    /// put a spare into a pinned place.
    std::array<std::uint32_t, batch_size> slots;
};

/// Looks at a cursor and chooses a range of at most `limit` positions. Lossy ranges are claimed
/// (pin, then CAS) before this returns; blocking ones keep their place until end_range().
[[nodiscard]] bool take_range(subscription_core& sub, publisher_core& from, ring_class c,
                              std::uint32_t limit, taken_range& out) noexcept;

/// Ends a range: moves a blocking cursor on, or takes the pin off a lossy one.
void end_range(subscription_core& sub, publisher_core& from, ring_class c,
               std::uint64_t upto) noexcept;

/// How often (a mask of calls) a slice looks at the clock: each call when handlers are long.
[[nodiscard]] std::uint32_t clock_mask(const subscription_core& sub,
                                       std::uint64_t slice_ticks) noexcept;

/// Counts the calling thread in and out of handlers: publish never waits inside one.
class handler_scope {
  public:
    handler_scope() noexcept { ++handler_depth(); }
    handler_scope(const handler_scope&) = delete;
    handler_scope& operator=(const handler_scope&) = delete;
    ~handler_scope() { --handler_depth(); }
};

/// How many events to take so that they fit well into a slice.
[[nodiscard]] std::uint32_t chunk_for(const subscription_core& sub,
                                      std::uint64_t slice_ticks) noexcept;

/// Folds a batch's time into the average of a handler call.
void note_time(subscription_core& sub, std::uint64_t ticks, std::uint32_t calls) noexcept;

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
        if constexpr (handler_for<Handler, const E&>) {
            if (params.delivery == delivery_mode::in_place) {
                face.serve = &serve_in_place;
            }
        }
        face.discard = &discard;
        face.stats = [](const void* object) noexcept {
            return static_cast<const binding*>(object)->consumer_.stats();
        };
        face.update_min_version = [](void* object, std::uint64_t version) noexcept {
            static_cast<binding*>(object)->consumer_.update_min_version(version);
        };
        face.wants = [](const subscription_core& sub, const void* event) noexcept {
            return wants(sub, *static_cast<const E*>(event));
        };
        face.destroy = [](void* object) noexcept {
            std::unique_ptr<binding>{static_cast<binding*>(object)}.reset();
        };
        face.object = self.release();
        return face;
    }

  private:
    static bool wants(const subscription_core& sub, const E& event) noexcept {
        if (!sub.kinds.contains(traits::kind(event))) {
            return false;
        }
        if (sub.instruments.empty()) [[likely]] {
            return true;
        }
        const std::uint32_t instrument = traits::instrument(event);
        return instrument == 0 ||
               std::binary_search(sub.instruments.begin(), sub.instruments.end(), instrument);
    }

    static std::uint32_t serve_duplicates(subscription_core& sub, publisher_core& from,
                                          ring_class c, serve_context& context) {
        inbox& box = sub.box[index_of(c)];
        const std::uint32_t skipped = box.empty() ? fill_inbox(sub, from, c, context) : 0;
        return skipped + run_inbox(sub, box, c, context);
    }

    /// Stale events of a batch, counted once it is known how much of the batch was taken.
    struct stale_events {
        std::array<std::uint64_t, batch_size> positions;
        std::array<std::uint32_t, batch_size> kinds;
        std::uint32_t count = 0;
    };

    /// Copies one batch of wanted, fresh events into the inbox; returns how many positions were
    /// passed without one.
    static std::uint32_t fill_inbox(subscription_core& sub, publisher_core& from, ring_class c,
                                    serve_context& context) noexcept {
        slot_pool& pool = context.owner->duplicates();
        const auto room =
            static_cast<std::uint32_t>(pool.ensure(chunk_for(sub, context.slice_ticks)));
        taken_range range;
        if (room == 0 || !take_range(sub, from, c, room, range)) {
            return 0;
        }
        inbox& box = sub.box[index_of(c)];
        stale_events stale;
        const std::uint32_t found = pick(sub, from, range, box, stale);
        const std::uint32_t got = copy_picked(sub, from, box, found);
        if (got != found) [[unlikely]] {
            // ensure() promised as many; fewer only when the guard refuses to hand a slot out.
            if (sub.lossy(c)) {
                sub.starved.add(found - got);
                sub.told_lost[from.number_] -= found - got;  // told with a later event
            } else {
                range.last = position_of(from, range, box.sequences[got]);  // the rest stays
            }
        }
        count_stale(sub, stale, range.last);
        context.more |= range.lag != 0;
        box.lag = range.lag;
        if (got != 0) {
            box.lost_before = range.lost;
            sub.told_lost[from.number_] += range.lost;
        }
        end_range(sub, from, c, range.last);
        return static_cast<std::uint32_t>(range.last - range.first) - got;
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
        std::uint32_t found = 0;
        for (std::uint64_t at = range.first; at != range.last; ++at) {
            const std::uint32_t index = range.slots[at - range.first];
            void* const original = from.payload(index);
            const E& event = *static_cast<const E*>(original);
            if (!wants(sub, event)) {
                continue;
            }
            if (!self.consumer_.should_process(event, floor)) {
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
            if constexpr (std::is_trivially_copyable_v<E>) {
                copy_block<sizeof(E)>(copy, box.events[i]);
            } else {
                traits::clone(*copy, *static_cast<const E*>(box.events[i]));
            }
            box.events[i] = copy;
        }
        box.head = 0;
        box.count = got;
        box.from = &from;
        return got;
    }

    static std::uint32_t run_inbox(subscription_core& sub, inbox& box, ring_class c,
                                   serve_context& context) {
        if (box.empty()) {
            return 0;
        }
        binding& self = *static_cast<binding*>(sub.face.object);
        engine& owner = *context.owner;
        slot_pool& pool = owner.duplicates();
        const std::uint32_t first = box.head;
        const std::uint32_t count = box.count;
        std::uint32_t head = first;
        const std::uint32_t mask = clock_mask(sub, context.slice_ticks);
        const bool one_by_one = pool.storage().level() >= guard_level::sampled;
        const std::uint64_t start = tick_clock::now();
        handler_scope inside;
        while (head != count) {
            if (c == ring_class::market && owner.critical_waits(context.critical_seen)) {
                break;  // at most the handler in progress goes before a critical event
            }
            if (sub.ending()) {
                break;  // the handler ended its own subscription
            }
            const std::uint32_t at = head++;
            const delivery facts{box.sequences[at], box.lost_before, box.lag,
                                 static_cast<std::uint16_t>(box.from->number_), head == count};
            if (self.consumer_.process(*static_cast<E*>(box.events[at]), facts, owner.version()) !=
                    outcome::filtered &&
                box.lost_before != 0) [[unlikely]] {
                box.lost_before = 0;  // told; a filtered event tells nobody
            }
            if (one_by_one) {
                owner.returns().template recycle_n<E>(pool, &box.refs[at], 1);
            }
            if (((head - first) & mask) == 0 && tick_clock::now() >= context.slice_end) {
                context.slice_over = true;
                break;
            }
        }
        box.head = head;
        if (box.empty() && box.lost_before != 0) {
            sub.told_lost[box.from->number_] -= box.lost_before;  // with the next batch, then
            box.lost_before = 0;
        }
        const std::uint32_t done = box.head - first;
        context.more |= !box.empty();
        if (!one_by_one && done != 0) {
            owner.returns().template recycle_n<E>(pool, &box.refs[first], done);
        }
        note_time(sub, tick_clock::now() - start, done);
        return done;
    }

    static std::uint32_t serve_in_place(subscription_core& sub, publisher_core& from, ring_class c,
                                        serve_context& context) {
        // A lossy range stays pinned while the handler runs: one event, so that a handler that
        // hangs costs its ring one spare slot.
        const std::uint32_t limit = sub.lossy(c) ? 1 : chunk_for(sub, context.slice_ticks);
        taken_range range;
        if (!take_range(sub, from, c, limit, range)) {
            return 0;
        }
        binding& self = *static_cast<binding*>(sub.face.object);
        engine& owner = *context.owner;
        const std::uint32_t mask = clock_mask(sub, context.slice_ticks);
        const std::uint64_t start = tick_clock::now();
        std::uint32_t calls = 0;
        std::uint64_t at = range.first;
        handler_scope inside;
        while (at != range.last) {
            if (c == ring_class::market && !sub.lossy(c) &&
                owner.critical_waits(context.critical_seen)) {
                break;
            }
            if (sub.ending()) {
                break;  // as in run_inbox()
            }
            const std::uint32_t index = range.slots[at - range.first];
            const E& event = *static_cast<const E*>(from.payload(index));
            ++at;
            if (!wants(sub, event)) {
                continue;
            }
            const delivery facts{sequence_of(from, index), range.lost, range.lag,
                                 static_cast<std::uint16_t>(from.number_), at == range.last};
            if (self.consumer_.process(event, facts, owner.version()) != outcome::filtered) {
                sub.told_lost[from.number_] += range.lost;
                range.lost = 0;  // told; a filtered event tells nobody
            }
            ++calls;
            if ((calls & mask) == 0 && tick_clock::now() >= context.slice_end) {
                context.slice_over = true;
                break;
            }
        }
        end_range(sub, from, c, at);
        context.more |= range.lag != 0 || at != range.last;
        note_time(sub, tick_clock::now() - start, calls);
        return static_cast<std::uint32_t>(at - range.first);
    }

    static void discard(subscription_core&, engine& owner, inbox& box) noexcept {
        const std::uint32_t left = box.count - box.head;
        if (left != 0) {
            owner.returns().template recycle_n<E>(owner.duplicates(), &box.refs[box.head], left);
        }
        box.head = box.count = 0;
    }

    wrapper<E, Handler> consumer_;
};

}  // namespace ropeway::detail
