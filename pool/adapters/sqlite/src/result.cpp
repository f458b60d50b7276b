// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/result.hpp>

#include <stdexcept>

namespace ropeway::sqlite {

namespace {

[[noreturn]] void out_of_range(const char* what, std::size_t index, std::size_t size) {
    throw std::out_of_range(std::string{what} + ' ' + std::to_string(index) +
                            " does not exist: the result has " + std::to_string(size));
}

}  // namespace

std::string_view result::column_name(std::size_t column) const {
    if (column >= columns()) {
        out_of_range("column", column, columns());
    }
    return names_[column];
}

const result::cell& result::at(std::size_t row, std::size_t column) const {
    if (column >= columns()) {
        out_of_range("column", column, columns());
    }
    if (row >= rows()) {
        out_of_range("row", row, rows());
    }
    return cells_[row * columns() + column];
}

bool result::is_null(std::size_t row, std::size_t column) const {
    return std::holds_alternative<std::monostate>(at(row, column));
}

std::int64_t result::integer(std::size_t row, std::size_t column) const {
    if (const auto* number = std::get_if<std::int64_t>(&at(row, column))) {
        return *number;
    }
    refuse(row, column, "a whole number");
}

double result::real(std::size_t row, std::size_t column) const {
    const cell& one = at(row, column);
    if (const auto* number = std::get_if<double>(&one)) {
        return *number;
    }
    if (const auto* number = std::get_if<std::int64_t>(&one)) {
        return static_cast<double>(*number);
    }
    refuse(row, column, "a number");
}

std::string_view result::text(std::size_t row, std::size_t column) const {
    if (const auto* text = std::get_if<std::string>(&at(row, column))) {
        return *text;
    }
    refuse(row, column, "text");
}

const std::vector<std::byte>& result::bytes(std::size_t row, std::size_t column) const {
    if (const auto* bytes = std::get_if<std::vector<std::byte>>(&at(row, column))) {
        return *bytes;
    }
    refuse(row, column, "bytes");
}

void result::refuse(std::size_t row, std::size_t column, const char* wanted) const {
    constexpr const char* types[] = {"NULL", "INTEGER", "REAL", "TEXT", "BLOB"};
    throw std::invalid_argument("row " + std::to_string(row) + ", column " +
                                std::to_string(column) + " (" + names_[column] + ") is " +
                                types[at(row, column).index()] + ", not " + wanted +
                                "; ask for std::optional where NULL may come");
}

}  // namespace ropeway::sqlite
