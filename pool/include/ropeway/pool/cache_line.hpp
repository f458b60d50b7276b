// SPDX-License-Identifier: Apache-2.0
//
// The unit in which words of different threads are kept apart, and the two hints to the processor
// that the pool needs. No state; any thread.
#pragma once

#include <cstddef>

namespace ropeway {

/// Words that different threads write stand in different blocks of this many bytes: two lines,
/// because the adjacent-line prefetcher moves lines in pairs.
inline constexpr std::size_t cache_block = 128;

/// Asks for the line at `address`. A hint: never faults.
inline void prefetch_for_read(const void* address) noexcept { __builtin_prefetch(address, 0, 3); }

/// Asks for the line at `address` in a state that may be written. A hint: never faults.
inline void prefetch_for_write(const void* address) noexcept {
#if defined(__x86_64__)
    // As text: the builtin asks for a readable copy unless told of the processor. A hint, which
    // processors that lack it skip.
    __asm__ volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
    __builtin_prefetch(address, 1, 3);
#endif
}

/// Tells the processor that this is a waiting loop. Returns after a few dozen cycles.
inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

}  // namespace ropeway
