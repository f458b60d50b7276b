// SPDX-License-Identifier: Apache-2.0
//
// The verdict: the stable keys of the JSON file and of the table, and the rules that turn a run's
// facts into pass or fail. Plain values; judge() is pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "accounting.hpp"

namespace ropeway::soak {

/// Nanoseconds; `max` is exact, the others are at most 6.3 % too high (histogram's buckets).
struct latency_percentiles {
    std::uint64_t p50 = 0;
    std::uint64_t p90 = 0;
    std::uint64_t p99 = 0;
    std::uint64_t p999 = 0;
    std::uint64_t max = 0;
};

/// What stands in the JSON file under the same names, in this order.
struct verdict {
    std::string schema = "ropeway-soak-verdict-1";
    bool pass = false;
    std::vector<std::string> failures{};
    std::string host{};
    std::string commit{};
    std::string profile = "shared";
    std::uint64_t workers = 0;
    std::uint64_t seed = 0;
    reconciliation counts{};
    std::uint64_t slots_outstanding = 0;
    std::uint64_t double_puts = 0;
    std::uint64_t use_after_puts = 0;
    std::uint64_t write_after_puts = 0;
    std::uint64_t threads_before = 0;
    std::uint64_t threads_after = 0;
    std::uint64_t rss_start_bytes = 0;
    std::uint64_t rss_end_bytes = 0;
    double rss_slope_bytes_per_million_events = 0.0;
    latency_percentiles latency_ns{};
    double events_per_second = 0.0;
    bool interrupted = false;  ///< ended by a signal: judged by what was published so far
    double seconds = 0.0;      ///< from the first to the last publish
    double cpu_seconds = 0.0;  ///< of all threads, user and system, start to stop
    std::uint64_t flips = 0;
    double peak_pool_use = 0.0;  ///< 0..1, sampled
    // Not in the file: what the table says about its own numbers.
    bool rss_judged = false;
    bool latency_without_slow = false;
};

/// What a run measured, beside its books.
struct run_facts {
    std::string host{};
    std::string commit{};
    std::uint64_t workers = 0;
    std::uint64_t seed = 0;
    std::uint64_t flips = 0;
    bool drained = false;
    bool workers_gone = false;
    std::vector<std::string> unfinished{};
    std::uint64_t slots_outstanding = 0;
    std::uint64_t double_puts = 0;
    std::uint64_t use_after_puts = 0;
    std::uint64_t write_after_puts = 0;
    std::uint64_t other_violations = 0;
    std::uint64_t failure_records_dropped = 0;
    std::uint64_t failure_records_unknown = 0;  ///< name no consumer, or not the text thrown
    std::uint64_t threads_before = 0;
    std::uint64_t threads_after = 0;
    std::uint64_t rss_start_bytes = 0;  ///< at 10 % of the events
    std::uint64_t rss_end_bytes = 0;    ///< at the last one
    std::uint64_t rss_events = 0;       ///< published between the two
    latency_percentiles latency_ns{};
    double seconds = 0.0;  ///< from the first to the last publish
    double cpu_seconds = 0.0;
    double peak_pool_use = 0.0;
    bool interrupted = false;
    bool latency_without_slow = false;
    std::vector<std::string> publish_errors{};
};

/// RSS may grow by as much from 10 % of the run to its end.
inline constexpr std::uint64_t rss_growth_limit_bytes = 1U << 20U;
/// Shorter runs are still touching their memory for the first time: growth is told, not judged.
inline constexpr std::uint64_t rss_judged_events = 500'000;

[[nodiscard]] verdict judge(reconciliation counts, const run_facts& facts);

/// Of the program: 0 pass, 1 fail.
[[nodiscard]] constexpr int exit_code(const verdict& v) noexcept { return v.pass ? 0 : 1; }

/// The stable JSON, with a newline at its end.
[[nodiscard]] std::string to_json(const verdict& v);

/// What a person reads.
[[nodiscard]] std::string to_table(const verdict& v);

}  // namespace ropeway::soak
