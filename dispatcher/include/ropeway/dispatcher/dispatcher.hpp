// SPDX-License-Identifier: Apache-2.0
//
// The dispatcher: fans events of one type out from publishers to subscriptions.
//
// Ownership: owns pools, rings and workers; publishers and subscriptions are handles that keep its
// engine alive. Thread safety: start() and stop() from one thread, drain_failures() from one at a
// time, everything else from any. Allocation: at construction, subscribe(), publisher() and
// make_intake(), and in what returns containers; nothing per event.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/intake.hpp>
#include <ropeway/dispatcher/publisher.hpp>
#include <ropeway/dispatcher/subscription.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/market_event.hpp>

namespace ropeway {

template <event_type E>
class dispatcher {
  public:
    /// Throws std::invalid_argument with the field, its value and the legal range.
    explicit dispatcher(dispatcher_params params = {})
        : engine_(std::make_shared<detail::engine>(std::move(params), slab_ops::of<E>(),
                                                   slot_bytes<E>)) {}
    dispatcher(const dispatcher&) = delete;
    dispatcher& operator=(const dispatcher&) = delete;
    /// Stops with a second's deadline when stop() was not called.
    ~dispatcher() { static_cast<void>(engine_->stop(std::chrono::seconds{1})); }

    /// Joins a consumer. The handler is called with `E&`, `const E&` or, to keep the event, with
    /// `pooled<E>`, and the delivery's facts if it takes them; by one thread at a time; what it
    /// throws becomes a failure record. It may have on_batch_end(), on_idle() and on_timer()
    /// besides. Throws std::invalid_argument when the params are out of range or do not go
    /// together, std::length_error when max_subscriptions live already, and for own_thread what its
    /// thread's start throws.
    template <class Handler>
    requires(handler_for<std::remove_cvref_t<Handler>, E&> ||
             owning_handler_for<std::remove_cvref_t<Handler>, E>)
        [[nodiscard]] ropeway::subscription
        subscribe(std::string_view name, overflow policy, subscription_params params,
                  Handler&& handler) {
        using callable = std::remove_cvref_t<Handler>;
        const bool in_ring = params.delivery == delivery_mode::in_place;
        if (owning_handler_for<callable, E> && params.delivery != delivery_mode::duplicate) {
            throw std::invalid_argument("subscription \"" + std::string{name} +
                                        "\": its handler takes pooled<E>, and only delivery "
                                        "duplicate gives an event away.");
        }
        if constexpr (handler_for<callable, const E&>) {
            auto face = detail::binding<E, callable>::make(name, std::forward<Handler>(handler),
                                                           &engine_->failures(), params);
            return join(name, policy, std::move(params), face);
        } else {
            if (in_ring) {
                throw std::invalid_argument(
                    "in_place delivery gives the handler a const event, and the handler of "
                    "subscription \"" +
                    std::string{name} +
                    "\" takes a mutable one. Take const E&, or use delivery duplicate.");
            }
            auto face = detail::binding<E, callable>::make(name, std::forward<Handler>(handler),
                                                           &engine_->failures(), params);
            return join(name, policy, std::move(params), face);
        }
    }

    /// A publisher with rings of its own. Throws std::invalid_argument for a capacity that is not
    /// a power of two, std::length_error when max_publishers were made already.
    [[nodiscard]] ropeway::publisher<E> publisher(std::string_view name,
                                                  const publisher_params& params = {}) {
        return {engine_, engine_->add_publisher(name, params)};
    }

    /// A publisher for threads that have none of their own, with rings of its own: it counts as one
    /// of max_publishers. Throws as publisher() does, and for a capacity out of range.
    [[nodiscard]] ropeway::intake<E> make_intake(std::string_view name,
                                                 const intake_params& params = {}) {
        slot_pool_params pool = engine_->intake_pool(name, params);
        // Not a handle that keeps the engine alive: the engine owns it.
        ropeway::publisher<E> out{
            std::shared_ptr<detail::engine>{std::shared_ptr<void>{}, engine_.get()},
            engine_->add_publisher(name, params.publisher)};
        auto made = std::make_unique<detail::intake_of<E>>(*engine_, std::string{name},
                                                           std::move(pool), std::move(out));
        detail::intake_of<E>& core = *made;
        engine_->add_intake(std::move(made));
        return {engine_, core};
    }

    /// Starts the workers. Throws parallelism_error, with the remedy, when as many cannot run.
    void start() { engine_->start(); }
    /// Refuses new events, serves what is left, ends the workers; by then whatever the deadline
    /// left undone is in the report. A second call returns the first one's report.
    stop_report stop(std::chrono::nanoseconds deadline) noexcept { return engine_->stop(deadline); }

    /// Raises the routing version; market data stamped before it is stale from here on.
    std::uint64_t flip() noexcept { return engine_->flip(); }
    /// The same, and returns once no handler that began before runs any more, or at the deadline:
    /// from then on no stale market data is handled. Inside a handler it does not wait. Throws
    /// std::bad_alloc only.
    flip_report flip_and_wait(std::chrono::nanoseconds deadline) {
        return engine_->flip_and_wait(deadline);
    }
    [[nodiscard]] std::uint64_t routing_version() const noexcept { return engine_->version(); }

    /// The routing version itself, for an orchestrator that stamps partial events; valid while this
    /// dispatcher lives.
    [[nodiscard]] const detail::atomic<std::uint64_t>& version_source() const noexcept {
        return engine_->version_source();
    }
    /// Called by stop(), on its thread, with the subscription's name and each critical event that
    /// the subscription wanted and that the deadline left undelivered. Events held by a handler
    /// that never returns are counted in the report but not told. What it throws ends the process.
    void on_undelivered(std::function<void(std::string_view, const E&)> callback) {
        engine_->set_undelivered(
            [tell = std::move(callback)](std::string_view name, const void* event) {
                tell(name, *static_cast<const E*>(event));
            });
    }

    [[nodiscard]] dispatcher_stats stats() const { return engine_->stats(); }
    /// The counters of every subscription, one place each as far as `out` has them; returns how
    /// many. Takes no lock and allocates nothing: fit for a thread that polls. A subscription that
    /// ends meanwhile may show numbers of its end.
    std::size_t snapshot(std::span<subscription_counters> out) const noexcept {
        return engine_->snapshot(out);
    }
    /// Of one event in 64: how long it took from publish to the end of its last handler, and how
    /// well the workers shared the work.
    [[nodiscard]] fanout_stats fanout() const noexcept { return engine_->fanout(); }
    /// The bytes of every pool, ring and table made so far; nothing grows after start() but what
    /// later subscribe() and publisher() calls add.
    [[nodiscard]] std::vector<memory_use> memory_report() const { return engine_->memory(); }
    /// Duplicates that are out now, by subscription: count, oldest age, thread, trace id.
    [[nodiscard]] leak_report leaks() const { return engine_->duplicates().leaks(); }
    /// Takes up to out.size() failure records; one thread at a time. Returns how many.
    std::size_t drain_failures(std::span<failure_record> out) noexcept {
        return engine_->drain_failures(out);
    }
    /// Touches, locks or asks for huge pages for every slot made so far, so that no event meets a
    /// page fault. Throws memory_error with the remedy.
    void warm_up(const memory_params& how = {.prefault = true}) { engine_->warm_up(how); }
    /// Changes misuse detection of all slots and duplicates while running.
    void set_guard(guard_level level) noexcept { engine_->set_guard(level); }

  private:
    [[nodiscard]] ropeway::subscription join(std::string_view name, overflow policy,
                                             subscription_params params,
                                             detail::consumer_face face) {
        std::vector<detail::subscription_core*> after;
        try {
            after = ropeway::subscription::cores_of(params.after, engine_);
        } catch (...) {
            face.destroy(face.object);
            throw;
        }
        detail::subscription_core& core =
            engine_->add_subscription(name, policy, std::move(params), face, after);
        ropeway::subscription out{engine_, core};
        engine_->joined(core);
        return out;
    }

    std::shared_ptr<detail::engine> engine_;
};

}  // namespace ropeway
