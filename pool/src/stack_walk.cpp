// SPDX-License-Identifier: Apache-2.0
//
// A frame is {caller's frame, return address}. Each is checked to lie on the stack, above the last
// one and aligned, so that a register that holds no frame pointer ends the walk.
#include "stack_walk.hpp"

#include <cstdint>

#include <pthread.h>

namespace ropeway::detail {

namespace {

struct stack_bounds {
    std::uintptr_t top = 0;
};
thread_local constinit stack_bounds this_stack;

[[gnu::cold]] void find_bounds() noexcept {
    this_stack.top = 1;  // not found: no walk
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return;
    }
    void* lowest = nullptr;
    std::size_t bytes = 0;
    if (pthread_attr_getstack(&attributes, &lowest, &bytes) == 0) {
        this_stack.top = reinterpret_cast<std::uintptr_t>(lowest) + bytes;
    }
    pthread_attr_destroy(&attributes);
}

// Reads words of other functions' frames, which the sanitizers' instrumentation forbids.
[[gnu::always_inline]] __attribute__((no_sanitize("address", "thread", "undefined"))) inline void
walk(std::array<const void*, stack_frames>& out, std::uintptr_t frame) noexcept {
    std::size_t n = 0;
    while (n != out.size() && frame % sizeof(void*) == 0 &&
           frame + 2 * sizeof(void*) <= this_stack.top) {
        const auto* const words = reinterpret_cast<void* const*>(frame);
        if (words[1] == nullptr) {
            break;
        }
        out[n++] = words[1];
        const auto next = reinterpret_cast<std::uintptr_t>(words[0]);
        if (next <= frame) {
            break;
        }
        frame = next;
    }
    for (; n != out.size(); ++n) {
        out[n] = nullptr;
    }
}

}  // namespace

__attribute__((no_sanitize("address", "thread", "undefined"), noinline)) void walk_stack(
    std::array<const void*, stack_frames>& out) noexcept {
    if (this_stack.top == 0) {
        find_bounds();
    }
    walk(out, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
}

__attribute__((no_sanitize("address", "thread", "undefined"), noinline)) void walk_stack(
    std::span<std::atomic<const void*>, short_stack_frames> out, const void* from) noexcept {
    if (this_stack.top == 0) [[unlikely]] {
        find_bounds();
    }
    // The last place where a frame may lie; unrolled, for it is a tenth of a lease's cost.
    const std::uintptr_t last = this_stack.top - 2 * sizeof(void*);
    auto frame = reinterpret_cast<std::uintptr_t>(from);
    bool more = this_stack.top != 1;
#pragma GCC unroll 6
    for (std::size_t n = 0; n != short_stack_frames; ++n) {
        if (!more) {
            out[n].store(nullptr, std::memory_order_relaxed);  // relaxed: an address for a report
            continue;
        }
        const auto* const words = reinterpret_cast<void* const*>(frame);
        out[n].store(words[1], std::memory_order_relaxed);  // relaxed: the same
        const auto next = reinterpret_cast<std::uintptr_t>(words[0]);
        more = next > frame && next <= last && next % sizeof(void*) == 0;
        frame = next;
    }
}

}  // namespace ropeway::detail
