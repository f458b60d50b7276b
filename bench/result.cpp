// SPDX-License-Identifier: Apache-2.0
#include "result.hpp"

#include <array>
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

std::string verdict_of(const row& one) {
    if (!one.faults.empty()) {
        return "WRONG";
    }
    if (!one.reach) {
        return "-";
    }
    return format("%s %.2f %s", one.direction == better::higher ? ">=" : "<=", *one.reach,
                  one.ok() ? "ok" : "MISSED");
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
        const spread ratio = one.ratio();
        out +=
            format("%-28s %10.2f %10.2f %-6s %8.2f %8.2f %8.2f  %s\n", one.id.c_str(),
                   spread_of(one.values).median, spread_of(one.reference_values).median,
                   one.unit.c_str(), ratio.median, ratio.min, ratio.max, verdict_of(one).c_str());
        for (const std::string& fault : one.faults) {
            out += "    wrong: " + fault + "\n";
        }
    }
    return out;
}

std::string to_json(const host_facts& host, std::span<const row> rows) {
    using nlohmann::ordered_json;
    ordered_json list = ordered_json::array();
    for (const row& one : rows) {
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
             {"reference_value", spread_of(one.reference_values).median},
             {"ratio", {{"median", ratio.median}, {"min", ratio.min}, {"max", ratio.max}}},
             {"better", one.direction == better::higher ? "higher" : "lower"},
             {"reach", one.reach ? ordered_json(*one.reach) : ordered_json(nullptr)},
             {"ok", one.ok()},
             {"faults", one.faults}});
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
