// SPDX-License-Identifier: Apache-2.0
//
// The depot's ring: FIFO, bounded, nothing lost or doubled under contention.
#include <ropeway/pool/index_ring.hpp>

#include <ropeway_test.hpp>

#include <thread>
#include <vector>

#include "pool_test.hpp"

using ropeway::index_ring;

TEST_CASE("numbers come out in the order in which they went in, lap after lap") {
    index_ring ring{5};
    REQUIRE(ring.capacity() == 8);
    REQUIRE(ring.pop() == index_ring::empty);
    for (std::uint32_t lap = 0; lap != 100; ++lap) {
        for (std::uint32_t i = 0; i != 7; ++i) {
            REQUIRE(ring.push(lap * 10 + i));
        }
        REQUIRE(ring.approx_size() == 7);
        for (std::uint32_t i = 0; i != 7; ++i) {
            REQUIRE(ring.pop() == lap * 10 + i);
        }
        REQUIRE(ring.pop() == index_ring::empty);
    }
}

TEST_CASE("a full ring refuses and loses nothing") {
    index_ring ring{4};
    for (std::uint32_t i = 0; i != 4; ++i) {
        REQUIRE(ring.push(i));
    }
    REQUIRE_FALSE(ring.push(4));
    REQUIRE(ring.pop() == 0);
    REQUIRE(ring.push(4));
    for (std::uint32_t i = 1; i != 5; ++i) {
        REQUIRE(ring.pop() == i);
    }
}

TEST_CASE("a ring of one place works") {
    index_ring ring{1};
    REQUIRE(ring.push(7));
    REQUIRE_FALSE(ring.push(8));
    REQUIRE(ring.pop() == 7);
    REQUIRE(ring.pop() == index_ring::empty);
}

TEST_CASE("four threads pass numbers around and none is lost or doubled") {
    constexpr std::uint32_t numbers = 24;
    constexpr int rounds = ropeway_test::sanitized ? 20'000 : 300'000;
    index_ring ring{numbers};
    for (std::uint32_t i = 0; i != numbers; ++i) {
        REQUIRE(ring.push(i));
    }
    std::vector<std::atomic<int>> holders(numbers);
    std::atomic<int> faults{0};
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i != rounds; ++i) {
                const std::uint32_t n = ring.pop();
                if (n == index_ring::empty) {
                    continue;
                }
                faults += holders[n].exchange(1, std::memory_order_relaxed);
                faults += 1 - holders[n].exchange(0, std::memory_order_relaxed);
                faults += ring.push(n) ? 0 : 1;
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    REQUIRE(faults == 0);
    std::vector<int> seen(numbers);
    for (std::uint32_t i = 0; i != numbers; ++i) {
        ++seen.at(ring.pop());
    }
    REQUIRE(seen == std::vector<int>(numbers, 1));
    REQUIRE(ring.pop() == index_ring::empty);
}
