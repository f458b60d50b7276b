// SPDX-License-Identifier: Apache-2.0
//
// What a command gave: rows, or a count of rows, or why it failed. Owns what it shows; outlives its
// connection. One thread at a time. Reading a value allocates only for text and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ropeway/pool/resource_error.hpp>

namespace ropeway::postgres {

/// Thrown by result::get() for a value that is null, or is not what was asked for.
class bad_value : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class [[nodiscard]] result {
  public:
    using native = std::unique_ptr<void, void (*)(void*)>;

    result(resource_error error) noexcept : error_(std::move(error)) {}
    explicit result(native rows) noexcept;

    /// True if the command succeeded.
    [[nodiscard]] explicit operator bool() const noexcept { return !error_; }
    /// Kind none if it succeeded.
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }

    /// Rows it returned; 0 on failure.
    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
    /// Rows that an INSERT, UPDATE, DELETE, MERGE or COPY changed; 0 for others.
    [[nodiscard]] std::uint64_t affected() const noexcept;
    /// "INSERT 0 1", "COMMIT"...; valid as long as the result.
    [[nodiscard]] std::string_view tag() const noexcept;
    /// The column of that name, if there is one.
    [[nodiscard]] std::optional<std::size_t> column(const std::string& name) const noexcept;
    [[nodiscard]] std::string column_name(std::size_t column) const;

    /// True for SQL null, and for a place outside the result.
    [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const noexcept;
    /// The value as the server wrote it; empty if null. Valid as long as the result.
    [[nodiscard]] std::string_view text(std::size_t row, std::size_t column) const noexcept;

    /// The value as T: bool, an integer, float, double, std::string, std::string_view (valid as
    /// long as the result), std::vector<std::byte> (bytea), or std::optional of those (empty for
    /// null). @throws bad_value
    template <class T>
    [[nodiscard]] T get(std::size_t row, std::size_t column) const;
    /// The same without exceptions: empty if null or not a T.
    template <class T>
    [[nodiscard]] std::optional<T> try_get(std::size_t row, std::size_t column) const;

  private:
    [[noreturn]] void refuse(std::size_t row, std::size_t column) const;

    native native_{nullptr, nullptr};
    std::uint32_t rows_ = 0;
    std::uint32_t columns_ = 0;
    resource_error error_{};
};

namespace detail {
bool parse(std::string_view text, bool& to) noexcept;
bool parse(std::string_view text, std::int64_t& to) noexcept;
bool parse(std::string_view text, std::uint64_t& to) noexcept;
bool parse(std::string_view text, double& to) noexcept;
bool parse(std::string_view text, std::vector<std::byte>& to);
template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
}  // namespace detail

template <class T>
std::optional<T> result::try_get(std::size_t row, std::size_t column) const {
    if (is_null(row, column)) {
        return std::nullopt;
    }
    const std::string_view value = text(row, column);
    if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view>) {
        return T(value);
    } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
        std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t> wide = 0;
        if (!detail::parse(value, wide) || !std::in_range<T>(wide)) {
            return std::nullopt;
        }
        return static_cast<T>(wide);
    } else if constexpr (std::is_floating_point_v<T>) {
        double number = 0;
        return detail::parse(value, number) ? std::optional<T>(static_cast<T>(number))
                                            : std::nullopt;
    } else {
        T to{};
        return detail::parse(value, to) ? std::optional<T>(std::move(to)) : std::nullopt;
    }
}

template <class T>
T result::get(std::size_t row, std::size_t column) const {
    if constexpr (detail::is_optional<T>::value) {
        if (row < rows_ && column < columns_ && is_null(row, column)) {
            return std::nullopt;
        }
        return get<typename T::value_type>(row, column);
    } else {
        std::optional<T> value = try_get<T>(row, column);
        if (!value) {
            refuse(row, column);
        }
        return *std::move(value);
    }
}

}  // namespace ropeway::postgres
