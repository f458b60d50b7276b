// SPDX-License-Identifier: Apache-2.0
//
// Counts of what an event must not cost. allocations() counts every call of malloc and its family
// in the program, whose own functions stand in front of the C library's; the rest is about the
// calling thread.
#pragma once

#include <cstdint>

namespace ropeway::bench {

/// Of the whole program, all threads.
[[nodiscard]] std::uint64_t allocations() noexcept;

/// From here on the calling thread's system calls are counted and not made, but for what a thread
/// needs to end: for a thread that makes none and ends soon. False where the system cannot.
[[nodiscard]] bool count_system_calls() noexcept;
[[nodiscard]] std::uint64_t system_calls() noexcept;

}  // namespace ropeway::bench
