// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/resource_pools.hpp>

#include <algorithm>
#include <array>
#include <span>

#include <ropeway/pool/assess.hpp>
#include <ropeway/pool/end_of_wait.hpp>
#include <ropeway/runtime/pool_log.hpp>

namespace ropeway {
namespace {

using steady = std::chrono::steady_clock;

/// What each pool that is yet to stop keeps of the deadline: enough to close idle connections.
constexpr std::chrono::milliseconds farewell{50};

std::int64_t steady_ns() noexcept {
    return std::chrono::nanoseconds{steady::now().time_since_epoch()}.count();
}

double in_seconds(std::chrono::nanoseconds time) noexcept {
    return std::chrono::duration<double>{time}.count();
}

}  // namespace

pool_start_error::pool_start_error(std::string pool, pool_error why)
    : std::runtime_error("pool \"" + pool + "\" did not start: " + without_passwords(why.text())),
      pool_(std::move(pool)),
      why_(std::move(why)) {}

resource_pools::resource_pools(logger& log) : log_(&log) {}

resource_pools::~resource_pools() {
    try {
        static_cast<void>(stop(std::chrono::seconds{1}));
    } catch (...) {  // no memory for a report: the pools' own destructors stop them
    }
}

resource_pools::entry resource_pools::prepare(std::string name, resource_pool_params& params,
                                              const health_policy& policy) const {
    if (started_) {
        throw std::logic_error("pool \"" + name +
                               "\" was added after start(); add every pool before it");
    }
    const bool taken = std::any_of(pools_.begin(), pools_.end(),
                                   [&](const entry& each) { return each.name == name; });
    if (taken) {
        throw std::invalid_argument("a pool named \"" + name +
                                    "\" exists; give each pool a name of its own");
    }
    params.name = name;
    params.observer = pool_log{*log_, params};
    entry out{std::move(name), policy, params};
    out.params.observer = nullptr;
    return out;
}

void resource_pools::tell_settings(const entry& of) const noexcept {
    const resource_pool_params& with = of.params;
    const std::array<log_field, 10> fields{
        {{"pool", of.name},
         {"min_size", with.min_size},
         {"max_size", with.max_size},
         {"acquire_timeout_seconds", in_seconds(with.acquire_timeout)},
         {"connect_timeout_seconds", in_seconds(with.connect_timeout)},
         {"max_uses", with.max_uses},
         {"max_age_seconds", in_seconds(with.max_age)},
         {"max_idle_seconds", in_seconds(with.max_idle)},
         {"leak_timeout_seconds", in_seconds(with.leak_timeout)},
         {"settings", of.settings}}};
    log_->write(log_level::info, "Connection pool starting",
                std::span{fields}.first(of.settings.empty() ? 9 : 10));
}

void resource_pools::start() {
    if (started_) {
        throw std::logic_error("start() was called already; make new pools for a new start");
    }
    started_ = true;
    // relaxed: a time for reports
    started_at_ns_.store(steady_ns(), std::memory_order_relaxed);
    try {
        for (const entry& each : pools_) {
            tell_settings(each);
            ++running_;  // before its start, which may throw half-way: stopped like the others
            start(each);
        }
    } catch (...) {
        static_cast<void>(stop(std::chrono::seconds{1}));
        throw;
    }
}

void resource_pools::start(const entry& of) const {
    if (std::optional<pool_error> failed = of.pool->start()) {
        pool_start_error error{of.name, std::move(*failed)};
        log_->write(log_level::error, "Connection pool did not start",
                    {{"pool", of.name},
                     {"error", to_string(error.why().kind)},
                     {"report", std::string_view{error.what()}}});
        throw error;
    }
}

std::vector<resource_shutdown_report> resource_pools::stop(std::chrono::nanoseconds deadline) {
    std::vector<resource_shutdown_report> out;
    out.reserve(running_);
    const auto until = detail::end_of_wait(steady::now(), deadline);
    while (running_ != 0) {
        const entry& last = pools_[--running_];
        const auto left =
            std::max<std::chrono::nanoseconds>(until - steady::now(), std::chrono::nanoseconds{0});
        // Half of it at most: with many pools their shares would leave this one nothing.
        const auto kept = std::min<std::chrono::nanoseconds>(
            std::min<std::chrono::nanoseconds>(farewell, left / 8) * static_cast<int>(running_),
            left / 2);
        out.push_back(last.pool->shutdown(left - kept));
        const resource_shutdown_report& report = out.back();
        if (!report.clean()) {
            log_->write(log_level::warning, "Connection pool did not stop clean",
                        {{"pool", last.name},
                         {"forced", report.forced.size()},
                         {"duration_seconds", in_seconds(report.lasted)},
                         {"report", report.text()}});
        }
    }
    return out;
}

runtime_health resource_pools::health() const {
    runtime_health out;
    out.at = std::chrono::system_clock::now();
    // relaxed: a time for reports
    if (const std::int64_t since = started_at_ns_.load(std::memory_order_relaxed); since != 0) {
        out.uptime = std::chrono::nanoseconds{steady_ns() - since};
    }
    out.pools.reserve(pools_.size());
    for (const entry& each : pools_) {
        pool_health& pool = out.pools.emplace_back();
        pool.name = each.name;
        pool.now = each.pool->snapshot();
        health_assessment found = assess(pool.now, each.policy);
        pool.status = found.status;
        pool.reason = std::move(found.reason);
        pool.last_error = each.pool->last_error();
        pool.last_error.text = without_passwords(pool.last_error.text);
        out.status = std::max(out.status, pool.status);
    }
    return out;
}

runtime_health resource_pools::full_health() const {
    runtime_health out = health();
    for (std::size_t i = 0; i != out.pools.size(); ++i) {
        const resource_times times = pools_[i].pool->times();
        out.pools[i].latencies = {.wait = summary_of(times.wait),
                                  .hold = summary_of(times.hold),
                                  .create = summary_of(times.create),
                                  .validate = summary_of(times.validate)};
    }
    return out;
}

}  // namespace ropeway
