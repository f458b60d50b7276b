// SPDX-License-Identifier: Apache-2.0
//
// How rate, publish cost and latency grow: with consumers, with the ring's capacity, with the
// payload. Called by the measuring thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "host.hpp"
#include "suites.hpp"

namespace ropeway::bench {

/// File names and their SVG. Throws std::runtime_error when a count is wrong.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> plots_of_growth(
    const host_facts& host, const plan& how);

}  // namespace ropeway::bench
