// SPDX-License-Identifier: Apache-2.0
//
// The calling thread's return addresses by its frame pointers: 1 to 3 ns a frame, no allocation.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ropeway/pool/violation.hpp>

namespace ropeway::detail {

/// Fills `out` with return addresses, innermost first, 0 behind the last. Code built without frame
/// pointers ends the walk early; it never leaves the thread's stack.
void walk_stack(std::array<const void*, stack_frames>& out) noexcept;

/// The highest address of this thread's stack; 0 before the first walk, a frame's size if it is not
/// known: then no frame lies below it.
inline thread_local constinit std::uintptr_t stack_top = 0;
[[gnu::cold]] void find_stack_top() noexcept;

// A sanitizer's instrumentation forbids reading words of other functions' frames, and cannot be
// turned off in a function that is inlined into one that has it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROPEWAY_WALK __attribute__((no_sanitize("address", "thread", "undefined"), noinline))
#else
#define ROPEWAY_WALK [[gnu::always_inline]]
#endif

/// The same for the function that calls it, short and inlined, into words that other threads may
/// read meanwhile: return addresses from `frame` on, which is that function's frame. Junk in a
/// register that holds no frame pointer ends the walk, or gives an address that means nothing.
/// @return how many; what stands behind them is as it was.
template <std::size_t N>
ROPEWAY_WALK inline std::size_t walk_frames_only(std::array<std::atomic<const void*>, N>& out,
                                                 std::uintptr_t frame) noexcept {
    if (stack_top == 0) [[unlikely]] {
        find_stack_top();
    }
    const std::uintptr_t last = stack_top - 2 * sizeof(void*);
    std::size_t n = 0;
    for (std::uintptr_t before = frame - 1; n != N; ++n) {
        if (frame <= before || frame > last || (frame & (sizeof(void*) - 1)) != 0) [[unlikely]] {
            break;
        }
        const auto* const words = reinterpret_cast<void* const*>(frame);
        out[n].store(words[1], std::memory_order_relaxed);  // relaxed: addresses for a report
        before = frame;
        frame = reinterpret_cast<std::uintptr_t>(words[0]);
    }
    return n;
}

/// The same, with 0 behind the last one in all that is left.
template <std::size_t N>
ROPEWAY_WALK inline void walk_frames(std::array<std::atomic<const void*>, N>& out,
                                     std::uintptr_t frame) noexcept {
    for (std::size_t n = walk_frames_only(out, frame); n != N; ++n) {
        out[n].store(nullptr, std::memory_order_relaxed);  // relaxed: addresses for a report
    }
}
#undef ROPEWAY_WALK

}  // namespace ropeway::detail
