// SPDX-License-Identifier: Apache-2.0
//
// What parameters may be, and the ready-made sets of them.
#include "params_check.hpp"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {
namespace {

[[noreturn]] void refuse(std::string_view field, std::int64_t value, std::string_view legal) {
    throw std::invalid_argument(std::string{field} + " is " + std::to_string(value) +
                                ", and must be " + std::string{legal} + ".");
}

}  // namespace

unsigned processors_allowed() noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        return std::max(1U, std::thread::hardware_concurrency());
    }
    return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

void in_range(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value < low || value > high) {
        refuse(field, value, "between " + std::to_string(low) + " and " + std::to_string(high));
    }
}

void power_of_two(std::string_view field, std::uint32_t value) {
    if (!std::has_single_bit(value) || value < 16 || value > (1U << 20U)) {
        const auto next =
            std::clamp<std::uint64_t>(std::bit_ceil(std::uint64_t{value}), 16, 1U << 20U);
        refuse(field, value,
               "a power of two between 16 and 1048576; the next one is " + std::to_string(next));
    }
}

void check(std::string_view name, const subscription_params& params) {
    if (params.kinds.empty()) {
        throw std::invalid_argument("subscription \"" + std::string{name} +
                                    "\": kinds is empty, so it would never get an event. Name the "
                                    "kinds it wants, or all_kinds.");
    }
    if (!std::has_single_bit(params.backlog)) {
        refuse("subscription_params::backlog", params.backlog, "a power of two, 16 to 65536");
    }
    in_range("subscription_params::backlog", params.backlog, 16, 65536);
    if (params.execution != execution_mode::group && !params.group.empty()) {
        throw std::invalid_argument(
            "subscription \"" + std::string{name} + "\": subscription_params::group is \"" +
            params.group + "\", and its execution is " +
            (params.execution == execution_mode::inline_ ? "inline_" : "own_thread") +
            ". A group serves execution `group` only.");
    }
    in_range("quarantine_params::retry_after (ns)", params.quarantine.retry_after.count(),
             1'000'000, std::chrono::nanoseconds{std::chrono::hours{1}}.count());
    if (params.quarantine.after != 0 && params.execution == execution_mode::inline_) {
        throw std::invalid_argument("subscription \"" + std::string{name} +
                                    "\": quarantine with execution inline_: after its rest nobody "
                                    "would run it before the next publish. Use execution group or "
                                    "own_thread, or leave quarantine off.");
    }
    if (params.timer.count() != 0) {
        in_range("subscription_params::timer (ns)", params.timer.count(), 1'000'000,
                 std::chrono::nanoseconds{std::chrono::hours{24}}.count());
        if (params.execution == execution_mode::inline_) {
            throw std::invalid_argument("subscription \"" + std::string{name} +
                                        "\": an inline_ subscription has no thread that could call "
                                        "on_timer. Use execution group or own_thread.");
        }
    }
    in_range("subscription_params::conflation_keys", params.conflation_keys, 1, 65536);
}

namespace {

void check(const worker_params& workers) {
    if (workers.name.empty() || workers.name.size() > 12) {
        throw std::invalid_argument("worker_params::name is \"" + workers.name +
                                    "\", and must have 1 to 12 characters.");
    }
    in_range("worker_params::count", workers.count, 0, 256);
    in_range("worker_params::slice (ns)", workers.slice.count(), 1000, 1'000'000'000);
    in_range("worker_params::linger (ns)", workers.linger.count(), 0, 1'000'000'000);
    in_range("worker_params::replacements", workers.replacements, 0, 64);
    in_range("worker_params::replace_after (ns)", workers.replace_after.count(), 1'000'000,
             1'000'000'000);
    in_range("worker_params::stall_limit (ns)", workers.stall_limit.count(), 1'000'000,
             std::chrono::nanoseconds::max().count());
}

}  // namespace

dispatcher_params checked(dispatcher_params params) {
    check(params.workers);
    in_range("dispatcher_params::groups (how many)",
             static_cast<std::int64_t>(params.groups.size()), 0, max_groups - 1);
    std::vector<std::string> names{params.workers.name};
    for (const worker_params& group : params.groups) {
        check(group);
        if (std::find(names.begin(), names.end(), group.name) != names.end()) {
            throw std::invalid_argument("two groups of workers are named \"" + group.name +
                                        "\": a subscription could not tell them apart.");
        }
        names.push_back(group.name);
    }
    in_range("dispatcher_params::max_subscriptions", params.max_subscriptions, 1,
             max_live_subscriptions);
    in_range("dispatcher_params::starts.position",
             static_cast<std::int64_t>(params.starts.position & ~(std::uint64_t{1} << 63U)), 0,
             std::int64_t{1} << 60U);
    in_range("dispatcher_params::max_publishers", params.max_publishers, 1, max_live_publishers);
    in_range("dispatcher_params::failure_capacity", params.failure_capacity, 64, 1U << 20U);
    in_range("dispatcher_params::failure_wait (ns)", params.failure_wait.count(), 0,
             std::chrono::nanoseconds::max().count());
    return params;
}

}  // namespace ropeway::detail

namespace ropeway {

dispatcher_params params_for(profile which) {
    dispatcher_params out;
    switch (which) {
        case profile::shared: break;
        case profile::latency: {
            thread_params threads;
            cpu_set_t set;
            CPU_ZERO(&set);
            if (sched_getaffinity(0, sizeof(set), &set) == 0) {
                for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
                    if (CPU_ISSET(cpu, &set)) {
                        threads.cpus.push_back(static_cast<int>(cpu));
                    }
                }
            }
            if (threads.cpus.size() > 1) {
                threads.cpus.erase(threads.cpus.begin());  // the publisher's
            }
            out.workers.count = std::max(1U, static_cast<unsigned>(threads.cpus.size()));
            out.workers.wait = wait_strategy::spin;
            out.workers.where = make_thread_executor(std::move(threads));
            break;
        }
        case profile::throughput:
            out.workers.slice = std::chrono::microseconds{200};
            out.workers.linger = std::chrono::microseconds{200};
            out.publishers_help = true;
            break;
    }
    return out;
}

}  // namespace ropeway
