// SPDX-License-Identifier: Apache-2.0
//
// Two files of rows, compared by their ratios: what ran on another machine, or on a busier day, has
// other numbers but should have the same ratios. One thread.
#pragma once

#include <string>
#include <vector>

namespace ropeway::bench {

/// One row of both files.
struct compared {
    std::string id;
    double before = 0;  ///< median ratio
    double after = 0;
    double change = 0;     ///< positive: better; a share of `before`
    double tolerance = 0;  ///< the spread of both, and 15 %, as a share of `before`
    bool regressed = false;
};

struct comparison {
    std::vector<compared> rows{};
    std::vector<std::string> missing{};  ///< in the first file only
    [[nodiscard]] bool regressed() const noexcept;
};

/// @throws std::runtime_error, naming the file and what is wrong with it.
[[nodiscard]] comparison compare_files(const std::string& before, const std::string& after);
[[nodiscard]] std::string to_text(const comparison& what);

}  // namespace ropeway::bench
