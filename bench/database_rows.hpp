// SPDX-License-Identifier: Apache-2.0
//
// The rows that need a PostgreSQL server: what they are, whether or not this machine can measure
// them. Constant; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "row.hpp"

namespace ropeway::bench {

/// One of them, without values. @throws std::out_of_range
[[nodiscard]] row database_row(std::string_view id);
/// All of a suite, each with the reason why it is not measured.
[[nodiscard]] std::vector<row> unmeasured(std::string_view suite, const std::string& why);

}  // namespace ropeway::bench
