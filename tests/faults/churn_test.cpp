// SPDX-License-Identifier: Apache-2.0
//
// Injection 14: a thousand threads, and sizes that change under load. What goes in comes out, and
// the server never sees more sessions than the pool may have.
#include "fault_test.hpp"

#include <algorithm>
#include <set>

using namespace ropeway_test;

namespace {

// What many threads counted, each its own part.
struct tally {
    std::atomic<std::uint64_t> served{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::uint64_t> wrong{0};

    // Relaxed: counts, read after the threads were joined.
    void ride(pg_pool& pool, std::uint64_t number, std::chrono::nanoseconds timeout) {
        auto held = pool.acquire(timeout);
        if (!held) {
            failed.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        const std::string expected = std::to_string(number);
        const bool right = ask(*held, "select " + expected, 30s) == expected;
        (right ? served : wrong).fetch_add(1, std::memory_order_relaxed);
    }
};

}  // namespace

TEST_CASE("a thousand threads come, ask and go: all are served, by no more than the maximum") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix(), .min_size = 2, .max_size = 10}};
    ride.start();
    tally counted;
    std::vector<std::thread> threads;
    constexpr std::size_t riders = 1000;
    threads.reserve(riders);
    for (std::size_t i = 0; i < riders; ++i) {
        threads.emplace_back([&, i] { counted.ride(ride.pool(), i, 60s); });
    }
    std::size_t most = 0;
    while (counted.served.load(std::memory_order_relaxed) < riders / 2 &&
           counted.failed.load(std::memory_order_relaxed) == 0) {
        most = std::max(most, server.backends().size());
    }
    for (std::thread& one : threads) {
        one.join();
    }
    CHECK(counted.served == riders);
    CHECK(counted.failed == 0);
    CHECK(counted.wrong == 0);
    CHECK(most <= 10);
    const auto now = ride->snapshot();
    CHECK(now.acquired == riders);
    CHECK(now.peak_active <= 10);
    CHECK(now.opened <= 10);
    CHECK(now.waiting == 0);
    CHECK(now.timeouts == 0);
    ride.end_without_leak(server);
}

TEST_CASE("sizes change under load: nobody fails, and the bounds hold") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_unix(), .min_size = 1, .max_size = 2}};
    ride.start();
    tally counted;
    std::atomic<bool> ended{false};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 8; ++i) {
        threads.emplace_back([&, i] {
            // Relaxed: a flag that publishes nothing else.
            for (std::uint64_t n = i; !ended.load(std::memory_order_relaxed); n += 8) {
                counted.ride(ride.pool(), n, 30s);
            }
        });
    }
    const std::pair<std::uint32_t, std::uint32_t> sizes[] = {{4, 8}, {1, 1}, {2, 6},
                                                             {0, 3}, {8, 8}, {1, 2}};
    std::vector<std::string> wrong;
    for (const auto& [least, most] : sizes) {
        ride->resize(least, most);
        // Leased ones above the new maximum go at their return.
        if (!wait_until([&, most = most] { return ride->snapshot().total <= most; })) {
            wrong.push_back("still above " + std::to_string(most));
        }
        if (!wait_until([&, least = least] { return ride->snapshot().total >= least; })) {
            wrong.push_back("still below " + std::to_string(least));
        }
        const auto served = counted.served.load(std::memory_order_relaxed);
        if (!wait_until(
                [&] { return counted.served.load(std::memory_order_relaxed) >= served + 100; },
                10s)) {
            wrong.push_back("nobody is served at " + std::to_string(most));
        }
        // A session that was told to go may still be on its way out at the server.
        if (!wait_until([&, most = most] { return server.backends().size() <= most; })) {
            wrong.push_back("the server has more than " + std::to_string(most));
        }
    }
    ended.store(true, std::memory_order_relaxed);
    for (std::thread& one : threads) {
        one.join();
    }
    INFO(ride.seen().text());
    CHECK(wrong == std::vector<std::string>{});
    CHECK(counted.failed == 0);
    CHECK(counted.wrong == 0);
    CHECK(ride.seen().count(resource_event_kind::resized) == std::size(sizes));
    CHECK(ride.log().wait_for("Connection pool resized: max_size from 2 to 8"));
    CHECK(ride->snapshot().max_size == 2);
    CHECK(ride->snapshot().acquired == counted.served);
    ride.end_without_leak(server);
}
