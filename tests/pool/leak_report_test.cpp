// SPDX-License-Identifier: Apache-2.0
//
// Who holds what: the leak report at any time, and the violations at the end.
#include <ropeway_test.hpp>

#include <thread>
#include <vector>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

TEST_CASE("outstanding events are listed by site, with count, thread, holder and trace id") {
    name_this_thread("main");
    event_pool<market_event> pool{{.name = "leaky"}};
    REQUIRE(pool.leak_report().clean());
    std::vector<pooled<market_event>> held;
    constexpr int line = __LINE__ + 2;
    for (int i = 0; i != 3; ++i) {
        held.push_back(pool.get());
        held.back()->trace = {0xA, 0xB};
    }
    pooled<market_event> other;
    std::thread feed{[&] {
        name_this_thread("feed");
        other = pool.get();  // six lines below the first
    }};
    feed.join();
    pool.slots().name_holder(intern_site("momentum"), "subscription momentum");
    slot_ref copy;
    REQUIRE(pool.slots().get(copy, make_meta(intern_site("momentum"), thread_number(), 0)));

    const leak_report report = pool.leak_report();
    REQUIRE(report.outstanding == 5);
    REQUIRE(report.sites.size() == 3);
    REQUIRE(report.sites[0].where == "leak_report_test.cpp:" + std::to_string(line));
    REQUIRE(report.sites[0].count == 3);
    REQUIRE(report.sites[0].trace == trace_id{0xA, 0xB});
    REQUIRE(report.sites[0].thread.substr(0, 6) == "main (");
    const bool feed_first = report.sites[1].where != "momentum";  // alike in count: either order
    const auto& of_feed = report.sites[feed_first ? 1 : 2];
    REQUIRE(of_feed.where == "leak_report_test.cpp:" + std::to_string(line + 6));
    REQUIRE(of_feed.thread.substr(0, 6) == "feed (");
    REQUIRE(report.sites[feed_first ? 2 : 1].holder == "subscription momentum");
    const std::string text = to_string(report);
    REQUIRE(
        text.starts_with("pool \"leaky\": 5 slot(s) outstanding\n  3 from leak_report_test.cpp:" +
                         std::to_string(line) + ";"));
    REQUIRE(text.find("trace 000000000000000a000000000000000b") != std::string::npos);
    REQUIRE(text.find("1 from momentum (subscription momentum);") != std::string::npos);

    held.clear();
    other.reset();
    pool.back().recycle_one<market_event>(pool.slots(), copy);
    REQUIRE(pool.leak_report().clean());
}

TEST_CASE("ages are those of the oldest, by the coarse clock") {
    event_pool<market_event> pool;
    advance_coarse_clock();
    auto event = pool.get();
    const std::uint32_t then = coarse_now_ms();
    while (advance_coarse_clock() < then + 5) {
        std::this_thread::yield();
    }
    REQUIRE(pool.leak_report().sites[0].oldest_ms >= 5);
}

TEST_CASE("a lent event is listed as lent") {
    event_pool<market_event> pool;
    const raw_event<market_event> raw = pool.back().lend(pool.get());
    REQUIRE(pool.leak_report().sites[0].lent);
    REQUIRE(to_string(pool.leak_report()).find("lent as raw pointers") != std::string::npos);
    REQUIRE(pool.back().recycle_raw(pool, raw.event, raw.ticket));
    REQUIRE(pool.leak_report().clean());
}

TEST_CASE("a leak at the end is one violation per site, naming who acquired it") {
    for (const guard_level level :
         {guard_level::guard, guard_level::full, guard_level::degenerate}) {
        const recorder seen;
        std::vector<pooled<market_event>> late;
        constexpr int line = __LINE__ + 4;
        {
            event_pool<market_event> pool{{.name = "leaky", .guard = level}};
            for (int i = 0; i != 2; ++i) {
                late.push_back(pool.get());
            }
            late.push_back(pool.get());  // two lines below the first
        }
        REQUIRE(seen.count(violation_kind::leak) == 2);
        REQUIRE(seen.at(0).count == 2);
        REQUIRE(seen.at(0).first.action == slot_action::acquired);
        REQUIRE(seen.at(0).first.thread == thread_number());
        REQUIRE(site_text(seen.at(0).first.site) == "leak_report_test.cpp:" + std::to_string(line));
        REQUIRE(seen.at(1).count == 1);
        REQUIRE(site_text(seen.at(1).first.site) ==
                "leak_report_test.cpp:" + std::to_string(line + 2));
    }
}
