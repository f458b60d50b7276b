// SPDX-License-Identifier: Apache-2.0
//
// Parameters as libpq wants them.
#include "parameters.hpp"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>

namespace ropeway::postgres::detail {

namespace {

// From the server's pg_type: the two types that must be said, since their values are not sent as
// text that any type can be read from.
constexpr Oid bool_type = 16;
constexpr Oid bytea_type = 17;

template <class T>
const char* digits(T number, number_room& room) noexcept {
    const auto written = std::to_chars(room.data(), room.data() + room.size() - 1, number);
    *written.ptr = '\0';
    return room.data();
}

const char* digits(double number, number_room& room) noexcept {
    if (std::isnan(number)) {
        return "NaN";
    }
    if (std::isinf(number)) {
        return number > 0 ? "Infinity" : "-Infinity";
    }
    return digits<double>(number, room);
}

}  // namespace

const char* as_text(const parameter& value, number_room& room) noexcept {
    return std::visit(
        [&room](const auto& held) noexcept -> const char* {
            using held_type = std::remove_cvref_t<decltype(held)>;
            if constexpr (std::is_same_v<held_type, bool>) {
                return held ? "t" : "f";
            } else if constexpr (std::is_same_v<held_type, std::string>) {
                return held.c_str();
            } else if constexpr (std::is_arithmetic_v<held_type>) {
                return digits(held, room);
            } else {
                return nullptr;
            }
        },
        value.value());
}

std::optional<resource_error> refusal_of(std::string_view text, std::span<const parameter> values) {
    const auto refuse = [](const std::string& what) {
        return resource_error{resource_error_kind::invalid,
                              {},
                              "not sent: " + what +
                                  " holds a zero byte, which PostgreSQL's text cannot. Suggestion: "
                                  "bytes as a parameter (bytea)"};
    };
    if (text.find('\0') != text.npos) {
        return refuse("the statement");
    }
    std::size_t number = 0;
    for (const parameter& each : values) {
        ++number;
        const auto* held = std::get_if<std::string>(&each.value());
        if (held != nullptr && held->find('\0') != held->npos) {
            return refuse("the text of parameter $" + std::to_string(number));
        }
    }
    return std::nullopt;
}

bound_parameters::bound_parameters(std::span<const parameter> values)
    : count_(values.size()),
      types_(count_),
      values_(count_),
      lengths_(count_),
      formats_(count_),
      rooms_(count_) {
    for (std::size_t at = 0; at < count_; ++at) {
        const parameter& value = values[at];
        types_.data()[at] = 0;
        formats_.data()[at] = 0;
        lengths_.data()[at] = 0;
        if (const auto* bytes = std::get_if<parameter::bytes>(&value.value())) {
            types_.data()[at] = bytea_type;
            formats_.data()[at] = 1;
            lengths_.data()[at] = static_cast<int>(bytes->size());
            // Null means SQL null to libpq: an empty value points somewhere all the same.
            const void* data = bytes->empty() ? "" : static_cast<const void*>(bytes->data());
            values_.data()[at] = static_cast<const char*>(data);
            continue;
        }
        if (std::holds_alternative<bool>(value.value())) {
            types_.data()[at] = bool_type;
        }
        values_.data()[at] = as_text(value, rooms_.data()[at]);
    }
}

}  // namespace ropeway::postgres::detail
