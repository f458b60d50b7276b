// SPDX-License-Identifier: Apache-2.0
//
// The version of the library that a program was linked with. Owned by nobody; constant; any thread.
#pragma once

#include <string_view>

namespace ropeway {

/// The library's version, "major.minor.patch".
/// @return a view of static storage; never empty. Thread-safe, allocates nothing.
[[nodiscard]] std::string_view version() noexcept;

}  // namespace ropeway
