// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "verdict.hpp"

namespace ropeway::soak {

std::string to_json(const verdict& v) {
    using json = nlohmann::ordered_json;
    const reconciliation& c = v.counts;
    const json out = {
        {"schema", v.schema},
        {"verdict", v.pass ? "pass" : "fail"},
        {"failures", v.failures},
        {"host", v.host},
        {"commit", v.commit},
        {"profile", v.profile},
        {"workers", v.workers},
        {"seed", v.seed},
        {"events_published", c.published},
        {"deliveries_expected", c.expected},
        {"deliveries_done", c.done},
        {"deliveries_filtered", c.filtered},
        {"deliveries_dropped", c.dropped},
        {"deliveries_failed", c.failed},
        {"deliveries_lost", c.lost},
        {"deliveries_doubled", c.doubled},
        {"deliveries_reordered", c.reordered},
        {"critical_expected", c.critical_expected},
        {"critical_done", c.critical_done},
        {"critical_dropped", c.critical_dropped},
        {"stale_done", c.stale_done},
        {"slots_outstanding", v.slots_outstanding},
        {"double_puts", v.double_puts},
        {"use_after_puts", v.use_after_puts},
        {"write_after_puts", v.write_after_puts},
        {"threads_before", v.threads_before},
        {"threads_after", v.threads_after},
        {"rss_start_bytes", v.rss_start_bytes},
        {"rss_end_bytes", v.rss_end_bytes},
        {"rss_slope_bytes_per_million_events", v.rss_slope_bytes_per_million_events},
        {"latency_ns",
         {{"p50", v.latency_ns.p50},
          {"p90", v.latency_ns.p90},
          {"p99", v.latency_ns.p99},
          {"p999", v.latency_ns.p999},
          {"max", v.latency_ns.max}}},
        {"events_per_second", v.events_per_second},
        {"interrupted", v.interrupted},
        {"seconds", v.seconds},
        {"cpu_seconds", v.cpu_seconds},
        {"flips", v.flips},
        {"peak_pool_use", v.peak_pool_use},
    };
    return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace ropeway::soak
