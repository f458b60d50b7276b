// SPDX-License-Identifier: Apache-2.0
//
// Refuses a parameter that is out of range: its name, its value, the range and what to do about it,
// in one sentence each. Pure; throws std::invalid_argument; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <ropeway/pool/liveness.hpp>
#include <ropeway/pool/reconnect_schedule.hpp>

namespace ropeway::detail {

/// "250 ms", "1.5 s", "30 s": the shortest exact way to write it.
[[nodiscard]] std::string exact_text(std::chrono::milliseconds time);
/// Without trailing zeros: "0.5".
[[nodiscard]] std::string exact_text(double value);

/// "NAME (VALUE) must be RANGE. Suggestion: SUGGESTION"
[[noreturn]] void refuse(std::string_view name, std::string_view value, std::string_view range,
                         std::string_view suggestion);

/// A range of times, both ends legal. `or_zero`: zero is legal too, and means never.
struct time_range {
    std::chrono::milliseconds low;
    std::chrono::milliseconds high;
    bool or_zero = false;
};
void require_in(std::string_view name, std::chrono::milliseconds value, time_range range,
                std::string_view suggestion);
void require_in(std::string_view name, std::uint64_t value, std::uint64_t low, std::uint64_t high,
                std::string_view suggestion);
void require_share(std::string_view name, double value, double high, std::string_view suggestion);

/// `prefix` stands before each field's name: "" or "liveness.".
void require_legal(const liveness_params& params, const std::string& prefix);
void require_legal(const reconnect_params& params, const std::string& prefix);

}  // namespace ropeway::detail
