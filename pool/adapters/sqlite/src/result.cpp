// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/result.hpp>

#include <algorithm>
#include <array>
#include <charconv>

namespace ropeway::sqlite {

std::optional<std::size_t> result::column(std::string_view name) const noexcept {
    const auto found = std::ranges::find(names_, name);
    if (found == names_.end()) {
        return std::nullopt;
    }
    return static_cast<std::size_t>(found - names_.begin());
}

std::string_view result::column_name(std::size_t column) const noexcept {
    return column < columns() ? std::string_view{names_[column]} : std::string_view{};
}

const result::cell& result::at(std::size_t row, std::size_t column) const noexcept {
    static const cell null{};
    return row < rows() && column < columns() ? cells_[row * columns() + column] : null;
}

bool result::is_null(std::size_t row, std::size_t column) const noexcept {
    return std::holds_alternative<std::monostate>(at(row, column));
}

std::string result::text(std::size_t row, std::size_t column) const {
    const cell& one = at(row, column);
    if (const auto* number = std::get_if<std::int64_t>(&one)) {
        return std::to_string(*number);
    }
    if (const auto* number = std::get_if<double>(&one)) {
        std::array<char, 32> digits{};  // the shortest that reads back as the same number
        const auto end = std::to_chars(digits.begin(), digits.end(), *number).ptr;
        return {digits.begin(), end};
    }
    if (const auto* bytes = std::get_if<std::vector<std::byte>>(&one)) {
        return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
    }
    const auto* text = std::get_if<std::string>(&one);
    return text != nullptr ? *text : std::string{};
}

void result::refuse(std::size_t row, std::size_t column) const {
    constexpr std::array<const char*, 5> types{"NULL", "INTEGER", "REAL", "TEXT", "BLOB"};
    std::string place = "row " + std::to_string(row) + ", column " + std::to_string(column);
    if (row >= rows() || column >= columns()) {
        throw bad_value(place + " is outside the result: it has " + std::to_string(rows()) +
                        " rows and " + std::to_string(columns()) + " columns");
    }
    throw bad_value(place + " (" + names_[column] + ") is " + types[at(row, column).index()] +
                    " and does not fit the type asked for; ask for std::optional where NULL may "
                    "come");
}

}  // namespace ropeway::sqlite
