// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench-slot-bytes pools|resources SIZE: prints how much resident memory ten pools of SIZE
// open resources take, or ten times SIZE such resources alone. A program of its own, for one of
// these at a time: what another measurement gave back is not used again here. Exit 0; 1, with the
// reason, when a pool does not open its minimum; 2 bad usage.
#include <malloc.h>
#include <sys/prctl.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "trivial_resource.hpp"

namespace ropeway::bench {
namespace {

/// Bytes of memory of our own that are resident, by the page tables: whatever gave them out.
std::size_t resident_bytes() {
    ::malloc_trim(0);  // what is free is not counted
    std::ifstream pages{"/proc/self/smaps_rollup"};
    std::string word;
    std::size_t kib = 0;
    while (pages >> word) {
        if (word == "Anonymous:") {
            pages >> kib;
            break;
        }
    }
    return kib * 1024;
}

constexpr std::size_t pools_at_once = 10;  // so that a page more or less does not matter

/// What ten pools with so many open resources take, or with `alone` such resources without pools.
double bytes_of(std::uint32_t size, bool alone) {
    const std::size_t before = resident_bytes();
    std::vector<std::unique_ptr<trivial_resource>> resources(alone ? size * pools_at_once : 0);
    for (auto& one : resources) {
        one = std::make_unique<trivial_resource>();
    }
    std::vector<std::unique_ptr<trivial_pool>> pools(alone ? 0 : pools_at_once);
    for (auto& pool : pools) {
        pool = pool_of(size, size);
        if (pool->start() || pool->snapshot().idle != size) {
            throw std::runtime_error("a pool did not open its minimum");
        }
    }
    const std::size_t after = resident_bytes();
    return static_cast<double>(after) - static_cast<double>(before);
}

}  // namespace
}  // namespace ropeway::bench

int main(int argc, char** argv) {
    using namespace ropeway::bench;
    const std::string what = argc == 3 ? argv[1] : "";
    const unsigned long size = argc == 3 ? std::strtoul(argv[2], nullptr, 10) : 0;
    if ((what != "pools" && what != "resources") || size < 1 || size > 1000) {
        std::fputs("usage: ropeway-bench-slot-bytes pools|resources SIZE (1 to 1000)\n", stderr);
        return 2;
    }
    try {
        // A huge page would show more than was used.
        ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
        std::printf("%.0f\n", bytes_of(static_cast<std::uint32_t>(size), what == "resources"));
        return 0;
    } catch (const std::exception& failed) {
        std::printf("%s\n", failed.what());
        return 1;
    }
}
