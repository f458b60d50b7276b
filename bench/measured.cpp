// SPDX-License-Identifier: Apache-2.0
#include "measured.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>

namespace ropeway::bench {
namespace {

void take(row& into, std::vector<double>& values, const measured& run) {
    values.push_back(run.value);
    into.faults.insert(into.faults.end(), run.faults.begin(), run.faults.end());
}

}  // namespace

void measure(row& into, const plan& how, const design& ours, const design& reference) {
    into.absolute = !reference;
    for (unsigned round = 0; round < how.rounds; ++round) {
        show_progress(into.id, round, how.rounds);
        if (reference) {
            take(into, into.reference_values, reference());
        }
        take(into, into.values, ours());
    }
}

void show_progress(std::string_view what, unsigned round, unsigned rounds) {
    if (::isatty(STDERR_FILENO) == 0) {
        return;
    }
    std::fprintf(stderr, "\r\033[K%.*s: round %u of %u", static_cast<int>(what.size()), what.data(),
                 round + 1, rounds);
    if (round + 1 == rounds) {
        std::fputs("\r\033[K", stderr);
    }
}

std::uint64_t median_of(std::vector<std::uint64_t>& ticks) {
    if (ticks.empty()) {
        return 0;
    }
    const auto middle = ticks.begin() + static_cast<std::ptrdiff_t>(ticks.size() / 2);
    std::nth_element(ticks.begin(), middle, ticks.end());
    return *middle;
}

void expect(std::uint64_t is, std::uint64_t must, const std::string& what,
            std::vector<std::string>& faults) {
    if (is != must) {
        faults.push_back(what + ": " + std::to_string(is) + " instead of " + std::to_string(must));
    }
}

}  // namespace ropeway::bench
