// SPDX-License-Identifier: Apache-2.0
//
// Times as people read them, three digits at most. Pure; any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <string>

namespace ropeway::detail {

/// "850 us", "12.5 ms", "41.2 s", "7 min 5 s".
[[nodiscard]] inline std::string duration_text(std::chrono::nanoseconds time) {
    std::array<char, 48> text{};
    const auto ns = static_cast<double>(time.count());
    const auto digits = [](double value) { return value < 100.0 ? 1 : 0; };
    if (ns < 999.5e3) {
        std::snprintf(text.data(), text.size(), "%.0f us", ns / 1e3);
    } else if (ns < 999.5e6) {
        std::snprintf(text.data(), text.size(), "%.*f ms", digits(ns / 1e6), ns / 1e6);
    } else if (ns < 600e9) {
        std::snprintf(text.data(), text.size(), "%.*f s", digits(ns / 1e9), ns / 1e9);
    } else {
        const auto whole = std::chrono::duration_cast<std::chrono::seconds>(time).count();
        std::snprintf(text.data(), text.size(), "%lld min %lld s",
                      static_cast<long long>(whole / 60), static_cast<long long>(whole % 60));
    }
    return text.data();
}

}  // namespace ropeway::detail
