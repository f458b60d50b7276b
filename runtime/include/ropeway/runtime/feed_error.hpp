// SPDX-License-Identifier: Apache-2.0
//
// Why a feed could not go on: a typed error that names the file, the place in it, the offending
// value and the remedy. A value; thrown by the factories and by feed::next(), on the feed's own
// thread, never on the event path of a dispatcher.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ropeway {

/// What is wrong with a feed's input.
enum class feed_fault : std::uint8_t {
    cannot_open,           ///< missing, unreadable, or a directory
    read_failed,           ///< the system refused a read in mid-file
    empty,                 ///< no byte, or no event after the header
    unknown_format,        ///< none of the formats that open_feed() knows
    unsupported,           ///< a known format in a variant that is not read
    truncated,             ///< the input ends inside a header, record, row or member
    corrupt,               ///< the structure contradicts itself
    bad_value,             ///< one field, or one parameter, holds what it cannot hold
    out_of_order,          ///< the receive clock jumps, back or forth
    too_many_instruments,  ///< the instrument table is full
};

[[nodiscard]] std::string_view to_string(feed_fault fault) noexcept;

/// Where in a feed's input.
struct feed_place {
    std::string name{};        ///< file name, or what the caller called the bytes
    std::uint64_t offset = 0;  ///< bytes from the start of the stream; unpacked bytes for .gz
    std::uint64_t line = 0;    ///< 1 = first; 0 = the format has no lines
};

/// The error. what() is one line: place, problem, value, remedy. Thread safety: a value.
class feed_error : public std::runtime_error {
  public:
    /// @param problem what is wrong, as a phrase; @param value the offending value, made printable
    /// and cut to 80 characters here; @param remedy what the reader of the message can do.
    feed_error(feed_fault fault, feed_place place, std::string_view problem, std::string_view value,
               std::string_view remedy);

    [[nodiscard]] feed_fault fault() const noexcept { return fault_; }
    [[nodiscard]] const feed_place& place() const noexcept { return place_; }
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
    [[nodiscard]] const std::string& value() const noexcept { return value_; }
    [[nodiscard]] const std::string& remedy() const noexcept { return remedy_; }

  private:
    feed_fault fault_;
    feed_place place_;
    std::string problem_;
    std::string value_;
    std::string remedy_;
};

}  // namespace ropeway
