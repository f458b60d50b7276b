// SPDX-License-Identifier: Apache-2.0
//
// One run of one design, and how runs become rows: ours and its reference in turn, so that what the
// machine does to both cancels out in each round's ratio. Used by the measuring thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "row.hpp"
#include "suites.hpp"

namespace ropeway::bench {

/// Sanitizers bring a malloc of their own, which none can stand in front of, make system calls, and
/// find fault with code of other libraries: what counts calls, and references that are not ours,
/// are left out then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool only_our_code = true;
#else
inline constexpr bool only_our_code = false;
#endif

/// What a run came to.
struct measured {
    double value = 0;
    std::vector<std::string> faults{};  ///< wrong counts, order, checksums
};
using design = std::function<measured()>;

/// Fills the row's rounds. Without a reference the row is absolute.
void measure(row& into, const plan& how, const design& ours, const design& reference = {});

/// The middle one of some ticks, which it reorders; 0 if there are none.
[[nodiscard]] std::uint64_t median_of(std::vector<std::uint64_t>& ticks);

/// Adds a fault unless both are equal.
void expect(std::uint64_t is, std::uint64_t must, const std::string& what,
            std::vector<std::string>& faults);

}  // namespace ropeway::bench
