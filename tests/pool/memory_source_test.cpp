// SPDX-License-Identifier: Apache-2.0
//
// Where slabs come from, and what the kernel may refuse.
#include <ropeway/pool/memory_source.hpp>

#include <ropeway_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <sys/mman.h>
#include <sys/resource.h>

using namespace ropeway;

namespace {
bool zeroed(const void* memory, std::size_t bytes) {
    const auto* const at = static_cast<const unsigned char*>(memory);
    return std::all_of(at, at + bytes, [](unsigned char c) { return c == 0; });
}
}  // namespace

TEST_CASE("mapped memory is zeroed, aligned and costs nothing until it is touched") {
    constexpr std::size_t bytes = std::size_t{1} << 30;
    void* const memory = mmap_memory().allocate(bytes, 128);
    REQUIRE(reinterpret_cast<std::uintptr_t>(memory) % 128 == 0);
    REQUIRE(zeroed(memory, 4096));
    unsigned char resident = 1;
    void* const far = static_cast<char*>(memory) + (bytes / 2);
    REQUIRE(mincore(far, 4096, &resident) == 0);
    REQUIRE((resident & 1) == 0);
    mmap_memory().release(memory, bytes);
}

TEST_CASE("prefault touches every page and keeps what was there") {
    constexpr std::size_t bytes = 64 * 4096;
    void* const memory = mmap_memory().allocate(bytes, 64);
    static_cast<char*>(memory)[4096] = 7;
    prepare_memory(memory, bytes, {.prefault = true});
    for (std::size_t page = 0; page != 64; ++page) {
        unsigned char resident = 0;
        REQUIRE(mincore(static_cast<char*>(memory) + page * 4096, 4096, &resident) == 0);
        REQUIRE((resident & 1) == 1);
    }
    REQUIRE(static_cast<char*>(memory)[4096] == 7);
    mmap_memory().release(memory, bytes);
}

TEST_CASE("what cannot be had is an error with the size and the remedy") {
    using Catch::Matchers::Contains;
    REQUIRE_THROWS_AS(mmap_memory().allocate(std::size_t{1} << 62, 64), memory_error);
    REQUIRE_THROWS_WITH(mmap_memory().allocate(std::size_t{1} << 62, 64),
                        Contains("4611686018427387904 bytes") && Contains("Lower the number"));
    REQUIRE_THROWS_WITH(mmap_memory().allocate(4096, 8192), Contains("8192"));
}

TEST_CASE("a refused lock names the limit to raise") {
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_MEMLOCK, &before) == 0);
    constexpr std::size_t bytes = std::size_t{1} << 20;
    void* const memory = mmap_memory().allocate(bytes, 64);
    REQUIRE_NOTHROW(prepare_memory(memory, 4096, {.huge_pages = false, .lock = true}));
    mmap_memory().release(memory, bytes);
    // With the right to lock, the limit does not bind. The second page is never mapped for anybody.
    void* const nowhere = reinterpret_cast<void*>(std::uintptr_t{4096});
    using Catch::Matchers::Contains;
    // Sanitizers replace mlock by nothing.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    REQUIRE_THROWS_WITH(prepare_memory(nowhere, bytes, {.lock = true}),
                        Contains("1048576 bytes (1 MiB)") && Contains("ulimit -l"));
#endif
    REQUIRE_THROWS_WITH(prepare_memory(nowhere, bytes, {.huge_pages = true}),
                        Contains("transparent_hugepage"));
}
