// SPDX-License-Identifier: Apache-2.0
#include "verdict.hpp"

#include <utility>

namespace ropeway::soak {

namespace {

void judge_run(const run_facts& facts, std::vector<std::string>& failures) {
    if (!facts.drained) {
        std::string text = "not everything was delivered before the stop's deadline";
        for (const std::string& each : facts.unfinished) {
            text += (&each == &facts.unfinished.front() ? ": " : ", ") + each;
        }
        failures.push_back(text);
    }
    if (!facts.workers_gone) {
        failures.emplace_back("a worker still ran after the stop");
    }
    failures.insert(failures.end(), facts.publish_errors.begin(), facts.publish_errors.end());
    if (facts.failure_records_dropped != 0) {
        failures.push_back(grouped(facts.failure_records_dropped) +
                           " failure records were dropped by a full queue");
    }
    if (facts.failure_records_unknown != 0) {
        failures.push_back(grouped(facts.failure_records_unknown) +
                           " failure records with a wrong consumer or text");
    }
}

void judge_memory(const run_facts& facts, std::vector<std::string>& failures) {
    const auto none = [&failures](std::uint64_t count, const char* what) {
        if (count != 0) {
            failures.push_back(grouped(count) + " " + what);
        }
    };
    none(facts.slots_outstanding, "slots outstanding after the stop (leaked)");
    none(facts.double_puts, "double puts");
    none(facts.use_after_puts, "uses after put");
    none(facts.write_after_puts, "writes after put");
    none(facts.other_violations, "other violations");
    if (facts.threads_after != facts.threads_before) {
        failures.push_back(grouped(facts.threads_before) + " threads before the run, " +
                           grouped(facts.threads_after) + " after it");
    }
    if (facts.rss_events >= rss_judged_events &&
        facts.rss_end_bytes > facts.rss_start_bytes + rss_growth_limit_bytes) {
        failures.push_back("memory grew by " +
                           grouped(facts.rss_end_bytes - facts.rss_start_bytes) +
                           " bytes between 10 % and 100 % of the run (limit " +
                           grouped(rss_growth_limit_bytes) + ")");
    }
}

[[nodiscard]] double slope(const run_facts& facts) noexcept {
    if (facts.rss_events == 0) {
        return 0.0;
    }
    const double growth =
        static_cast<double>(facts.rss_end_bytes) - static_cast<double>(facts.rss_start_bytes);
    return growth / (static_cast<double>(facts.rss_events) / 1e6);
}

}  // namespace

verdict judge(reconciliation counts, const run_facts& facts) {
    verdict out;
    out.failures = std::exchange(counts.failures, {});
    if (counts.published == 0) {
        out.failures.emplace_back("no event was published");
    }
    const std::uint64_t accounted = counts.done + counts.filtered + counts.dropped + counts.failed;
    if (out.failures.empty() && accounted != counts.expected) {
        out.failures.push_back(grouped(counts.expected) + " deliveries expected, " +
                               grouped(accounted) + " accounted for");
    }
    if (!stale_allowed(counts.stale_done, counts.stale_pending, facts.flips, facts.workers)) {
        out.failures.push_back(grouped(counts.stale_done) + " stale handler calls of " +
                               grouped(counts.stale_pending) + " stale events");
    }
    judge_run(facts, out.failures);
    judge_memory(facts, out.failures);
    out.pass = out.failures.empty();
    out.counts = std::move(counts);
    out.host = facts.host;
    out.commit = facts.commit;
    out.workers = facts.workers;
    out.seed = facts.seed;
    out.slots_outstanding = facts.slots_outstanding;
    out.double_puts = facts.double_puts;
    out.use_after_puts = facts.use_after_puts;
    out.write_after_puts = facts.write_after_puts;
    out.threads_before = facts.threads_before;
    out.threads_after = facts.threads_after;
    out.rss_start_bytes = facts.rss_start_bytes;
    out.rss_end_bytes = facts.rss_end_bytes;
    out.rss_slope_bytes_per_million_events = slope(facts);
    out.latency_ns = facts.latency_ns;
    out.interrupted = facts.interrupted;
    out.seconds = facts.seconds;
    out.cpu_seconds = facts.cpu_seconds;
    out.flips = facts.flips;
    out.peak_pool_use = facts.peak_pool_use;
    out.rss_judged = facts.rss_events >= rss_judged_events;
    out.latency_without_slow = facts.latency_without_slow;
    out.events_per_second =
        facts.seconds > 0.0 ? static_cast<double>(out.counts.published) / facts.seconds : 0.0;
    return out;
}

}  // namespace ropeway::soak
