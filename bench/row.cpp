// SPDX-License-Identifier: Apache-2.0
#include "row.hpp"

#include <algorithm>

namespace ropeway::bench {

spread spread_of(std::vector<double> values) {
    if (values.empty()) {
        return {};
    }
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    const double median =
        values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
    return {median, values.front(), values.back()};
}

spread row::ratio() const {
    if (absolute) {
        return spread_of(values);
    }
    std::vector<double> ratios;
    const std::size_t rounds = std::min(values.size(), reference_values.size());
    for (std::size_t i = 0; i < rounds; ++i) {
        if (reference_values[i] > 0) {
            ratios.push_back(values[i] / reference_values[i]);
        }
    }
    return spread_of(std::move(ratios));
}

bool row::ok() const {
    if (!faults.empty()) {
        return false;
    }
    if (!reach || !skipped.empty()) {
        return true;
    }
    const spread all = ratio();
    const double best = direction == better::higher ? all.max : all.min;
    const double now = best_counts ? best : all.median;
    return direction == better::higher ? now >= *reach : now <= *reach;
}

row row_defaults::with(row own) const {
    own.suite = suite;
    own.what += conditions;
    if (own.metric.empty()) {
        own.metric = metric;
        own.unit = unit;
        own.direction = direction;
    }
    return own;
}

}  // namespace ropeway::bench
