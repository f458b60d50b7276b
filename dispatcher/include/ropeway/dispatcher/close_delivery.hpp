// SPDX-License-Identifier: Apache-2.0
//
// How one event is handed over that takes a closer look than a plain one: stale, awaited, cancelled
// or sampled. Runs on whoever holds the subscription.
#pragma once

#include <cstdint>

#include <ropeway/consumer/wrapper.hpp>
#include <ropeway/dispatcher/batch_fill.hpp>
#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {

template <event_type E, class Wrapper>
class close_delivery {
  public:
    /// One event that a subscription wants.
    struct one_event {
        Wrapper& consumer;
        const engine& owner;
        subscription_core& sub;
        publisher_core& from;
        const E& event;
        std::uint64_t sequence;
    };

    /// Hands it over by `give` (which calls the handler), unless it is stale or cancelled: counted.
    template <class Give>
    [[gnu::noinline]] static outcome hand_over(const one_event& one, std::uint64_t least,
                                               Give give) noexcept {
        if (counts_as_stale(one, least)) {
            return outcome::filtered;
        }
        const bool asked = one.sequence == one.from.awaited();
        if (asked && cancels(one)) {
            return outcome::filtered;
        }
        const std::uint64_t begin = tick_clock::now();
        // Last before the handler: what was looked at since go_on() took its time.
        if (counts_as_stale(one, one.owner.version())) [[unlikely]] {
            return outcome::filtered;
        }
        const outcome ended = give();
        const std::uint64_t end = tick_clock::now();
        if (asked) {
            one.from.note_outcome(one.sub.number, one.sequence, said_of(ended));
        }
        if (fanout_sample::is_sampled(one.sequence) && ended != outcome::filtered) {
            note_sample(one, begin, end);
        }
        return ended;
    }

    /// One event, whatever it is: `event` is given to the handler if the subscription wants it.
    template <class Event>
    [[gnu::noinline]] static outcome deliver(Wrapper& consumer, subscription_core& sub,
                                             publisher_core& from, Event& event,
                                             const delivery& facts, std::uint64_t least) {
        if (!batch_fill<E>::wants(sub.wanted(), event)) {
            return unwanted(sub, from, facts.sequence);
        }
        return hand_over({consumer, *from.owner_, sub, from, event, facts.sequence}, least,
                         [&] { return consumer.deliver(event, facts); });
    }
    /// One that it does not want.
    [[gnu::cold]] static outcome unwanted(const subscription_core& sub, publisher_core& from,
                                          std::uint64_t sequence) noexcept {
        if (sequence == from.awaited()) {
            from.note_outcome(sub.number, sequence, delivery_outcome::unwanted);
        }
        return outcome::filtered;
    }

  private:
    using traits = event_traits<E>;

    /// True for stale market data: no handler is called.
    [[nodiscard]] static bool counts_as_stale(const one_event& one, std::uint64_t least) noexcept {
        if (!batch_fill<E>::is_stale(one.event, least)) {
            return false;
        }
        one.consumer.count_filtered(traits::kind(one.event));
        if (one.sequence == one.from.awaited()) {
            one.from.note_outcome(one.sub.number, one.sequence, delivery_outcome::filtered);
        }
        return true;
    }
    /// True for awaited market data that was cancelled: no handler is called.
    [[nodiscard, gnu::cold, gnu::noinline]] static bool cancels(const one_event& one) noexcept {
        const std::uint32_t kind = traits::kind(one.event);
        if (traits::is_critical(kind) || !one.from.is_cancelled(one.sequence)) {
            return false;
        }
        one.consumer.count_filtered(kind);
        one.from.note_outcome(one.sub.number, one.sequence, delivery_outcome::cancelled);
        return true;
    }
    [[nodiscard]] static delivery_outcome said_of(outcome ended) noexcept {
        switch (ended) {
            case outcome::done: return delivery_outcome::delivered;
            case outcome::filtered: return delivery_outcome::filtered;
            case outcome::failed: return delivery_outcome::failed;
        }
        return delivery_outcome::failed;
    }
    static void note_sample(const one_event& one, std::uint64_t begin, std::uint64_t end) noexcept {
        const std::uint64_t took = tick_clock::to_ns(end - begin);
        one.consumer.note_time(took);
        fanout_sample& sample = one.from.sample_of(one.sequence);
        if (const std::uint64_t published = sample.published(one.sequence); published != 0) {
            one.sub.latency.record(tick_clock::to_ns(begin > published ? begin - published : 0));
            one.sub.handler_time.record(took);
            sample.handled(one.sequence, end - begin, end);
        }
    }
};

}  // namespace ropeway::detail
