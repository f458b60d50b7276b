// SPDX-License-Identifier: Apache-2.0
//
// What a statement returned: its rows, copied out, or why it failed. Owned by whoever asked;
// outlives its connection. One thread at a time. Allocates for the rows.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
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
    /// @throws std::out_of_range
    [[nodiscard]] std::string_view column_name(std::size_t column) const;
    /// Rows inserted, updated or deleted by the statement itself; 0 for others.
    [[nodiscard]] std::int64_t rows_affected() const noexcept { return affected_; }
    /// The rowid of the latest insert on the connection.
    [[nodiscard]] std::int64_t last_insert_id() const noexcept { return last_insert_id_; }

    /// @throws std::out_of_range
    [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const;
    /// The value as SQLite holds it. @throws std::out_of_range
    [[nodiscard]] const cell& at(std::size_t row, std::size_t column) const;

    /// The value as T: a whole number, double, bool, std::string, std::string_view (valid while the
    /// result lives), std::vector<std::byte>, or a std::optional of one, which is empty for NULL.
    /// @throws std::out_of_range; std::invalid_argument naming the column if the value is NULL or
    /// of another type or range.
    template <class T>
    [[nodiscard]] T get(std::size_t row, std::size_t column) const {
        if constexpr (detail::is_optional<T>) {
            if (is_null(row, column)) {
                return std::nullopt;
            }
            return get<typename T::value_type>(row, column);
        } else if constexpr (std::same_as<T, bool>) {
            return integer(row, column) != 0;
        } else if constexpr (std::integral<T>) {
            const std::int64_t number = integer(row, column);
            if (!std::in_range<T>(number)) {
                refuse(row, column, "a whole number in the range asked for");
            }
            return static_cast<T>(number);
        } else if constexpr (std::same_as<T, double>) {
            return real(row, column);
        } else if constexpr (std::same_as<T, std::string_view>) {
            return text(row, column);
        } else if constexpr (std::same_as<T, std::string>) {
            return std::string{text(row, column)};
        } else {
            static_assert(std::same_as<T, std::vector<std::byte>>, "no such type in SQLite");
            return bytes(row, column);
        }
    }

  private:
    friend class statement;
    [[nodiscard]] std::int64_t integer(std::size_t row, std::size_t column) const;
    [[nodiscard]] double real(std::size_t row, std::size_t column) const;
    [[nodiscard]] std::string_view text(std::size_t row, std::size_t column) const;
    [[nodiscard]] const std::vector<std::byte>& bytes(std::size_t row, std::size_t column) const;
    [[noreturn]] void refuse(std::size_t row, std::size_t column, const char* wanted) const;

    std::vector<std::string> names_{};
    std::vector<cell> cells_{};  ///< row by row
    std::int64_t affected_ = 0;
    std::int64_t last_insert_id_ = 0;
    resource_error error_{};
};

}  // namespace ropeway::sqlite
