// SPDX-License-Identifier: Apache-2.0
#include "allocation_count.hpp"

#include <atomic>
#include <cstddef>

namespace {

// Constant-initialised: libraries allocate before any constructor of this program has run.
constinit std::atomic<std::uint64_t> made{0};

}  // namespace

namespace ropeway_test {

std::uint64_t allocations() noexcept {
    return made.load(std::memory_order_relaxed);  // relaxed: a number
}

}  // namespace ropeway_test

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void count() noexcept {
    made.fetch_add(1, std::memory_order_relaxed);  // relaxed: a number
}
extern "C" {
// What the C library calls its own functions.
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) {
    count();
    return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) {
    count();
    return __libc_calloc(n, bytes);
}
void* realloc(void* old, std::size_t bytes) {
    count();
    return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t align, std::size_t bytes) {
    count();
    return __libc_memalign(align, bytes);
}
}
#endif
