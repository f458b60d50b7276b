// SPDX-License-Identifier: Apache-2.0
//
// What a statement returned: its rows, copied out, or why it failed. Owned by whoever asked;
// outlives its connection. One thread at a time. Allocates for the rows.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <ropeway/pool/resource_error.hpp>

namespace ropeway::sqlite {

namespace detail {
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
}  // namespace detail

/// Thrown by result::get() for a value that is null, or is not what was asked for.
class bad_value : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

class [[nodiscard]] result {
  public:
    /// NULL, INTEGER, REAL, TEXT, BLOB.
    using cell =
        std::variant<std::monostate, std::int64_t, double, std::string, std::vector<std::byte>>;

    result() = default;
    /// A failure.
    result(resource_error why) : error_(std::move(why)) {}

    /// True if the statement succeeded.
    [[nodiscard]] explicit operator bool() const noexcept { return !error_; }
    /// Kind none on success.
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }

    [[nodiscard]] std::size_t rows() const noexcept {
        return names_.empty() ? 0 : cells_.size() / names_.size();
    }
    [[nodiscard]] std::size_t columns() const noexcept { return names_.size(); }
    /// The column of that name, if there is one.
    [[nodiscard]] std::optional<std::size_t> column(std::string_view name) const noexcept;
    /// Empty outside the result.
    [[nodiscard]] std::string_view column_name(std::size_t column) const noexcept;
    /// Rows inserted, updated or deleted by the statement itself; 0 for others.
    [[nodiscard]] std::uint64_t affected() const noexcept { return affected_; }
    /// The rowid of the latest insert on the connection.
    [[nodiscard]] std::int64_t last_insert_id() const noexcept { return last_insert_id_; }

    /// True for SQL null, and for a place outside the result.
    [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const noexcept;
    /// The value as SQLite holds it; null outside the result.
    [[nodiscard]] const cell& at(std::size_t row, std::size_t column) const noexcept;
    /// The value as text, numbers as SQL writes them; empty if null. Allocates.
    [[nodiscard]] std::string text(std::size_t row, std::size_t column) const;

    /// The value as T: bool, an integer, double, std::string, std::string_view (valid as long as
    /// the result), std::vector<std::byte>, or std::optional of those (empty for null).
    /// @throws bad_value, naming the column
    template <class T>
    [[nodiscard]] T get(std::size_t row, std::size_t column) const {
        if constexpr (detail::is_optional<T>) {
            if (row < rows() && column < columns() && is_null(row, column)) {
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
    /// The same without exceptions: empty if null or not a T.
    template <class T>
    [[nodiscard]] std::optional<T> try_get(std::size_t row, std::size_t column) const {
        const cell& one = at(row, column);
        if constexpr (std::same_as<T, bool>) {
            const auto* const number = std::get_if<std::int64_t>(&one);
            return number != nullptr ? std::optional<T>{*number != 0} : std::nullopt;
        } else if constexpr (std::integral<T>) {
            const auto* const number = std::get_if<std::int64_t>(&one);
            return number != nullptr && std::in_range<T>(*number)
                       ? std::optional<T>{static_cast<T>(*number)}
                       : std::nullopt;
        } else if constexpr (std::floating_point<T>) {
            if (const auto* const number = std::get_if<std::int64_t>(&one)) {
                return static_cast<T>(*number);
            }
            const auto* const number = std::get_if<double>(&one);
            return number != nullptr ? std::optional<T>{static_cast<T>(*number)} : std::nullopt;
        } else if constexpr (std::same_as<T, std::vector<std::byte>>) {
            const auto* const bytes = std::get_if<T>(&one);
            return bytes != nullptr ? std::optional<T>{*bytes} : std::nullopt;
        } else {
            static_assert(std::same_as<T, std::string> || std::same_as<T, std::string_view>,
                          "no such type in SQLite");
            const auto* const text = std::get_if<std::string>(&one);
            return text != nullptr ? std::optional<T>{*text} : std::nullopt;
        }
    }

  private:
    friend class statement;
    [[noreturn]] void refuse(std::size_t row, std::size_t column) const;

    std::vector<std::string> names_{};
    std::vector<cell> cells_{};  ///< row by row
    std::uint64_t affected_ = 0;
    std::int64_t last_insert_id_ = 0;
    resource_error error_{};
};

}  // namespace ropeway::sqlite
