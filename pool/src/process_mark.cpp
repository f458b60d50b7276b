// SPDX-License-Identifier: Apache-2.0
//
// The page holds the process id, or 0 in a child that made no mark yet. Where the kernel cannot
// empty pages, a child looks like its parent: then the mark is kept by a handler of fork().
#include "process_mark.hpp"

#include <memory>

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

namespace ropeway::detail {

namespace {

constinit std::atomic<std::int32_t> plain_mark{0};

// relaxed: a child has one thread
extern "C" void forget_mark() { plain_mark.store(0, std::memory_order_relaxed); }

std::atomic<std::int32_t>* make_page() noexcept {
    constexpr std::size_t bytes = 4096;
    void* const got =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (got != MAP_FAILED) {
        if (::madvise(got, bytes, MADV_WIPEONFORK) == 0) {
            return std::construct_at(static_cast<std::atomic<std::int32_t>*>(got), 0);
        }
        ::munmap(got, bytes);
    }
    ::pthread_atfork(nullptr, nullptr, forget_mark);
    return &plain_mark;
}

std::atomic<std::int32_t>& page() noexcept {
    static std::atomic<std::int32_t>* const one = make_page();
    return *one;
}

}  // namespace

process_mark::process_mark() noexcept : page_(&page()), home_(static_cast<std::int32_t>(getpid())) {
    page().store(home_, std::memory_order_relaxed);  // relaxed: see is_here
}

}  // namespace ropeway::detail
