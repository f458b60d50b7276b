// SPDX-License-Identifier: Apache-2.0
//
// Asserts that no call of malloc and its family is made per event once everything is warm.
// Sanitizers bring their own allocator: there only the slots count.
#include <cstdlib>
#include <vector>

#include "allocation_count.hpp"
#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("nothing is allocated per event: duplicates, in place, filtered, dropped, critical") {
    const bool own_threads = under_tsan || GENERATE(false, true);
    auto params = small_dispatcher(2, own_threads);
    params.workers.replacements = 0;  // a thread's first job makes its magazines
    ropeway::dispatcher<market_event> d{params};
    tally got;
    std::vector<ropeway::subscription> subs;
    for (const auto mode : {ropeway::duplicate, ropeway::in_place}) {
        subs.push_back(d.subscribe("block", overflow::block, {.delivery = mode},
                                   [&](const market_event&) { got.add(); }));
        subs.push_back(d.subscribe("lossy", overflow::drop_oldest, {.delivery = mode},
                                   [](const market_event& e) {
                                       for (std::uint64_t i = 0; i < e.user % 64; ++i) {
                                           ropeway::spin_pause();
                                       }
                                   }));
    }
    auto feed = d.publisher("feed", rings_of(256));
    d.start();
    std::uint64_t sent = 0;
    const auto run = [&](std::uint64_t events) {
        for (std::uint64_t i = 0; i < events; ++i) {
            ++sent;
            if (!send(feed, sent % 10 == 0 ? event_kind::execution_report : event_kind::trade,
                      sent)) {
                return false;
            }
        }
        return got.reached(2 * sent);
    };
    REQUIRE(run(scaled(50'000)));  // warm
    REQUIRE(eventually([&] { return d.stats().workers_awake == 0; }));

    const std::uint64_t before = allocations();
    const bool served = run(scaled(200'000));
    const std::uint64_t made = allocations() - before;
    REQUIRE(served);
    const std::uint64_t wakes = d.stats().wakes;
    INFO(made << " allocations, " << wakes << " wake-ups over " << sent << " events");
    if (own_threads) {
        CHECK(made == 0);
    } else {
        // oneTBB allocates its task for a wake-up, from pools of its own that ask the C library now
        // and then; nothing for an event.
        CHECK(made * 10'000 < scaled(200'000));
    }
    if (counts_allocations) {  // the counter counts
        const std::uint64_t before_one = allocations();
        void* volatile one = std::malloc(10);
        const std::uint64_t after_one = allocations();
        std::free(one);
        CHECK(after_one == before_one + 1);
    }
    CHECK(d.stop(30s).clean());
}
