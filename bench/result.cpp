// SPDX-License-Identifier: Apache-2.0
#include "result.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include <nlohmann/json.hpp>

namespace ropeway::bench {
namespace {

template <class... Values>
std::string format(const char* how, Values... values) {
    std::array<char, 256> text{};
    // A constant of this file each time: the table's columns.
    const int size = std::snprintf(text.data(), text.size(), how, values...);
    return {text.data(), size < 0 ? 0U : std::min(text.size() - 1, static_cast<std::size_t>(size))};
}

/// As many as its reach has, so that the table does not round across it; at least two.
int decimals_of(const row& one) {
    const double hundredths = one.reach.value_or(0) * 100;
    return std::abs(hundredths - std::round(hundredths)) < 1e-6 ? 2 : 4;
}

std::string verdict_of(const row& one) {
    if (!one.faults.empty()) {
        return "WRONG";
    }
    if (!one.reach) {
        return "-";
    }
    return format("%s %.*f %s",
                  one.direction == better::higher ? ">=" : "<=", std::max(decimals_of(one) - 1, 2),
                  *one.reach, one.ok() ? "ok" : "MISSED");
}

}  // namespace

std::string to_text(const host_facts& host) {
    return host.cpu +
           format(", %u cpus, %.0f ns from core to core and back\n", host.cpus,
                  host.round_trip_ns) +
           host.compiler + (host.release ? ", release" : ", NOT a release build") + ", commit " +
           host.commit + "\n";
}

std::string to_table(std::span<const row> rows) {
    std::string out = format("%-28s %10s %10s %-6s %8s %17s  %s\n", "row", "ours", "reference", "",
                             "ratio", "min .. max", "reach");
    for (const row& one : rows) {
        if (!one.skipped.empty()) {
            out += format("%-28s", one.id.c_str()) + " not measured: " + one.skipped + "\n";
            continue;
        }
        const spread ratio = one.ratio();
        const int decimals = decimals_of(one);
        const std::string beside =
            one.absolute ? "-" : format("%.2f", spread_of(one.reference_values).median);
        out +=
            format("%-28s %10.*f %10s %-6s %8.*f %8.*f %8.*f  %s\n", one.id.c_str(), decimals,
                   spread_of(one.values).median, beside.c_str(), one.unit.c_str(), decimals,
                   ratio.median, decimals, ratio.min, decimals, ratio.max, verdict_of(one).c_str());
        for (const std::string& fault : one.faults) {
            out += "    wrong: " + fault + "\n";
        }
    }
    return out;
}

std::string to_percentiles(std::span<const row> rows) {
    std::string out;
    for (const row& one : rows) {
        const histogram& all = one.times;
        if (all.count() == 0) {
            continue;
        }
        if (out.empty()) {
            out = format("%-28s %10s %10s %10s %10s %10s %12s\n", "ns of single events", "max",
                         "p99.9", "p99", "p90", "p50", "deliveries");
        }
        const auto at = [&all](double share) { return static_cast<double>(all.percentile(share)); };
        out += format("%-28s %10.0f %10.0f %10.0f %10.0f %10.0f %12.0f\n", one.id.c_str(),
                      static_cast<double>(all.max()), at(0.999), at(0.99), at(0.9), at(0.5),
                      static_cast<double>(all.count()));
    }
    return out;
}

std::string to_hgrm(const row& one) {
    const histogram& all = one.times;
    const auto count = static_cast<double>(all.count());
    std::string out = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n";
    // Half of what is left, in fifths, as HdrHistogram does: the tail gets as many lines as the
    // middle.
    for (double left = 1; left * count >= 1; left /= 2) {
        for (int fifth = 0; fifth < 5; ++fifth) {
            const double share = 1 - left * (1 - 0.1 * fifth);
            out += format("%12.3f %14.12f %10.0f %14.2f\n",
                          static_cast<double>(all.percentile(share)) / 1000, share, share * count,
                          1 / (1 - share));
        }
    }
    out += format("%12.3f %14.12f %10.0f\n", static_cast<double>(all.max()) / 1000, 1.0, count);
    out += format("#[Max     = %12.3f, Total count    = %12.0f]\n",
                  static_cast<double>(all.max()) / 1000, count);
    return out;
}

std::string to_json(const host_facts& host, std::span<const row> rows) {
    using nlohmann::ordered_json;
    ordered_json list = ordered_json::array();
    for (const row& one : rows) {
        if (!one.skipped.empty()) {
            continue;  // nothing to compare
        }
        const spread ratio = one.ratio();
        list.push_back(
            {{"id", one.id},
             {"suite", one.suite},
             {"case", one.what},
             {"consumers", one.consumers},
             {"metric", one.metric},
             {"value", spread_of(one.values).median},
             {"unit", one.unit},
             {"reference", one.reference},
             {"reference_value", one.absolute
                                     ? ordered_json(nullptr)
                                     : ordered_json(spread_of(one.reference_values).median)},
             {"ratio", {{"median", ratio.median}, {"min", ratio.min}, {"max", ratio.max}}},
             {"better", one.direction == better::higher ? "higher" : "lower"},
             {"reach", one.reach ? ordered_json(*one.reach) : ordered_json(nullptr)},
             {"ok", one.ok()},
             {"faults", one.faults}});
        if (const histogram& all = one.times; all.count() != 0) {
            list.back()["percentiles"] = {{"p50", all.percentile(0.5)},
                                          {"p90", all.percentile(0.9)},
                                          {"p99", all.percentile(0.99)},
                                          {"p999", all.percentile(0.999)},
                                          {"max", all.max()}};
        }
    }
    const ordered_json whole{{"schema", "ropeway-bench-1"},
                             {"host",
                              {{"cpu", host.cpu},
                               {"cpus", host.cpus},
                               {"round_trip_ns", host.round_trip_ns},
                               {"compiler", host.compiler},
                               {"commit", host.commit},
                               {"release", host.release}}},
                             {"rows", list}};
    return whole.dump(2) + "\n";
}

}  // namespace ropeway::bench
