// SPDX-License-Identifier: Apache-2.0
//
// The wrapper around a user's handler: filter, call, catch everything, record, count. It never
// throws to its caller, so no exception reaches a worker. It owns the handler; one thread at a time
// may call process() and invoke() (the dispatcher hands a consumer over with its subscription);
// update_min_version() and stats() are for any thread. Nothing is allocated per event.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <exception>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ropeway/consumer/delivery.hpp>
#include <ropeway/consumer/failure.hpp>
#include <ropeway/consumer/failure_sink.hpp>
#include <ropeway/consumer/stats.hpp>
#include <ropeway/consumer/throw_site.hpp>
#include <ropeway/pool/event_traits.hpp>
#include <ropeway/pool/pooled.hpp>
#include <ropeway/pool/tick_clock.hpp>

namespace ropeway {

/// How a delivery ended.
enum class outcome : std::uint8_t {
    done,      ///< the handler returned
    filtered,  ///< stale market data: the handler was not called
    failed,    ///< the handler threw; a failure record was made
};

/// A callable that takes the event, or the event and the delivery's facts.
template <class Handler, class EventRef>
concept handler_for =
    std::invocable<Handler&, EventRef> || std::invocable<Handler&, EventRef, const delivery&>;

/// A callable that takes the event itself, to keep it as long as it likes: a pooled<E>, or that and
/// the delivery's facts. One that could also take a reference gets the reference.
template <class Handler, class E>
concept owning_handler_for =
    !handler_for<Handler, E&> &&
    (std::invocable<Handler&, pooled<E>> || std::invocable<Handler&, pooled<E>, const delivery&>);

// What a handler may have besides its call operator; called by the same rule, never while another
// of its functions runs. What they throw becomes a failure record.

/// Called after the last event of a batch: a good moment to flush what the handler gathered.
template <class Handler>
concept has_on_batch_end = requires(Handler& handler) {
    handler.on_batch_end();
};
/// Called when nothing more waits for the subscription, after there was something.
template <class Handler>
concept has_on_idle = requires(Handler& handler) {
    handler.on_idle();
};
/// Called each subscription_params::timer.
template <class Handler>
concept has_on_timer = requires(Handler& handler) {
    handler.on_timer();
};

namespace detail {

/// Fills and pushes the record of the exception in flight. Off the fast path, so not inlined into
/// every handler's loop.
[[gnu::cold, gnu::noinline]] void record_failure(failure_record& record,
                                                 failure_sink* sink) noexcept;

}  // namespace detail

/// A consumer: handler, minimum version and counters.
template <event_type E, class Handler>
class wrapper {
  public:
    using traits = event_traits<E>;

    /// `sink` may be null (failures are then counted only); otherwise it must outlive the wrapper.
    /// Market data whose routing version is below `min_version` is filtered from the start.
    wrapper(std::string_view name, Handler handler, failure_sink* sink,
            std::uint64_t min_version = 0)
        : handler_(std::move(handler)), sink_(sink), min_version_(min_version) {
        const std::size_t length = std::min(name.size(), name_.size() - 1);
        std::copy_n(name.data(), length, name_.data());
    }
    wrapper(const wrapper&) = delete;
    wrapper& operator=(const wrapper&) = delete;
    ~wrapper() = default;

    /// True when the handler is to be called: critical kinds always, market data when its version
    /// is at least the consumer's minimum and `floor` (the dispatcher's routing version).
    [[nodiscard]] bool should_process(const E& event, std::uint64_t floor = 0) const noexcept {
        // Acquire pairs with update_min_version(): what its caller did before raising the minimum
        // is visible to the handler that runs after.
        const std::uint64_t min = std::max(floor, min_version_.load(std::memory_order_acquire));
        return traits::routing_version(event) >= min || traits::is_critical(traits::kind(event));
    }

    /// Raises the minimum version; a lower one than now changes nothing.
    void update_min_version(std::uint64_t version) noexcept {
        std::uint64_t now = min_version_.load(std::memory_order_relaxed);  // CAS re-checks it
        // Release pairs with should_process().
        while (now < version &&
               !min_version_.compare_exchange_weak(now, version, std::memory_order_release,
                                                   std::memory_order_relaxed)) {
        }
    }

    /// Filters, calls the handler, catches what it throws, counts, times one call in 64. The event
    /// stays the caller's, who recycles it whatever the outcome.
    template <class Event>
    requires std::same_as<std::remove_const_t<Event>, E> outcome process(Event& event,
                                                                         const delivery& facts,
                                                                         std::uint64_t floor)
    noexcept {
        return filtered_and_timed(event, floor, [&] { return deliver(event, facts); });
    }
    /// The same for a handler that takes the event itself. An event that is not given to it goes
    /// back through its recycler.
    outcome process_owned(pooled<E> event, const delivery& facts, std::uint64_t floor) noexcept {
        return filtered_and_timed(*event, floor,
                                  [&] { return deliver_owned(std::move(event), facts); });
    }

    /// Calls the handler, catches what it throws, counts: for whoever has asked should_process()
    /// already and takes times himself.
    template <class Event>
    requires std::same_as<std::remove_const_t<Event>, E> outcome deliver(Event& event,
                                                                         const delivery& facts)
    noexcept {
        return guarded(event, facts, [&] { call(event, facts); });
    }
    outcome deliver_owned(pooled<E> event, const delivery& facts) noexcept {
        return guarded(*event, facts, [&] {
            if constexpr (std::invocable<Handler&, pooled<E>, const delivery&>) {
                handler_(std::move(event), facts);
            } else {
                handler_(std::move(event));
            }
        });
    }
    /// Counts the time of a call of deliver().
    void note_time(std::uint64_t ns) noexcept { cells_->sample(ns); }
    /// The least version of market data that is not stale. Load it with acquire, as
    /// should_process() does.
    [[nodiscard]] const std::atomic<std::uint64_t>& min_version_source() const noexcept {
        return min_version_;
    }
    void batch_end() noexcept requires has_on_batch_end<Handler> {
        guarded_hook([this] { handler_.on_batch_end(); });
    }
    void idle() noexcept requires has_on_idle<Handler> {
        guarded_hook([this] { handler_.on_idle(); });
    }
    void timer() noexcept requires has_on_timer<Handler> {
        guarded_hook([this] { handler_.on_timer(); });
    }

    /// The same for an owned event: it goes back through its recycler when this returns, after
    /// return, throw and filter alike. An empty one is filtered, and counts nowhere.
    outcome invoke(pooled<E> event, const delivery& facts = {}, std::uint64_t floor = 0) noexcept {
        return event ? process(*event, facts, floor) : outcome::filtered;
    }

    /// Counts an event that should_process() refused before it was copied.
    void count_filtered(std::uint32_t kind) noexcept { cells_->filtered[kind_index(kind)].add(1); }

    [[nodiscard]] consumer_stats stats() const noexcept {
        consumer_stats out = cells_->snapshot();
        out.min_version = min_version_.load(std::memory_order_relaxed);  // relaxed: a number
        return out;
    }
    /// Counts there from now on: cells that outlive the wrapper, for readers that may come late.
    /// Before the first event.
    void use_cells(consumer_cells& cells) noexcept { cells_ = &cells; }
    /// The name, cut at 31 characters.
    [[nodiscard]] std::string_view name() const noexcept { return name_.data(); }

    static constexpr std::uint32_t sample_every = 64;

  private:
    template <class Call>
    outcome filtered_and_timed(const E& event, std::uint64_t floor, Call&& make) noexcept {
        if (!should_process(event, floor)) {
            count_filtered(traits::kind(event));
            return outcome::filtered;
        }
        if ((++calls_ & (sample_every - 1)) != 0) {
            return make();
        }
        const std::uint64_t start = tick_clock::now();
        const outcome ended = make();
        if (ended == outcome::done) {
            note_time(tick_clock::to_ns(tick_clock::now() - start));
        }
        return ended;
    }
    template <class Call>
    outcome guarded(const E& event, const delivery& facts, Call&& make) noexcept {
        // Copied before the call: a handler may change or reset its duplicate before it throws,
        // and the record must still say which event it was.
        const std::uint32_t kind = traits::kind(event);
        const trace_id trace = traits::trace(event);
        const std::uint64_t version = traits::routing_version(event);
        try {
            make();
        } catch (...) {
            cells_->failed[kind_index(kind)].add(1);
            failure_record record{};
            record.trace = trace;
            std::copy(name_.begin(), name_.end(), record.consumer);
            record.kind = kind;
            record.routing_version = version;
            record.sequence = facts.sequence;
            detail::record_failure(record, sink_);
            return outcome::failed;
        }
        cells_->done[kind_index(kind)].add(1);
        return outcome::done;
    }
    template <class Hook>
    void guarded_hook(Hook&& hook) noexcept {
        try {
            hook();
        } catch (...) {
            cells_->hooks_failed.add(1);
            failure_record record{};
            std::copy(name_.begin(), name_.end(), record.consumer);
            detail::record_failure(record, sink_);
        }
    }

    template <class Event>
    void call(Event& event, const delivery& facts) {
        if constexpr (std::invocable<Handler&, Event&, const delivery&>) {
            handler_(event, facts);
        } else {
            handler_(event);
        }
    }

    Handler handler_;
    failure_sink* sink_;                      ///< constant after construction
    std::array<char, 32> name_{};             ///< constant after construction
    std::uint32_t calls_ = 0;                 ///< whoever serves the consumer
    std::atomic<std::uint64_t> min_version_;  ///< any thread raises it
    consumer_cells own_cells_;                ///< used unless use_cells() named others
    consumer_cells* cells_ = &own_cells_;     ///< written by whoever serves the consumer
};

}  // namespace ropeway
