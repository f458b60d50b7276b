// SPDX-License-Identifier: Apache-2.0
//
// One value given to a statement, or one field of a COPY row. A plain value that owns its bytes;
// any thread. Allocation: text longer than a std::string keeps in place, and bytes.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ropeway::postgres {

/// Null, a boolean, an integer of 2, 4 or 8 bytes, a double, text, or bytes (bytea). Statements
/// get numbers and text as text, whose type the server infers from the statement; a binary COPY
/// gets each in the width it has here, which must be the column's. Text holds no zero byte, which
/// PostgreSQL refuses: a statement with such text is not sent.
class parameter {
  public:
    using bytes = std::vector<std::byte>;
    using variant = std::variant<std::monostate, bool, std::int16_t, std::int32_t, std::int64_t,
                                 double, std::string, bytes>;

    parameter(std::nullptr_t) noexcept {}
    parameter(std::nullopt_t) noexcept {}
    parameter(std::same_as<bool> auto truth) noexcept : value_(truth) {}
    /// Unsigned integers take the next wider signed one; one that fits none becomes text.
    template <std::integral T>
    requires(!std::same_as<T, bool> && !std::same_as<T, char>) parameter(T number)
        : value_(of_integer(number)) {}
    parameter(std::floating_point auto number) noexcept : value_(static_cast<double>(number)) {}
    parameter(const char* text) : value_(std::string(text)) {}
    parameter(std::string_view text) : value_(std::string(text)) {}
    parameter(std::string text) noexcept : value_(std::move(text)) {}
    parameter(bytes data) noexcept : value_(std::move(data)) {}
    parameter(std::span<const std::byte> data) : value_(bytes(data.begin(), data.end())) {}
    template <class T>
    parameter(const std::optional<T>& maybe) : parameter(maybe ? parameter(*maybe) : nullptr) {}

    [[nodiscard]] const variant& value() const noexcept { return value_; }
    [[nodiscard]] bool is_null() const noexcept { return value_.index() == 0; }

  private:
    template <class T>
    static variant of_integer(T number) {
        if constexpr (sizeof(T) < 2 || std::same_as<T, std::int16_t>) {
            return static_cast<std::int16_t>(number);
        } else if constexpr (sizeof(T) < 4 || (sizeof(T) == 4 && std::signed_integral<T>)) {
            return static_cast<std::int32_t>(number);
        } else if constexpr (std::signed_integral<T> || sizeof(T) == 4) {
            return static_cast<std::int64_t>(number);
        } else {
            if (number > static_cast<T>(std::numeric_limits<std::int64_t>::max())) {
                return std::to_string(number);
            }
            return static_cast<std::int64_t>(number);
        }
    }

    variant value_{};
};

}  // namespace ropeway::postgres
