// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace ropeway::bench {
namespace {

constexpr double allowed = 0.15;

struct ratio_of_row {
    double median = 0;
    double min = 0;
    double max = 0;
    bool lower_is_better = false;
    [[nodiscard]] double spread() const noexcept {
        return median == 0 ? 0 : (max - min) / 2 / median;
    }
};

std::vector<std::pair<std::string, ratio_of_row>> read(const std::string& path) {
    std::ifstream file{path};
    if (!file) {
        throw std::runtime_error(path +
                                 ": cannot be read. Name a file that ./ropeway bench --json "
                                 "has written.");
    }
    std::vector<std::pair<std::string, ratio_of_row>> rows;
    try {
        const nlohmann::json whole = nlohmann::json::parse(file);
        if (const std::string schema = whole.at("schema"); schema != "ropeway-bench-1") {
            throw std::runtime_error(path + ": schema is \"" + schema +
                                     "\" instead of \"ropeway-bench-1\".");
        }
        for (const auto& one : whole.at("rows")) {
            const auto& ratio = one.at("ratio");
            rows.push_back({one.at("id"),
                            {ratio.at("median"), ratio.at("min"), ratio.at("max"),
                             one.at("better") == "lower"}});
        }
    } catch (const nlohmann::json::exception& bad) {
        throw std::runtime_error(path + ": " + bad.what());
    }
    return rows;
}

}  // namespace

bool comparison::regressed() const noexcept {
    return std::any_of(rows.begin(), rows.end(), [](const compared& one) { return one.regressed; });
}

comparison compare_files(const std::string& before, const std::string& after) {
    const auto old_rows = read(before);
    std::map<std::string, ratio_of_row> new_rows;
    for (auto& [id, ratio] : read(after)) {
        new_rows[id] = ratio;
    }
    comparison out;
    for (const auto& [id, was] : old_rows) {
        const auto found = new_rows.find(id);
        if (found == new_rows.end()) {
            out.missing.push_back(id);
            continue;
        }
        const ratio_of_row& now = found->second;
        compared one{.id = id, .before = was.median, .after = now.median};
        const double step = now.median - was.median;
        // A count that was 0 and is not any more has no share: any step is all of it.
        const double share = was.median != 0 ? step / was.median
                             : step == 0     ? 0
                                             : std::copysign(1e9, step);
        one.change = was.lower_is_better ? -share : share;
        one.tolerance = allowed + was.spread() + now.spread();
        one.regressed = one.change < -one.tolerance;
        out.rows.push_back(std::move(one));
    }
    return out;
}

std::string to_text(const comparison& what) {
    std::array<char, 160> text{};
    std::snprintf(text.data(), text.size(), "%-28s %10s %10s %9s %10s\n", "ratio of", "before",
                  "after", "change", "tolerated");
    std::string out = text.data();
    for (const compared& one : what.rows) {
        std::snprintf(text.data(), text.size(), "%-28s %10.3f %10.3f %+8.0f%% %9.0f%%  %s\n",
                      one.id.c_str(), one.before, one.after,
                      100 * std::clamp(one.change, -9.99, 9.99), 100 * one.tolerance,
                      one.regressed ? "REGRESSED" : "");
        out += text.data();
    }
    for (const std::string& id : what.missing) {
        out += id + ": only in the first file\n";
    }
    return out;
}

}  // namespace ropeway::bench
