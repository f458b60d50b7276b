// SPDX-License-Identifier: Apache-2.0
//
// Reading of results.
#include <ropeway/pool/postgres/result.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <system_error>

#include "pq.hpp"

namespace ropeway::postgres {

namespace {

[[nodiscard]] PGresult* pg(const result::native& held) noexcept {
    return static_cast<PGresult*>(held.get());
}

template <class T>
bool parse_number(std::string_view text, T& to) noexcept {
    const auto read = std::from_chars(text.data(), text.data() + text.size(), to);
    return read.ec == std::errc{} && read.ptr == text.data() + text.size();
}

[[nodiscard]] int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

namespace detail {

bool parse(std::string_view text, bool& to) noexcept {
    to = text == "t";
    return to || text == "f";
}

bool parse(std::string_view text, std::int64_t& to) noexcept { return parse_number(text, to); }
bool parse(std::string_view text, std::uint64_t& to) noexcept { return parse_number(text, to); }

bool parse(std::string_view text, double& to) noexcept {
    if (text == "NaN") {
        to = std::numeric_limits<double>::quiet_NaN();
        return true;
    }
    if (text == "Infinity" || text == "-Infinity") {
        const double infinity = std::numeric_limits<double>::infinity();
        to = text.front() == '-' ? -infinity : infinity;
        return true;
    }
    return parse_number(text, to);
}

bool parse(std::string_view text, std::vector<std::byte>& to) {
    if (!text.starts_with("\\x") || text.size() % 2 != 0) {
        return false;
    }
    to.clear();
    to.reserve(text.size() / 2 - 1);
    for (std::size_t at = 2; at < text.size(); at += 2) {
        const int high = hex_digit(text[at]);
        const int low = hex_digit(text[at + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to.push_back(static_cast<std::byte>(high * 16 + low));
    }
    return true;
}

std::uint64_t changed_rows(const PGresult* answer) noexcept {
    constexpr std::array<std::string_view, 5> changing{"INSERT", "UPDATE", "DELETE", "MERGE",
                                                       "COPY"};
    // libpq takes no const here, and changes nothing.
    auto* const from = const_cast<PGresult*>(answer);
    const std::string_view tag = or_empty(PQcmdStatus(from));
    std::uint64_t count = 0;
    if (std::find(changing.begin(), changing.end(), tag.substr(0, tag.find(' '))) !=
        changing.end()) {
        parse(or_empty(PQcmdTuples(from)), count);
    }
    return count;
}

}  // namespace detail

result::result(native rows) noexcept : native_(std::move(rows)) {
    rows_ = static_cast<std::uint32_t>(PQntuples(pg(native_)));
    columns_ = static_cast<std::uint32_t>(PQnfields(pg(native_)));
}

std::uint64_t result::affected() const noexcept {
    return native_ ? detail::changed_rows(pg(native_)) : 0;
}

std::string_view result::tag() const noexcept {
    return native_ ? detail::or_empty(PQcmdStatus(pg(native_))) : "";
}

std::optional<std::size_t> result::column(const std::string& name) const noexcept {
    for (std::size_t at = 0; at < columns_; ++at) {
        if (name == PQfname(pg(native_), static_cast<int>(at))) {
            return at;
        }
    }
    return std::nullopt;
}

std::string result::column_name(std::size_t column) const {
    return column < columns_ ? detail::or_empty(PQfname(pg(native_), static_cast<int>(column)))
                             : "";
}

bool result::is_null(std::size_t row, std::size_t column) const noexcept {
    return row >= rows_ || column >= columns_ ||
           PQgetisnull(pg(native_), static_cast<int>(row), static_cast<int>(column)) != 0;
}

std::string_view result::text(std::size_t row, std::size_t column) const noexcept {
    if (row >= rows_ || column >= columns_) {
        return {};
    }
    const int at_row = static_cast<int>(row);
    const int at_column = static_cast<int>(column);
    return {PQgetvalue(pg(native_), at_row, at_column),
            static_cast<std::size_t>(PQgetlength(pg(native_), at_row, at_column))};
}

void result::refuse(std::size_t row, std::size_t column) const {
    const std::string place = "row " + std::to_string(row) + ", column " + std::to_string(column);
    if (row >= rows_ || column >= columns_) {
        throw bad_value(place + ": outside a result of " + std::to_string(rows_) + " rows and " +
                        std::to_string(columns_) + " columns");
    }
    if (is_null(row, column)) {
        throw bad_value(place + " (" + column_name(column) +
                        ") is null. Suggestion: get<std::optional<...>>()");
    }
    throw bad_value(place + " (" + column_name(column) + ") is not of the type asked for: '" +
                    std::string(text(row, column).substr(0, 64)) + "'");
}

}  // namespace ropeway::postgres
