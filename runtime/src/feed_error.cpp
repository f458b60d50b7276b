// SPDX-License-Identifier: Apache-2.0
//
// The text of a feed_error: one printable line, whatever the offending bytes were.
#include <ropeway/runtime/feed_error.hpp>

#include <cstddef>
#include <utility>

namespace ropeway {
namespace {

constexpr std::size_t longest_value = 80;

std::string printable(std::string_view value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const char c : value.substr(0, longest_value)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f) {
            text += c;
        } else {
            text += "\\x";
            text += digits[byte >> 4U];
            text += digits[byte & 0xfU];
        }
    }
    if (value.size() > longest_value) {
        text += "...";
    }
    return text;
}

std::string one_line(const feed_place& place, std::string_view problem, const std::string& value,
                     std::string_view remedy) {
    std::string text = printable(place.name);
    if (place.line != 0) {
        text += ", line " + std::to_string(place.line);
    }
    if (place.line != 0 || place.offset != 0) {
        text += ", byte " + std::to_string(place.offset);
    }
    if (!text.empty()) {
        text += ": ";
    }
    text += problem;
    if (!value.empty()) {
        text += ": '" + value + "'";
    }
    if (!remedy.empty()) {
        text += "; ";
        text += remedy;
    }
    return text;
}

}  // namespace

std::string_view to_string(feed_fault fault) noexcept {
    switch (fault) {
        case feed_fault::cannot_open: return "cannot_open";
        case feed_fault::read_failed: return "read_failed";
        case feed_fault::empty: return "empty";
        case feed_fault::unknown_format: return "unknown_format";
        case feed_fault::unsupported: return "unsupported";
        case feed_fault::truncated: return "truncated";
        case feed_fault::corrupt: return "corrupt";
        case feed_fault::bad_value: return "bad_value";
        case feed_fault::out_of_order: return "out_of_order";
        case feed_fault::too_many_instruments: return "too_many_instruments";
    }
    return "unknown";
}

feed_error::feed_error(feed_fault fault, feed_place place, std::string_view problem,
                       std::string_view value, std::string_view remedy)
    : std::runtime_error(one_line(place, problem, printable(value), remedy)),
      fault_(fault),
      place_(std::move(place)),
      problem_(problem),
      value_(printable(value)),
      remedy_(remedy) {}

}  // namespace ropeway
