// SPDX-License-Identifier: Apache-2.0
//
// Counts the allocations of the program that allocation_count.cpp is linked into: its malloc,
// calloc, realloc and aligned_alloc stand in front of the C library's, for every library of the
// process. Any thread.
#pragma once

#include <cstdint>

namespace ropeway_test {

/// Sanitizers bring an allocator of their own, which none can stand in front of: nothing is counted
/// then.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool counts_allocations = false;
#else
inline constexpr bool counts_allocations = true;
#endif

/// Of the whole program since it began, all threads.
[[nodiscard]] std::uint64_t allocations() noexcept;

}  // namespace ropeway_test
