// SPDX-License-Identifier: Apache-2.0
//
// A subscription that falls a ring behind: the publisher waits (block) or the oldest is skipped and
// told (drop_oldest). Every count is compared with what was published.
#include "support.hpp"

using namespace ropeway_test;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

/// What a lossy consumer saw. Written by the worker, read by the main thread after stop().
struct account {
    std::uint64_t got = 0;
    std::uint64_t told_lost = 0;
    std::uint64_t last = 0;
    std::uint64_t gaps = 0;  ///< events missing between two deliveries that nobody told

    void take(std::uint64_t number, std::uint64_t lost_before) noexcept {
        gaps += number - last - 1 != lost_before ? 1U : 0U;
        told_lost += lost_before;
        last = number;
        ++got;
    }
};

}  // namespace

TEST_CASE("a stuck drop_oldest consumer never holds its publisher, and its loss is told exactly") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    account lossy;
    account whole;
    gate stuck;
    tally whole_done;
    auto slow = d.subscribe("slow", overflow::drop_oldest, {.delivery = mode},
                            [&](const market_event& e, const delivery& facts) {
                                if (lossy.got == 0) {
                                    stuck.pass();
                                }
                                lossy.take(e.user, facts.lost_before);
                            });
    auto other = d.subscribe("other", overflow::block, {},
                             [&](const market_event& e, const delivery& facts) {
                                 whole.take(e.user, facts.lost_before);
                                 whole_done.add();
                             });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    constexpr std::uint64_t events = 5000;
    REQUIRE(send(feed, event_kind::trade, 1));
    REQUIRE(stuck.held());
    for (std::uint64_t i = 2; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    REQUIRE(whole_done.reached(events));  // all of it while the other stands in its handler
    stuck.open();
    const auto report = d.stop(30s);
    CHECK(report.clean());
    CHECK(whole.got == events);
    CHECK(whole.gaps == 0);
    CHECK(whole.told_lost == 0);
    CHECK(lossy.gaps == 0);
    CHECK(lossy.last == events);  // the newest survives
    CHECK(lossy.got + lossy.told_lost == events);
    CHECK(lossy.told_lost > events / 2);

    const auto stats = d.stats();
    const auto& of_slow = stats.subscriptions.at(0);
    CHECK(of_slow.dropped == lossy.told_lost);
    CHECK(of_slow.consumer.done == lossy.got);
    CHECK(of_slow.dropped_by_kind[static_cast<std::size_t>(event_kind::trade)] == of_slow.dropped);
    CHECK(of_slow.first_dropped >= 2);
    CHECK(of_slow.last_dropped < events);
    CHECK(of_slow.last_dropped - of_slow.first_dropped + 1 >= of_slow.dropped);
    CHECK(of_slow.rescues > 0);
    CHECK(of_slow.starved == 0);
    CHECK(stats.subscriptions.at(1).dropped == 0);
    CHECK(stats.duplicates_out == 0);
}

TEST_CASE("critical events reach a drop_oldest consumer whatever market data it loses") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    gate stuck;
    bool first = true;
    std::uint64_t critical = 0;
    std::uint64_t out_of_order = 0;
    auto slow = d.subscribe("slow", overflow::drop_oldest, {}, [&](const market_event& e) {
        if (std::exchange(first, false)) {
            stuck.pass();
        }
        if (e.kind == event_kind::execution_report) {
            out_of_order += e.user != ++critical ? 1U : 0U;
        }
    });
    auto params = rings_of(64);
    params.critical_capacity = 256;
    auto feed = d.publisher("feed", params);
    d.start();
    REQUIRE(send(feed, event_kind::trade, 1));
    REQUIRE(stuck.held());
    for (std::uint64_t i = 1; i <= 200; ++i) {
        REQUIRE(send(feed, event_kind::execution_report, i));
        for (int k = 0; k < 10; ++k) {
            REQUIRE(send(feed, event_kind::quote));
        }
    }
    stuck.open();
    CHECK(d.stop(30s).clean());
    CHECK(critical == 200);
    CHECK(out_of_order == 0);
    const auto stats = d.stats().subscriptions.at(0);
    CHECK(stats.dropped > 1000);
    CHECK(stats.dropped + stats.consumer.done == 1 + 200 * 11);
    CHECK(stats.dropped_by_kind[static_cast<std::size_t>(event_kind::execution_report)] == 0);
}

TEST_CASE("a slow block consumer loses nothing and makes its publisher wait") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::uint64_t next = 0;
    std::uint64_t wrong = 0;
    auto slow = d.subscribe("slow", overflow::block, {}, [&](const market_event& e) {
        wrong += e.user != ++next ? 1U : 0U;
        const auto until = std::chrono::steady_clock::now() + 5us;
        while (std::chrono::steady_clock::now() < until) {
        }
    });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    const std::uint64_t events = scaled(20'000);
    for (std::uint64_t i = 1; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    CHECK(d.stop(60s).clean());
    CHECK(next == events);
    CHECK(wrong == 0);
    CHECK(d.stats().publishers.at(0).waits > 0);
    CHECK(d.stats().subscriptions.at(0).dropped == 0);
}

TEST_CASE("loss is exact per publisher while two publishers lap one consumer", "[stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::array<account, 2> from{};
    auto slow = d.subscribe("slow", overflow::drop_oldest, {},
                            [&](const market_event& e, const delivery& facts) {
                                from.at(facts.publisher).take(e.user, facts.lost_before);
                                for (int i = 0; i < 200; ++i) {
                                    ropeway::spin_pause();
                                }
                            });
    const std::uint64_t events = scaled(300'000);
    std::array<std::uint64_t, 2> sent{};
    {
        auto a = d.publisher("a", rings_of(32));
        auto b = d.publisher("b", rings_of(32));
        d.start();
        const auto flood = [&](ropeway::publisher<market_event>& to, std::uint64_t& count) {
            for (std::uint64_t i = 1; i <= events; ++i) {
                if (!send(to, event_kind::trade, i)) {
                    return;
                }
                ++count;
            }
        };
        std::thread other{[&] { flood(b, sent[1]); }};
        flood(a, sent[0]);
        other.join();
        CHECK(d.stop(60s).clean());
    }
    for (std::size_t i = 0; i < 2; ++i) {
        INFO("publisher " << i);
        CHECK(sent[i] == events);
        CHECK(from[i].gaps == 0);
        CHECK(from[i].last == events);
        CHECK(from[i].got + from[i].told_lost == events);
    }
    const auto stats = d.stats();
    CHECK(stats.subscriptions.at(0).dropped == from[0].told_lost + from[1].told_lost);
    CHECK(stats.subscriptions.at(0).dropped > 0);
    CHECK(stats.publishers.at(0).recycled == events);
    CHECK(stats.publishers.at(1).recycled == events);
    CHECK(stats.duplicates_out == 0);
}
