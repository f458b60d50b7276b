// SPDX-License-Identifier: Apache-2.0
//
// SC-003: at a paced 1000 events a second to ten consumers, a pool of three times the peak stays
// below 80 % in use. In use = committed and not yet passed + with the user + duplicates out.
#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>

#include <ropeway_test.hpp>

namespace {

using namespace ropeway;
using clock_type = std::chrono::steady_clock;

void work_for(std::chrono::microseconds time) {
    const auto until = clock_type::now() + time;
    while (clock_type::now() < until) {
    }
}

}  // namespace

TEST_CASE("at 1000 events a second to ten consumers a pool of three times the peak is below 80 %",
          "[sc003]") {
    // Ten consumers of 20 us each on one worker: 200 us per event, 20 % of one processor. The peak
    // estimate is one event in its ring and its ten duplicates; the smallest ring has 16 places.
    constexpr std::uint32_t consumers = 10;
    constexpr std::uint32_t peak = 16 + consumers * 4;
    dispatcher_params params;
    params.max_subscriptions = consumers;
    params.max_publishers = 1;
    params.duplicate_slots = 3 * peak;
#if defined(__SANITIZE_THREAD__)
    params.workers.where = make_thread_executor();
#endif
    dispatcher<market_event> events{params};
    std::vector<subscription> subscriptions;
    for (std::uint32_t i = 0; i < consumers; ++i) {
        subscriptions.push_back(
            events.subscribe("consumer", overflow::block, {},
                             [](market_event&) { work_for(std::chrono::microseconds{20}); }));
    }
    publisher_params rings;
    rings.market_capacity = 64;
    rings.critical_capacity = 16;
    rings.spare_claims = 1;
    auto feed = events.publisher("feed", rings);
    events.start();

    double highest = 0;
    double highest_duplicates = 0;
    std::uint64_t sent = 0;
    const auto start = clock_type::now();
    constexpr std::uint64_t total = 3000;
    for (std::uint64_t n = 0; n < total; ++n) {
        std::this_thread::sleep_until(start + std::chrono::milliseconds{n});  // the pace itself
        auto event = feed.claim();
        event->kind = n % 10 == 0 ? event_kind::execution_report : event_kind::trade;
        sent += feed.publish(std::move(event)) ? 1U : 0U;
        const dispatcher_stats now = events.stats();
        highest = std::max(highest, now.pool_use());
        highest_duplicates =
            std::max(highest_duplicates, static_cast<double>(now.duplicates_out) /
                                             static_cast<double>(now.duplicate_slots));
    }
    const stop_report report = events.stop(std::chrono::seconds{10});

    WARN("highest use of all slots " << 100 * highest << " %, of duplicates "
                                     << 100 * highest_duplicates << " %");
    CHECK(sent == total);
    CHECK(report.clean());
    CHECK(highest > 0);  // the samples, taken right after each publish, did see slots in use
    CHECK(highest < 0.8);
    CHECK(highest_duplicates < 0.8);
    for (const subscription_stats& each : events.stats().subscriptions) {
        CHECK(each.consumer.done == total);
    }
}
