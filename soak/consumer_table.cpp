// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <numeric>

#include "run.hpp"

namespace ropeway::soak {

std::string consumer_table(const run_result& of) {
    std::string out;
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "  %-12s %14s %12s %12s %12s %8s\n", "consumer", "done",
                  "filtered", "dropped", "failed", "stale");
    out += line.data();
    const auto sum = [](const kind_counts& counts) {
        return grouped(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}));
    };
    for (const consumer_counts& each : of.consumers) {
        std::snprintf(line.data(), line.size(), "  %-12s %14s %12s %12s %12s %8s\n",
                      each.name.c_str(), sum(each.done).c_str(), sum(each.filtered).c_str(),
                      sum(each.dropped).c_str(), sum(each.failed).c_str(),
                      grouped(each.stale_done).c_str());
        out += line.data();
    }
    return out;
}

}  // namespace ropeway::soak
