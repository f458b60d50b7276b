// SPDX-License-Identifier: Apache-2.0
//
// SC-002: a million events to ten consumers leave no slot behind and no memory.
#include <unistd.h>

#include <array>
#include <fstream>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>

#include <ropeway_test.hpp>

namespace {

using namespace ropeway;

std::size_t resident_bytes() {
    std::ifstream file{"/proc/self/statm"};
    std::size_t total = 0;
    std::size_t resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t events = 50'000;  // the sanitizers' own memory grows: only slots are judged
constexpr bool judge_memory = false;
#else
constexpr std::uint64_t events = 1'000'000;
constexpr bool judge_memory = true;
#endif

}  // namespace

TEST_CASE("a million events to ten consumers leave no slot outstanding and no memory behind",
          "[sc002]") {
    constexpr std::size_t consumers = 10;
    dispatcher_params params;
#if defined(__SANITIZE_THREAD__)
    params.workers.where = make_thread_executor();
#endif
    dispatcher<market_event> events_out{params};
    struct alignas(128) tally {
        std::uint64_t done = 0;
        std::uint64_t sum = 0;
    };
    std::array<tally, consumers> tallies{};
    std::vector<subscription> subscriptions;
    for (std::size_t i = 0; i < consumers; ++i) {
        subscriptions.push_back(events_out.subscribe(
            "consumer " + std::to_string(i), overflow::block, {}, [&tallies, i](market_event& e) {
                ++tallies[i].done;
                tallies[i].sum += e.user;
            }));
    }
    auto feed = events_out.publisher("feed");
    events_out.start();

    std::size_t rss_at_tenth = 0;
    std::uint64_t refused = 0;
    for (std::uint64_t n = 1; n <= events; ++n) {
        auto event = feed.claim();
        event->kind = n % 100 == 0 ? event_kind::execution_report : event_kind::quote;
        event->user = n;
        refused += feed.publish(std::move(event)) ? 0U : 1U;
        if (n == events / 10) {
            rss_at_tenth = resident_bytes();
        }
    }
    const stop_report report = events_out.stop(std::chrono::seconds{20});
    const std::size_t rss_at_end = resident_bytes();

    CHECK(refused == 0);
    CHECK(report.clean());
    CHECK(report.slots_outstanding == 0);
    for (const tally& each : tallies) {
        CHECK(each.done == events);
        CHECK(each.sum == events * (events + 1) / 2);
    }
    CHECK(events_out.stats().duplicates_out == 0);
    INFO("resident " << rss_at_tenth << " bytes at 10 %, " << rss_at_end << " at the end");
    if (judge_memory) {
        CHECK(rss_at_tenth > 0);
        // The measure sees what it must see: two megabytes, touched.
        const std::vector<char> planted(2U << 20U, 'x');
        CHECK(planted.back() == 'x');
        CHECK(resident_bytes() > rss_at_end + (1U << 20U));
        CHECK(rss_at_end <= rss_at_tenth + (1U << 20U));
    }
}
