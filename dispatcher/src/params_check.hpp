// SPDX-License-Identifier: Apache-2.0
//
// Checks of parameters: std::invalid_argument with the field, its value and what is legal. Private.
#pragma once

#include <cstdint>
#include <string_view>

#include <ropeway/dispatcher/params.hpp>

namespace ropeway::detail {

/// Processors that this process may use, at least 1.
[[nodiscard]] unsigned processors_allowed() noexcept;

void in_range(std::string_view field, std::int64_t value, std::int64_t low, std::int64_t high);
/// Of a ring's capacity.
void power_of_two(std::string_view field, std::uint32_t value);
void check(std::string_view name, const subscription_params& params);
[[nodiscard]] dispatcher_params checked(dispatcher_params params);

}  // namespace ropeway::detail
