// SPDX-License-Identifier: Apache-2.0
//
// One parameter of a statement. Refers to the caller's text or bytes, which must live until the
// call that takes it returns. A plain value; allocates nothing.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace ropeway::sqlite {

/// Whole numbers that fit SQLite's 64-bit signed INTEGER.
template <class T>
concept integer_value = std::integral<T> &&(std::signed_integral<T> || sizeof(T) < 8);

class parameter {
  public:
    parameter(std::nullptr_t) noexcept {}
    template <integer_value T>
    parameter(T number) noexcept : held_(static_cast<std::int64_t>(number)) {}
    parameter(double number) noexcept : held_(number) {}
    parameter(std::string_view text) noexcept : held_(text) {}
    parameter(const char* text) noexcept : held_(std::string_view{text}) {}
    parameter(const std::string& text) noexcept : held_(std::string_view{text}) {}
    parameter(std::span<const std::byte> bytes) noexcept : held_(bytes) {}
    /// NULL if empty.
    template <class T>
    parameter(const std::optional<T>& maybe) noexcept
        : parameter(maybe ? parameter{*maybe} : parameter{nullptr}) {}

    using holder = std::variant<std::monostate, std::int64_t, double, std::string_view,
                                std::span<const std::byte>>;
    [[nodiscard]] const holder& held() const noexcept { return held_; }

  private:
    holder held_{};
};

}  // namespace ropeway::sqlite
