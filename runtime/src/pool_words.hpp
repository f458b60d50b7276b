// SPDX-License-Identifier: Apache-2.0
//
// The texts of a pool's events, in the words that operators search for. Pure. Private.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <ropeway/pool/resource_event.hpp>
#include <ropeway/runtime/logging.hpp>

namespace ropeway::detail {

/// What a text needs beyond its event.
struct pool_sizes {
    std::uint32_t min_size = 0;
    std::uint32_t max_size = 0;
};

[[nodiscard]] log_level level_of(const resource_event& event) noexcept;

/// The record's message; an error's text in it is not yet masked.
[[nodiscard]] std::string message_of(const resource_event& event, const pool_sizes& sizes);

/// Seconds with at most three decimals: "1", "0.05", "16.312".
[[nodiscard]] std::string seconds_text(std::chrono::nanoseconds time);

}  // namespace ropeway::detail
