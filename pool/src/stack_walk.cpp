// SPDX-License-Identifier: Apache-2.0
//
// A frame is {caller's frame, return address}. Each is checked to lie on the stack, above the last
// one and aligned, so that a register that holds no frame pointer ends the walk.
#include "stack_walk.hpp"

#include <cstdint>

#include <pthread.h>

namespace ropeway::detail {

void find_stack_top() noexcept {
    stack_top = 2 * sizeof(void*);  // not found: no walk
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return;
    }
    void* lowest = nullptr;
    std::size_t bytes = 0;
    if (pthread_attr_getstack(&attributes, &lowest, &bytes) == 0) {
        stack_top = reinterpret_cast<std::uintptr_t>(lowest) + bytes;
    }
    pthread_attr_destroy(&attributes);
}

// Reads words of other functions' frames, which the sanitizers' instrumentation forbids.
__attribute__((no_sanitize("address", "thread", "undefined"), noinline)) void walk_stack(
    std::array<const void*, stack_frames>& out) noexcept {
    if (stack_top == 0) {
        find_stack_top();
    }
    auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    std::size_t n = 0;
    while (n != out.size() && frame % sizeof(void*) == 0 &&
           frame + 2 * sizeof(void*) <= stack_top) {
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

}  // namespace ropeway::detail
