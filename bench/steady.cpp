// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench-steady EVENTS: publishes after a warm-up, profile `latency`, and prints what an
// event costs: allocations of the whole program, then system calls of the publishing thread. Exit
// 0; 1, with the reason, when a count is wrong; 2 bad usage.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>

#include <ropeway/dispatcher/dispatcher.hpp>

#include "allocation_count.hpp"
#include "events_argument.hpp"
#include "open_loop.hpp"
#include "system_call_count.hpp"

namespace ropeway::bench {
namespace {

int run(std::uint64_t events) {
    constexpr std::uint64_t warm_up = 10'000;
    std::uint64_t handled = 0;
    dispatcher<market_event> fan{params_for(profile::latency)};
    const subscription only = fan.subscribe("consumer", overflow::block, {},
                                            [&handled](const market_event&) { ++handled; });
    // So many places that a worker which the system holds up for some milliseconds stays no reason
    // to wait.
    publisher<market_event> feed = fan.publisher("feed", {.market_capacity = 65536});
    fan.warm_up();
    fan.start();
    std::uint64_t failed = 0;
    const auto publish = [&](std::uint64_t some) {
        const open_loop arrivals{1'000'000};
        for (std::uint64_t i = 0; i < some && failed == 0; ++i) {
            static_cast<void>(arrivals.wait_for(i));
            claimed<market_event> event = feed.claim();
            failed += event && feed.publish(std::move(event)) ? 0U : 1U;
        }
    };
    std::uint64_t allocated = 0;
    std::uint64_t called = 0;
    bool counted = false;
    std::thread{[&] {
        publish(warm_up);
        counted = ropeway_test::count_system_calls();
        const std::uint64_t before = ropeway_test::allocations();
        publish(events);
        called = ropeway_test::system_calls();
        allocated = ropeway_test::allocations() - before;
    }}.join();
    const bool clean = fan.stop(std::chrono::seconds{5}).clean();
    if (!counted || !clean || failed != 0 || handled != events + warm_up) {
        std::printf("counted %d, clean %d, failed %llu, handled %llu, system calls %llu\n",
                    counted ? 1 : 0, clean ? 1 : 0, static_cast<unsigned long long>(failed),
                    static_cast<unsigned long long>(handled),
                    static_cast<unsigned long long>(called));
        return 1;
    }
    const auto per_event = [events](std::uint64_t n) {
        return static_cast<double>(n) / static_cast<double>(events);
    };
    std::printf("%.9f %.9f\n", per_event(allocated), per_event(called));
    return 0;
}

}  // namespace
}  // namespace ropeway::bench

int main(int argc, char** argv) {
    const std::uint64_t events =
        ropeway::bench::events_argument(argc, argv, "ropeway-bench-steady");
    return events == 0 ? 2 : ropeway::bench::run(events);
}
