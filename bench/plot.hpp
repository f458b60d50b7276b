// SPDX-License-Identifier: Apache-2.0
//
// A line plot as SVG, one file, nothing fetched. Plain values; any thread.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace ropeway::bench {

struct line {
    std::string name;
    std::vector<double> y;  ///< one for each x; all above 0
};

struct plot {
    std::string title{};
    std::string below{};   ///< what the x axis is
    std::string beside{};  ///< what the y axis is
    std::string note{};    ///< on what it was measured
    std::vector<double> x{};
    std::vector<line> lines{};
    bool log_y = false;
};

/// The x axis is logarithmic, with a mark at each measured point.
[[nodiscard]] std::string to_svg(const plot& what);

}  // namespace ropeway::bench
