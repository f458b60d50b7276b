// SPDX-License-Identifier: Apache-2.0
//
// In steady state a publisher makes no system call (profile latency).
#include <sched.h>

#include <array>
#include <iostream>
#include <vector>

#include "support.hpp"
#include "system_call_count.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("a publisher makes no system call in steady state", "[latency]") {
    if (sanitized) {
        WARN("skipped: a sanitizer's run time makes calls of its own");
        return;
    }
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    auto params = ropeway::params_for(ropeway::profile::latency);
    ropeway::dispatcher<market_event> d{params};
    std::array<tally, 3> got;
    std::vector<ropeway::subscription> subs;
    for (tally& mine : got) {
        subs.push_back(d.subscribe("s", policy, {}, [&mine](const market_event&) { mine.add(); }));
    }
    auto feed = d.publisher("feed");
    d.start();
    // Written by the publishing thread, read after its join.
    bool counted = false;
    std::uint64_t made = 0;
    std::uint64_t made_by_check = 0;
    std::uint64_t sent = 0;
    std::thread publishing{[&] {
        const auto publish = [&](std::uint64_t events) {
            for (std::uint64_t i = 0; i < events; ++i) {
                // Paced, so that no blocking subscription makes it wait.
                for (const tally& one : got) {
                    while (one.get() + 512 < sent) {
                        ropeway::spin_pause();
                    }
                }
                sent += send(feed, i % 16 == 0 ? event_kind::execution_report : event_kind::trade)
                            ? 1U
                            : 0U;
            }
        };
        publish(20'000);  // warm
        counted = count_system_calls();
        if (!counted) {
            return;
        }
        const std::uint64_t before = system_calls();
        publish(200'000);
        made = system_calls() - before;
        static_cast<void>(sched_yield());  // the counter counts
        made_by_check = system_calls() - before - made;
    }};
    publishing.join();
    if (!counted) {
        WARN("skipped: this system refuses a filter of system calls");
    } else {
        INFO("the last one was number " << last_system_call());
        CHECK(made == 0);
        CHECK(made_by_check == 1);
        std::cout << made << " system calls of the publisher in 200000 events\n";
    }
    CHECK(d.stop(30s).clean());
    CHECK(d.stats().publishers.at(0).published == sent);
}
