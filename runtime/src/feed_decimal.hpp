// SPDX-License-Identifier: Apache-2.0
//
// Private: exact parsing of the numbers in a text feed. Pure; any thread.
#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ropeway {

/// Digits, with at most 8 behind one optional point and at least one on each side of it, as an
/// integer in units of 10^-8. Nothing for anything else, and for what does not fit.
[[nodiscard]] constexpr std::optional<std::int64_t> parse_decimal(std::string_view text) noexcept {
    constexpr int scale_digits = 8;
    std::int64_t value = 0;
    int digits = 0;
    int fraction = -1;  // digits behind the point; -1 = no point yet
    for (const char c : text) {
        if (c == '.') {
            if (fraction >= 0 || digits == 0) {
                return std::nullopt;
            }
            fraction = 0;
            continue;
        }
        if (c < '0' || c > '9' || fraction == scale_digits) {
            return std::nullopt;
        }
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, c - '0', &value)) {
            return std::nullopt;
        }
        ++digits;
        fraction += fraction >= 0 ? 1 : 0;
    }
    if (digits == 0 || fraction == 0) {
        return std::nullopt;
    }
    for (int i = fraction < 0 ? 0 : fraction; i < scale_digits; ++i) {
        if (__builtin_mul_overflow(value, 10, &value)) {
            return std::nullopt;
        }
    }
    return value;
}

/// Digits only, in range.
template <std::integral Integer>
[[nodiscard]] std::optional<Integer> parse_integer(std::string_view text) noexcept {
    Integer value{};
    const auto* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stopped != end || text.starts_with('-')) {
        return std::nullopt;
    }
    return value;
}

}  // namespace ropeway
