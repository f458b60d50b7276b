// SPDX-License-Identifier: Apache-2.0
//
// The pools of connections that a runtime owns: they start before its workers and stop after them,
// their events are logged, their health is told together. Usable without a runtime as well.
//
// Ownership: owns the pools; leases must end before it does. Thread safety: add(), start() and
// stop() from one thread; health(), full_health() and health_json() from any once the last add()
// has returned. Allocation: add(), reports.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/runtime/health.hpp>
#include <ropeway/runtime/logging.hpp>
#include <ropeway/runtime/pool_config.hpp>

namespace ropeway {

/// A pool of the runtime did not start; those that had started were stopped.
class pool_start_error : public std::runtime_error {
  public:
    pool_start_error(std::string pool, pool_error why);
    [[nodiscard]] const std::string& pool() const noexcept { return pool_; }
    [[nodiscard]] const pool_error& why() const noexcept { return why_; }

  private:
    std::string pool_;
    pool_error why_;
};

namespace detail {

/// One pool, whatever its resources are.
class any_resource_pool {
  public:
    any_resource_pool() = default;
    any_resource_pool(const any_resource_pool&) = delete;
    any_resource_pool& operator=(const any_resource_pool&) = delete;
    virtual ~any_resource_pool() = default;
    virtual std::optional<pool_error> start() = 0;
    virtual resource_shutdown_report shutdown(std::chrono::nanoseconds deadline) = 0;
    [[nodiscard]] virtual resource_snapshot snapshot() const noexcept = 0;
    [[nodiscard]] virtual resource_times times() const = 0;
    [[nodiscard]] virtual resource_error last_error() const = 0;
};

template <class R>
class owned_resource_pool final : public any_resource_pool {
  public:
    owned_resource_pool(std::function<std::unique_ptr<R>()> make, resource_pool_params params)
        : pool(std::move(make), std::move(params)) {}
    std::optional<pool_error> start() override { return pool.start(); }
    resource_shutdown_report shutdown(std::chrono::nanoseconds deadline) override {
        return pool.shutdown(deadline);
    }
    [[nodiscard]] resource_snapshot snapshot() const noexcept override { return pool.snapshot(); }
    [[nodiscard]] resource_times times() const override { return pool.times(); }
    [[nodiscard]] resource_error last_error() const override { return pool.last_error(); }

    resource_pool<R> pool;
};

}  // namespace detail

/// See the file's head.
class resource_pools {
  public:
    /// `log` must outlive it.
    explicit resource_pools(logger& log);
    resource_pools(const resource_pools&) = delete;
    resource_pools& operator=(const resource_pools&) = delete;
    /// stop(1 s) if that was not called.
    ~resource_pools();

    /// Makes a pool, not yet started. `name` replaces params.name; params.observer is called as
    /// well as the log. See resource_pool for `make`.
    /// @throws std::invalid_argument for a parameter out of range or a name that is taken;
    /// std::logic_error after start().
    template <class R>
    resource_pool<R>& add(std::string name, std::function<std::unique_ptr<R>()> make,
                          resource_pool_params params = {}, const health_policy& policy = {}) {
        entry made = prepare(std::move(name), params, policy);
        auto owned =
            std::make_unique<detail::owned_resource_pool<R>>(std::move(make), std::move(params));
        resource_pool<R>& out = owned->pool;
        made.pool = std::move(owned);
        pools_.push_back(std::move(made));
        return out;
    }

    /// The same from a pool's settings: name, sizes, times and health policy are the config's,
    /// which stands in the log without passwords. The deadline of its stop is stop()'s, not
    /// shutdown_timeout.
    template <class R>
    resource_pool<R>& add(const pool_config& config, std::function<std::unique_ptr<R>()> make) {
        resource_pool<R>& out =
            add<R>(config.pool.name, std::move(make), config.pool, config.health);
        pools_.back().settings = to_string(config);
        return out;
    }

    /// Starts them in the order in which they were added. @throws pool_start_error;
    /// std::system_error without a thread for a pool. Whatever it throws, no pool runs then; but
    /// for std::logic_error: start() was called before, and the pools are left as they are.
    void start();
    /// Stops them in the reverse order within `deadline` altogether: the first to stop may wait for
    /// its leases nearly that long, with many pools half of it; the rest is kept for the others to
    /// say goodbye.
    /// @return a report for each that had started. A second call returns nothing.
    std::vector<resource_shutdown_report> stop(std::chrono::nanoseconds deadline);

    /// Status, states, counts and the last error of each, without its latencies: below 5
    /// microseconds for a pool.
    [[nodiscard]] runtime_health health() const;
    /// The same with latencies: some tens of microseconds for a pool.
    [[nodiscard]] runtime_health full_health() const;
    /// full_health() as a JSON object: see to_json(const runtime_health&).
    [[nodiscard]] std::string health_json() const { return to_json(full_health()); }
    [[nodiscard]] std::size_t size() const noexcept { return pools_.size(); }

  private:
    struct entry {
        std::string name;
        health_policy policy{};
        resource_pool_params params{};  ///< as the log tells them
        std::string settings{};         ///< as configured, masked; empty if not from a config
        std::unique_ptr<detail::any_resource_pool> pool{};
    };

    /// Sets name and observer of `params`.
    entry prepare(std::string name, resource_pool_params& params,
                  const health_policy& policy) const;
    void tell_settings(const entry& of) const noexcept;
    /// One of them. @throws pool_start_error, logged
    void start(const entry& of) const;

    logger* log_;
    std::vector<entry> pools_;  ///< constant from start() on
    std::size_t running_ = 0;   ///< of pools_, from the front; of start() and stop()
    bool started_ = false;      ///< as above
    /// Nanoseconds of the steady clock at start(); 0 before.
    std::atomic<std::int64_t> started_at_ns_{0};
};

}  // namespace ropeway
