// SPDX-License-Identifier: Apache-2.0
//
// A pool whose slabs come from mimalloc, made on one thread and destroyed on another.
#include <ropeway/pool/mimalloc.hpp>

#include <ropeway_test.hpp>

#include <memory>
#include <thread>

#include "pool_test.hpp"

using namespace ropeway;

TEST_CASE("a pool from mimalloc works, and may end on another thread than it began on") {
    std::unique_ptr<event_pool<market_event>> pool;
    std::thread maker{[&] {
        pool = std::make_unique<event_pool<market_event>>(
            pool_params{.slots = 4096, .memory = &mimalloc_memory()});
    }};
    maker.join();
    for (int i = 0; i != 10'000; ++i) {
        auto event = pool->get();
        REQUIRE(*event == market_event{});
    }
    REQUIRE(pool->stats().outstanding == 0);
    std::thread ender{[&] { pool.reset(); }};
    ender.join();
}

TEST_CASE("mimalloc says what it cannot give") {
    REQUIRE_THROWS_AS(mimalloc_memory().allocate(std::size_t{1} << 60, 128), memory_error);
}
