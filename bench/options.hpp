// SPDX-License-Identifier: Apache-2.0
//
// The command line of ropeway-bench. Plain values; one thread.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "suites.hpp"

namespace ropeway::bench {

/// A command line that cannot be served; what() names the argument and the remedy.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct options {
    bool help = false;
    std::string suite{};  ///< empty: all
    std::string json{};   ///< empty: no file
    std::string hgrm{};   ///< folder for distributions; empty: none
    std::string plots{};  ///< folder for plots of growth; empty: none
    plan how{};
};

inline constexpr std::string_view usage =
    R"(usage: ropeway-bench [--suite NAME] [--rounds N] [--quick] [--json FILE] [--hgrm FOLDER] [--plots FOLDER]

Measures Ropeway and its references in turn, in one run, and compares them by the ratio of neighbouring
runs. Every run's counts, order and checksums are verified.

  --suite NAME   only this suite: recycle, fanout, publish, latency, isolation, efficiency, dbpool,
                 dbload (default: all)
  --rounds N     of each row, 1 to 99 (default 9)
  --quick        3 rounds of a tenth of the events: below a minute, wider spreads
  --json FILE    also writes the rows as JSON
  --hgrm FOLDER  also writes the distribution of each row that times single events, as HdrHistogram text
  --plots FOLDER also measures how rate, publish cost and p50 grow with consumers, ring and payload, and
                 writes the plots as SVG; without --suite nothing else is measured

Exit: 0; 1 when a count, an order or a checksum is wrong, or FILE cannot be written; 2 bad usage. A ratio out
of reach is marked in the table and in the file, and is not an error: it may be the machine's noise.
)";

/// @throws usage_error.
[[nodiscard]] options parse(std::span<const char* const> arguments);

}  // namespace ropeway::bench
