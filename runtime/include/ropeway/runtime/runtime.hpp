// SPDX-License-Identifier: Apache-2.0
//
// The facade: a dispatcher and pools of connections with logging, failure records and violation
// reports around them, started and stopped as one. What most programs hold.
//
// Ownership: owns everything it makes; subscriptions and publishers are handles. Thread safety:
// start() and stop() from one thread; the rest from any. Allocation: nothing per event.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/pool/end_of_wait.hpp>
#include <ropeway/pool/event_pool.hpp>
#include <ropeway/runtime/failure_log.hpp>
#include <ropeway/runtime/health.hpp>
#include <ropeway/runtime/logging.hpp>
#include <ropeway/runtime/resource_pools.hpp>

namespace ropeway {

/// Everything a runtime is made from.
struct runtime_params {
    /// Names its pools and its log lines.
    std::string name = "ropeway";
    /// The resident workers: count, slice, linger, arena or own threads.
    worker_params workers{};
    /// Subscriptions that may live at once, 1..64.
    std::uint32_t max_subscriptions = 32;
    /// Publishers that may be made, 1..64.
    std::uint32_t max_publishers = 8;
    /// Slots for duplicates; 0: enough that a worker never finds none.
    std::uint32_t duplicate_slots = 0;
    /// Slots for partial events that the orchestrator merges (see partials()), 1..2^31.
    std::uint32_t partial_slots = 1024;
    /// Misuse detection; may be changed while running.
    guard_level guard = guard_level::guard;
    /// What follows a violation's report.
    violation_policy on_violation = violation_policy::log_and_drop;
    /// Where slots come from; null: mmap. It must outlive the runtime.
    memory_source* memory = nullptr;
    /// Failure records that may wait for the log's thread.
    std::uint32_t failure_capacity = 16384;
    /// The log; by default no sink, thus nothing is written anywhere.
    logging_params log{};
    /// Called with every failure record before it is logged, on the log's thread. Default: none.
    std::function<void(const failure_record&)> on_failure{};
    /// Installs the process-wide violation handler and logs what it gets, until destruction; of
    /// several runtimes the one made last. Off for a program that has a handler of its own.
    bool log_violations = true;
};

/// How a runtime's stop went.
struct runtime_report {
    stop_report dispatcher{};
    std::vector<resource_shutdown_report> pools{};  ///< of connections, in the order of their stop
    std::uint64_t failures = 0;                     ///< handlers that threw, recorded
    std::uint64_t failures_dropped = 0;             ///< threw, and the record found no room
    std::uint64_t log_lines_dropped = 0;            ///< the log's queue was full
    std::uint64_t violations = 0;                   ///< reported in this process so far

    /// Everything delivered, joined and returned, connections included. Failures of handlers do not
    /// make it unclean.
    [[nodiscard]] bool clean() const noexcept;
    /// One paragraph for a log or a terminal.
    [[nodiscard]] std::string text() const;
};

namespace detail {

/// The parts of a runtime that do not depend on the event type.
class runtime_services {
  public:
    explicit runtime_services(const runtime_params& params);
    runtime_services(const runtime_services&) = delete;
    runtime_services& operator=(const runtime_services&) = delete;
    ~runtime_services();

    /// Starts the pools, then what carries failures. `kind_name` renders the event type's kinds in
    /// the log; null: as numbers. @throws pool_start_error, std::logic_error if it was called
    /// before, what threads throw; no pool that it started runs then
    void start(failure_source source, std::string_view (*kind_name)(std::uint32_t));
    /// What of stop()'s `deadline` the workers may use, so that pools have time to say goodbye.
    [[nodiscard]] std::chrono::nanoseconds workers_share(
        std::chrono::nanoseconds deadline) const noexcept;
    void stop_pools(runtime_report& report, std::chrono::steady_clock::time_point until);
    /// Carries the last failures away and flushes the log; fills the report's numbers.
    void stop(runtime_report& report) noexcept;
    [[nodiscard]] logger& log() noexcept;
    [[nodiscard]] resource_pools& pools() const noexcept;

  private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

[[nodiscard]] dispatcher_params dispatcher_params_of(const runtime_params& params);
/// Refuses what the dispatcher and the log do not check themselves.
[[nodiscard]] runtime_params checked(runtime_params params);

}  // namespace detail

/// See the file's head. `runtime` is the one for market_event.
template <event_type E>
class basic_runtime {
  public:
    /// Throws std::invalid_argument with the field, its value and the legal range;
    /// std::runtime_error when the log's file cannot be written.
    explicit basic_runtime(runtime_params params = {})
        : params_(detail::checked(std::move(params))),
          services_(params_),
          partials_(pool_params{.name = params_.name + " partials",
                                .slots = params_.partial_slots,
                                .guard = params_.guard,
                                .memory = params_.memory}),
          dispatcher_(detail::dispatcher_params_of(params_)) {}
    basic_runtime(const basic_runtime&) = delete;
    basic_runtime& operator=(const basic_runtime&) = delete;
    /// Stops with a second's deadline when stop() was not called.
    ~basic_runtime() { static_cast<void>(stop(std::chrono::seconds{1})); }

    /// See dispatcher::subscribe.
    template <class Handler>
    [[nodiscard]] ropeway::subscription subscribe(std::string_view name, overflow policy,
                                                  subscription_params params, Handler&& handler) {
        return dispatcher_.subscribe(name, policy, std::move(params),
                                     std::forward<Handler>(handler));
    }
    /// See dispatcher::publisher.
    [[nodiscard]] ropeway::publisher<E> publisher(std::string_view name,
                                                  const publisher_params& params = {}) {
        return dispatcher_.publisher(name, params);
    }

    /// Adds a pool of connections (or of anything else that is made, checked, reset and destroyed)
    /// before start(); see resource_pools::add. The pool lives as long as the runtime.
    template <class R, class Make>
    resource_pool<R>& add_pool(std::string name, Make&& make, resource_pool_params params = {},
                               const health_policy& policy = {}) {
        return services_.pools().template add<R>(std::move(name), std::forward<Make>(make),
                                                 std::move(params), policy);
    }

    /// The same from a pool's settings (see pool_config.hpp):
    /// rt.add_pool<R>(load_pool_config({.environment = process_environment()}), make).
    template <class R, class Make>
    resource_pool<R>& add_pool(const pool_config& config, Make&& make) {
        return services_.pools().template add<R>(config, std::forward<Make>(make));
    }

    /// Starts the pools, then the workers. A runtime that did not start cannot be started again.
    /// @throws pool_start_error naming the pool and why; parallelism_error with the remedy;
    /// std::system_error where no thread can be made. What had started is stopped. A second call
    /// throws std::logic_error and stops nothing.
    void start() {
        services_.start(
            [this](std::span<failure_record> out) noexcept {
                return dispatcher_.drain_failures(out);
            },
            kind_name());
        try {
            dispatcher_.start();
        } catch (...) {
            services_.stop_pools(report_,
                                 std::chrono::steady_clock::now() + std::chrono::seconds{1});
            throw;
        }
    }
    /// Stops in the reverse order: refuses new events, drains, joins, stops the pools, carries the
    /// last failures to the log; all within `deadline`, of which the workers may use what the pools
    /// do not need for their farewells. A second call returns the same report.
    runtime_report stop(std::chrono::nanoseconds deadline) {
        if (!stopped_) {
            const auto until = detail::end_of_wait(std::chrono::steady_clock::now(), deadline);
            report_.dispatcher = dispatcher_.stop(services_.workers_share(deadline));
            services_.stop_pools(report_, until);
            const dispatcher_stats end = dispatcher_.stats();
            report_.failures = end.failures_recorded;
            report_.failures_dropped = end.failures_dropped;
            services_.stop(report_);
            stopped_ = true;
        }
        return report_;
    }

    std::uint64_t flip() noexcept { return dispatcher_.flip(); }
    [[nodiscard]] std::uint64_t routing_version() const noexcept {
        return dispatcher_.routing_version();
    }
    [[nodiscard]] dispatcher_stats stats() const { return dispatcher_.stats(); }
    /// Bytes of every pool, ring and table made so far.
    [[nodiscard]] std::vector<memory_use> memory_report() const {
        auto out = dispatcher_.memory_report();
        out.push_back({params_.name + " partials", partials_.memory_report().total_bytes()});
        return out;
    }
    void set_guard(guard_level level) noexcept { dispatcher_.set_guard(level); }

    /// How well the pools are: status, states, statistics, without latencies. From any thread;
    /// below 5 microseconds for a pool.
    [[nodiscard]] runtime_health health() const { return services_.pools().health(); }
    /// The same with latencies. From any thread; some tens of microseconds for a pool.
    [[nodiscard]] runtime_health full_health() const { return services_.pools().full_health(); }
    /// full_health() as a JSON object: see to_json(const runtime_health&).
    [[nodiscard]] std::string health_json() const { return services_.pools().health_json(); }

    /// Events that are no publisher's yet: what an orchestrator merges.
    [[nodiscard]] event_pool<E>& partials() noexcept { return partials_; }
    [[nodiscard]] ropeway::dispatcher<E>& events() noexcept { return dispatcher_; }
    [[nodiscard]] logger& log() noexcept { return services_.log(); }
    [[nodiscard]] resource_pools& pools() noexcept { return services_.pools(); }

  private:
    static constexpr auto kind_name() noexcept -> std::string_view (*)(std::uint32_t) {
        if constexpr (std::same_as<E, market_event>) {
            return [](std::uint32_t kind) { return to_string(static_cast<event_kind>(kind)); };
        } else {
            return nullptr;
        }
    }

    runtime_params params_;
    detail::runtime_services services_;
    event_pool<E> partials_;
    ropeway::dispatcher<E> dispatcher_;
    runtime_report report_{};  ///< of stop(), on the thread that calls it
    bool stopped_ = false;     ///< as above
};

extern template class basic_runtime<market_event>;
using runtime = basic_runtime<market_event>;

}  // namespace ropeway
