// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>

#include "verdict.hpp"

namespace ropeway::soak {

namespace {

/// printf into a string; lines are short.
template <class... Values>
void line(std::string& out, const char* format, Values... values) {
    std::array<char, 256> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), format, values...);
    if (length > 0) {
        out.append(buffer.data(), std::min(static_cast<std::size_t>(length), buffer.size() - 1));
    }
    out += '\n';
}

void row(std::string& out, const char* what, std::uint64_t value, const char* note = "") {
    line(out, "  %-22s %16s  %s", what, grouped(value).c_str(), note);
}

[[nodiscard]] std::string in_units(std::uint64_t ns) {
    std::array<char, 32> buffer{};
    const double value = static_cast<double>(ns);
    if (ns < 10'000) {
        std::snprintf(buffer.data(), buffer.size(), "%.0f ns", value);
    } else if (ns < 10'000'000) {
        std::snprintf(buffer.data(), buffer.size(), "%.1f us", value / 1e3);
    } else {
        std::snprintf(buffer.data(), buffer.size(), "%.1f ms", value / 1e6);
    }
    return buffer.data();
}

void memory_rows(std::string& out, const verdict& v) {
    row(out, "slots outstanding", v.slots_outstanding);
    row(out, "double puts", v.double_puts);
    row(out, "uses after put", v.use_after_puts);
    row(out, "writes after put", v.write_after_puts);
    line(out, "  %-22s %7s -> %6s", "threads before, after", grouped(v.threads_before).c_str(),
         grouped(v.threads_after).c_str());
    line(out,
         "  %-22s %16.2f  MiB at 10 %% of the run, %.2f at its end, %+.0f bytes per 1e6 events",
         "memory (RSS)", static_cast<double>(v.rss_start_bytes) / (1U << 20U),
         static_cast<double>(v.rss_end_bytes) / (1U << 20U), v.rss_slope_bytes_per_million_events);
    if (!v.rss_judged) {
        line(out, "  %-22s %16s  %s events after its first 10 %%: growth is told, not judged", "",
             "", ("fewer than " + grouped(rss_judged_events)).c_str());
    }
}

}  // namespace

std::string to_table(const verdict& v) {
    const reconciliation& c = v.counts;
    std::string out;
    row(out, "events published", c.published);
    row(out, "deliveries expected", c.expected, "= done + filtered + dropped + failed");
    row(out, "  done", c.done);
    row(out, "  filtered", c.filtered, "stale market data");
    row(out, "  dropped", c.dropped, "by slow consumers, as allowed");
    row(out, "  failed", c.failed, "handlers that threw");
    row(out, "lost", c.lost);
    row(out, "doubled", c.doubled);
    row(out, "reordered", c.reordered);
    row(out, "critical expected", c.critical_expected);
    row(out, "critical done", c.critical_done);
    row(out, "critical dropped", c.critical_dropped);
    row(out, "flips", v.flips, "of the routing version");
    row(out, "stale done", c.stale_done, "handler calls begun after their version ended");
    memory_rows(out, v);
    line(out, "  %-22s p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", "publish to handler",
         in_units(v.latency_ns.p50).c_str(), in_units(v.latency_ns.p90).c_str(),
         in_units(v.latency_ns.p99).c_str(), in_units(v.latency_ns.p999).c_str(),
         in_units(v.latency_ns.max).c_str());
    if (v.latency_without_slow) {
        line(out, "  %-22s %16s  %s", "", "", "of all consumers but the slow ones");
    }
    row(out, "events per second", static_cast<std::uint64_t>(v.events_per_second));
    line(out, "  %-22s %16.1f  s for %.1f s of publishing = %.2f processors", "CPU", v.cpu_seconds,
         v.seconds, v.seconds > 0.0 ? v.cpu_seconds / v.seconds : 0.0);
    line(out, "  %-22s %16.1f  %% of all slots, the highest of samples", "pool use",
         v.peak_pool_use * 100.0);
    line(out, "  %-22s %s, commit %s", "host", v.host.c_str(), v.commit.c_str());
    for (const std::string& each : v.failures) {
        out += "  FAILED: " + each + "\n";
    }
    if (v.interrupted) {
        out += "interrupted: the verdict is about what was published so far\n";
    }
    out += v.pass ? "verdict: PASS\n" : "verdict: FAIL\n";
    return out;
}

}  // namespace ropeway::soak
