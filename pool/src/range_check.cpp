// SPDX-License-Identifier: Apache-2.0
//
// The words in which a parameter out of range is refused. Pure.
#include "range_check.hpp"

#include <array>
#include <cstdio>
#include <stdexcept>

namespace ropeway::detail {
namespace {

std::string range_text(const time_range& range) {
    std::string text = range.or_zero ? "0 or from " : "from ";
    return text.append(exact_text(range.low)).append(" to ").append(exact_text(range.high));
}

}  // namespace

std::string exact_text(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.9g", value);
    return text.data();
}

std::string exact_text(std::chrono::milliseconds time) {
    const bool whole_seconds = time.count() % 1000 == 0 && time.count() != 0;
    return whole_seconds ? std::to_string(time.count() / 1000) + " s"
                         : std::to_string(time.count()) + " ms";
}

void refuse(std::string_view name, std::string_view value, std::string_view range,
            std::string_view suggestion) {
    std::string text{name};
    text.append(" (").append(value).append(") must be ").append(range);
    text.append(". Suggestion: ").append(suggestion);
    throw std::invalid_argument{text};
}

void require_in(std::string_view name, std::chrono::milliseconds value, time_range range,
                std::string_view suggestion) {
    const bool never = range.or_zero && value.count() == 0;
    if (!never && (value < range.low || value > range.high)) {
        refuse(name, exact_text(value), range_text(range), suggestion);
    }
}

void require_in(std::string_view name, std::uint64_t value, std::uint64_t low, std::uint64_t high,
                std::string_view suggestion) {
    if (value < low || value > high) {
        refuse(name, std::to_string(value),
               "from " + std::to_string(low) + " to " + std::to_string(high), suggestion);
    }
}

void require_share(std::string_view name, double value, double high, std::string_view suggestion) {
    // Written so that a value that is no number is refused too.
    if (!(value >= 0.0 && value <= high)) {
        refuse(name, exact_text(value), "from 0 to " + exact_text(high), suggestion);
    }
}

}  // namespace ropeway::detail
