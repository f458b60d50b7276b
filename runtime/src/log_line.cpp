// SPDX-License-Identifier: Apache-2.0
#include "log_line.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <type_traits>

namespace ropeway::detail {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view hex_digits = "0123456789abcdef";

unsigned char byte_at(std::string_view text, std::size_t at) noexcept {
    return static_cast<unsigned char>(text[at]);
}

/// Length of the valid UTF-8 sequence at `at`; 0 when it is not valid (too long an encoding,
/// surrogate, beyond U+10FFFF, or cut).
std::size_t sequence_length(std::string_view text, std::size_t at) noexcept {
    const unsigned char first = byte_at(text, at);
    if (first < 0x80) {
        return 1;
    }
    const std::size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                               : first >= 0xE0 && first <= 0xEF ? 3
                               : first >= 0xF0 && first <= 0xF4 ? 4
                                                                : 0;
    if (length == 0 || at + length > text.size()) {
        return 0;
    }
    const unsigned char second = byte_at(text, at + 1);
    const unsigned char lowest = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned char highest = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (second < lowest || second > highest) {
        return 0;
    }
    for (std::size_t i = 2; i < length; ++i) {
        if ((byte_at(text, at + i) & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}

void append_control(std::string& out, unsigned char c, log_format format) {
    switch (c) {
        case '\n': out += "\\n"; return;
        case '\r': out += "\\r"; return;
        case '\t': out += "\\t"; return;
        default: break;
    }
    out += format == log_format::json ? "\\u00" : "\\x";
    out += hex_digits[c >> 4];
    out += hex_digits[c & 15];
}

/// Appends at most `limit` bytes of `text`, made safe inside double quotes (or, for the text
/// format, outside of them: then `quote` is false and quotes and backslashes stay).
void append_escaped(std::string& out, std::string_view text, log_format format, bool quote,
                    std::size_t limit) {
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t length = sequence_length(text, at);
        if (at + (length == 0 ? 1 : length) > limit) {
            out += "...";
            return;
        }
        const unsigned char c = byte_at(text, at);
        if (length == 0) {
            out += replacement;
        } else if (length > 1) {
            out += text.substr(at, length);
        } else if (c < 0x20 || c == 0x7F) {
            append_control(out, c, format);
        } else {
            if (quote && (c == '"' || c == '\\')) {
                out += '\\';
            }
            out += static_cast<char>(c);
        }
        at += length == 0 ? 1 : length;
    }
}

void append_quoted(std::string& out, std::string_view text, log_format format, std::size_t limit) {
    out += '"';
    append_escaped(out, text, format, true, limit);
    out += '"';
}

template <class Number>
void append_number(std::string& out, Number number) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out.append(digits.data(), end);
}

void append_padded(std::string& out, std::uint64_t number, std::size_t width) {
    std::array<char, 20> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    const auto length = static_cast<std::size_t>(end - digits.data());
    out.append(width > length ? width - length : 0, '0');
    out.append(digits.data(), length);
}

/// Text format: quotes only where a reader could not tell where the value ends.
bool needs_quotes(std::string_view text) noexcept {
    return text.empty() || text.find_first_of(" \"=\\") != std::string_view::npos;
}

void append_value(std::string& out, const log_field& field, log_format format, std::size_t limit) {
    std::visit(
        [&](const auto& value) {
            using value_type = std::remove_cvref_t<decltype(value)>;
            if constexpr (std::is_same_v<value_type, std::string_view>) {
                if (format == log_format::json || needs_quotes(value)) {
                    append_quoted(out, value, format, limit);
                } else {
                    append_escaped(out, value, format, false, limit);
                }
            } else if constexpr (std::is_same_v<value_type, trace_id>) {
                const std::string_view mark = format == log_format::json ? "\"" : "";
                out += mark;
                append_trace(out, value);
                out += mark;
            } else if constexpr (std::is_same_v<value_type, bool>) {
                out += value ? "true" : "false";
            } else if constexpr (std::is_same_v<value_type, double>) {
                if (std::isfinite(value)) {
                    append_number(out, value);
                } else {  // JSON has no such number
                    out += std::isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"";
                }
            } else {
                append_number(out, value);
            }
        },
        field.value());
}

/// A field named like one of our own would make an object with the same key twice.
bool reserved(std::string_view key) noexcept {
    return key == "time" || key == "level" || key == "message" || key == "suppressed";
}

void append_json(std::string& out, const log_record& record, std::size_t limit) {
    out += "{\"time\":\"";
    append_time(out, record.at_ns);
    out += "\",\"level\":\"";
    out += to_string(record.level);
    out += "\",\"message\":";
    append_quoted(out, record.message, log_format::json, limit);
    for (const log_field& field : record.fields) {
        out += ",\"";
        append_escaped(out, field.key(), log_format::json, true, limit);
        out += reserved(field.key()) ? "_\":" : "\":";
        append_value(out, field, log_format::json, limit);
    }
    if (record.suppressed != 0) {
        out += ",\"suppressed\":";
        append_number(out, record.suppressed);
    }
    out += '}';
}

void append_text(std::string& out, const log_record& record, std::size_t limit) {
    append_time(out, record.at_ns);
    out += " [";
    out += to_string(record.level);
    out += "] ";
    append_escaped(out, record.message, log_format::text, false, limit);
    for (const log_field& field : record.fields) {
        out += ' ';
        append_escaped(out, field.key(), log_format::text, false, limit);
        out += '=';
        append_value(out, field, log_format::text, limit);
    }
    if (record.suppressed != 0) {
        out += " suppressed=";
        append_number(out, record.suppressed);
    }
}

}  // namespace

void append_trace(std::string& out, const trace_id& trace) {
    for (const std::uint64_t half : {trace.high, trace.low}) {
        for (int shift = 60; shift >= 0; shift -= 4) {
            out += hex_digits[(half >> shift) & 15];
        }
    }
}

void append_time(std::string& out, std::int64_t ns_since_epoch) {
    using namespace std::chrono;
    const nanoseconds since{ns_since_epoch};
    const auto day = floor<days>(since);
    const year_month_day date{sys_days{day}};
    const hh_mm_ss<nanoseconds> time{since - day};
    append_padded(out, static_cast<std::uint64_t>(static_cast<int>(date.year())), 4);
    out += '-';
    append_padded(out, static_cast<unsigned>(date.month()), 2);
    out += '-';
    append_padded(out, static_cast<unsigned>(date.day()), 2);
    out += 'T';
    append_padded(out, static_cast<std::uint64_t>(time.hours().count()), 2);
    out += ':';
    append_padded(out, static_cast<std::uint64_t>(time.minutes().count()), 2);
    out += ':';
    append_padded(out, static_cast<std::uint64_t>(time.seconds().count()), 2);
    out += '.';
    append_padded(out, static_cast<std::uint64_t>(time.subseconds().count()), 9);
    out += 'Z';
}

std::string to_line(const log_record& record, log_format format, std::size_t max_text_bytes) {
    std::string out;
    out.reserve(256);
    if (format == log_format::json) {
        append_json(out, record, max_text_bytes);
    } else {
        append_text(out, record, max_text_bytes);
    }
    return out;
}

}  // namespace ropeway::detail
