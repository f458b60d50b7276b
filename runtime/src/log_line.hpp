// SPDX-License-Identifier: Apache-2.0
//
// Turns a record into its line: pure functions, no clock, no file. Any thread. Private.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <ropeway/runtime/logging.hpp>

namespace ropeway::detail {

/// One record before it is a line.
struct log_record {
    std::int64_t at_ns = 0;  ///< UNIX epoch
    log_level level = log_level::info;
    std::string_view message;
    std::span<const log_field> fields;
    std::uint64_t suppressed = 0;  ///< records of the same message not written before this one
};

/// The record's line, without an end of line. Texts are cut at `max_text_bytes`. The line holds no
/// control character and is valid UTF-8, whatever the record holds.
[[nodiscard]] std::string to_line(const log_record& record, log_format format,
                                  std::size_t max_text_bytes);

/// 32 lower-case hexadecimal digits.
void append_trace(std::string& out, const trace_id& trace);

/// "2024-02-29T23:59:59.000000001Z".
void append_time(std::string& out, std::int64_t ns_since_epoch);

}  // namespace ropeway::detail
