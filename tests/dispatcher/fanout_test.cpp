// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("an event that nobody wants is told and its slot comes back at once") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto feed = d.publisher("feed", rings_of(16));
    for (int i = 0; i < 1000; ++i) {
        const auto result = send(feed, event_kind::trade);
        REQUIRE(result.status == ropeway::publish_status::no_subscriber);
        REQUIRE(result);
        REQUIRE(result.sequence == 0);
    }
    const auto stats = feed.stats();
    CHECK(stats.unwanted == 1000);
    CHECK(stats.critical_unwanted == 0);
    CHECK(stats.published == 0);
    CHECK(stats.claims_out == 0);
    CHECK(stats.in_rings == 0);
}

TEST_CASE("every subscriber gets every event once, however many subscribers there are") {
    const std::size_t subscribers = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{10});
    const std::uint64_t events = scaled(20'000);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    struct seen {
        std::uint64_t count = 0;
        std::uint64_t sum = 0;
        std::uint64_t disorder = 0;
        std::uint64_t last = 0;
    };
    std::vector<seen> got(subscribers);
    std::vector<ropeway::subscription> subscriptions;
    for (std::size_t i = 0; i < subscribers; ++i) {
        subscriptions.push_back(d.subscribe("reader " + std::to_string(i), overflow::block, {},
                                            [&mine = got[i]](market_event& e) {
                                                ++mine.count;
                                                mine.sum += e.user;
                                                mine.disorder += e.user != mine.last + 1;
                                                mine.last = e.user;
                                            }));
    }
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    std::uint64_t refused = 0;
    for (std::uint64_t i = 1; i <= events; ++i) {
        refused += send(feed, event_kind::quote, i) ? 0U : 1U;
    }
    const ropeway::stop_report report = d.stop(30s);
    CHECK(refused == 0);
    CHECK(report.clean());
    for (const seen& mine : got) {
        CHECK(mine.count == events);
        CHECK(mine.sum == events * (events + 1) / 2);
        CHECK(mine.disorder == 0);
    }
    CHECK(feed.stats().recycled == events);
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("what was published before start() is delivered after it") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::uint64_t got = 0;
    auto reader = d.subscribe("reader", overflow::block, {}, [&](const market_event&) { ++got; });
    auto feed = d.publisher("feed", rings_of(16));
    for (int i = 0; i < 16; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    d.start();
    CHECK(d.stop(30s).clean());
    CHECK(got == 16);
}
