// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench-instructions EVENTS: publishes to three consumers, by duplicates, and prints how
// many events. For callgrind, which counts inside publish_burst() and a worker's turns only; a
// worker that looks for work is not an event's cost. Exit 0; 1, with the reason, when a count is
// wrong; 2 bad usage.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>

#include "events_argument.hpp"

namespace ropeway::bench {

/// A name that callgrind finds.
[[gnu::noinline]] bool publish_burst(publisher<market_event>& feed, std::uint64_t some) {
    bool published = true;
    for (std::uint64_t i = 0; i < some && published; ++i) {
        claimed<market_event> event = feed.claim();
        published = event && feed.publish(std::move(event));
    }
    return published;
}

namespace {

int run(std::uint64_t events) {
    constexpr std::uint64_t burst = 512;  // fits the ring: nobody waits for room
    std::array<std::atomic<std::uint64_t>, 3> handled{};
    // Relaxed (all): numbers, each of one writer.
    const auto all_handled = [&handled](std::uint64_t some) {
        return std::all_of(handled.begin(), handled.end(), [some](const auto& one) {
            return one.load(std::memory_order_relaxed) == some;
        });
    };
    dispatcher_params params = params_for(profile::throughput);
    // The handlers are as short as they are, though callgrind makes all of it take fifty times as
    // long.
    params.workers.slice *= 50;
    dispatcher<market_event> fan{params};
    std::vector<subscription> all;
    for (std::atomic<std::uint64_t>& mine : handled) {
        const auto handler = [&mine](const market_event&) {
            mine.store(mine.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        };
        all.push_back(fan.subscribe("consumer", overflow::block, {}, handler));
    }
    publisher<market_event> feed = fan.publisher("feed");
    fan.warm_up();
    fan.start();
    const auto end = std::chrono::steady_clock::now() + std::chrono::minutes{2};
    bool in_time = true;
    for (std::uint64_t done = 0; done != events && in_time;) {
        const std::uint64_t some = std::min(burst, events - done);
        in_time = publish_burst(feed, some);
        done += some;
        while (in_time && !all_handled(done)) {
            std::this_thread::yield();
            in_time = std::chrono::steady_clock::now() < end;
        }
    }
    const bool clean = fan.stop(std::chrono::seconds{30}).clean();
    if (!in_time || !clean || !all_handled(events)) {
        const auto count = [](const std::atomic<std::uint64_t>& one) {
            return static_cast<unsigned long long>(one.load(std::memory_order_relaxed));
        };
        std::printf("in time %d, clean %d, handled %llu, %llu, %llu\n", in_time ? 1 : 0,
                    clean ? 1 : 0, count(handled[0]), count(handled[1]), count(handled[2]));
        return 1;
    }
    std::printf("events: %llu\n", static_cast<unsigned long long>(events));
    return 0;
}

}  // namespace
}  // namespace ropeway::bench

int main(int argc, char** argv) {
    const std::uint64_t events =
        ropeway::bench::events_argument(argc, argv, "ropeway-bench-instructions");
    return events == 0 ? 2 : ropeway::bench::run(events);
}
