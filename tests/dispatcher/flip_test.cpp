// SPDX-License-Identifier: Apache-2.0
//
// Flips: stale market data is filtered, critical events never are, and a minimum version only
// rises.
#include <iostream>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("a flip makes waiting market data stale, and no critical event") {
    // 100 flips, each with 1000 market events and 10 execution reports pending: the worker stands
    // in a handler while they are published, so that all of them are pending when the version
    // rises.
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    constexpr std::uint64_t flips = 100;
    constexpr std::uint64_t stale_each = 1000;
    constexpr std::uint64_t critical_each = 10;
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    std::atomic<std::uint64_t> hold{0};  // the round whose marker waits
    tally held;
    tally critical;
    std::uint64_t fresh = 0;
    std::uint64_t stale = 0;
    auto reader =
        d.subscribe("reader", overflow::block, {.delivery = mode}, [&](const market_event& e) {
            if (e.kind == event_kind::execution_report) {
                critical.add();
                return;
            }
            if (e.kind == event_kind::control_ack) {  // the marker
                held.add();
                std::uint64_t round = e.user;
                hold.wait(round, std::memory_order_acquire);
                return;
            }
            // Begun after its version ended: what a flip must prevent.
            ++(e.routing_version < d.routing_version() ? stale : fresh);
        });
    auto feed = d.publisher("feed", rings_of(2048));
    struct release_at_end {
        std::atomic<std::uint64_t>& hold;
        ~release_at_end() {
            hold.store(0, std::memory_order_release);
            hold.notify_all();
        }
    } const release{hold};
    d.start();
    for (std::uint64_t round = 1; round <= flips; ++round) {
        hold.store(round, std::memory_order_release);
        REQUIRE(send(feed, event_kind::control_ack, round));
        REQUIRE(held.reached(round));
        for (std::uint64_t i = 0; i < stale_each; ++i) {
            REQUIRE(send(feed, event_kind::quote));
            if (i % (stale_each / critical_each) == 0) {
                REQUIRE(send(feed, event_kind::execution_report));
            }
        }
        REQUIRE(d.flip() == round);
        REQUIRE(send(feed, event_kind::quote));  // one of the new version
        hold.store(0, std::memory_order_release);
        hold.notify_all();
        REQUIRE(critical.reached(round * critical_each));
        // Critical events overtake market data: its ring must be empty too before the next round.
        REQUIRE(eventually([&] { return d.stats().subscriptions.at(0).lag == 0; }));
    }
    CHECK(d.stop(30s).clean());
    const auto stats = d.stats().subscriptions.at(0).consumer;
    CHECK(critical.get() == flips * critical_each);
    CHECK(stale == 0);
    // A fresh event of one round may itself be overtaken by the next flip.
    CHECK(fresh + stats.filtered == flips * (stale_each + 1));
    CHECK(stats.filtered >= flips * stale_each);
    CHECK(stats.filtered_by_kind[static_cast<std::size_t>(event_kind::execution_report)] == 0);
}

TEST_CASE("flips while events flow: no critical event is lost, versions only rise", "[stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    struct seen {
        std::uint64_t critical = 0;
        std::uint64_t market = 0;
        std::uint64_t version = 0;
        std::uint64_t fell = 0;
    };
    std::array<seen, 3> all{};
    std::vector<ropeway::subscription> subs;
    for (auto& mine : all) {
        subs.push_back(d.subscribe("s", overflow::block, {}, [&mine](const market_event& e) {
            if (ropeway::is_critical(e.kind)) {
                ++mine.critical;
                return;
            }
            ++mine.market;
            mine.fell += e.routing_version < mine.version ? 1U : 0U;
            mine.version = e.routing_version;
        }));
    }
    auto feed = d.publisher("feed");
    d.start();
    const std::uint64_t events = scaled(400'000);
    std::atomic<bool> over{false};
    std::uint64_t flips = 0;
    std::thread flipper{[&] {
        while (!over.load(std::memory_order_acquire)) {
            d.flip();
            ++flips;
            std::this_thread::yield();
        }
    }};
    std::uint64_t critical = 0;
    std::uint64_t own_flips = 0;
    for (std::uint64_t i = 1; i <= events; ++i) {
        const bool is_critical = i % 7 == 0;
        critical += is_critical ? 1U : 0U;
        if (i % 500 == 0) {
            d.flip();
            ++own_flips;
        }
        REQUIRE(send(feed, is_critical ? event_kind::control_command : event_kind::trade, i));
    }
    over.store(true, std::memory_order_release);
    flipper.join();
    CHECK(d.stop(60s).clean());
    CHECK(own_flips == events / 500);
    CHECK(d.routing_version() == own_flips + flips);
    const auto stats = d.stats();
    for (std::size_t i = 0; i < all.size(); ++i) {
        CHECK(all[i].critical == critical);
        CHECK(all[i].fell == 0);
        CHECK(all[i].market + stats.subscriptions[i].consumer.filtered == events - critical);
    }
}

TEST_CASE("flip_and_wait returns when no handler that began before runs any more") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate stuck;
    auto slow = d.subscribe("slow", overflow::block, {.kinds = event_kind::quote},
                            [&](const market_event&) { stuck.pass(); });
    ropeway::flip_report within;
    tally returned;
    auto flips = d.subscribe("flips", overflow::block, {.kinds = event_kind::execution_report},
                             [&](const market_event&) {
                                 within = d.flip_and_wait(10s);
                                 returned.add();
                             });
    auto feed = d.publisher("feed");
    CHECK(d.flip_and_wait(0s).acknowledged);  // nothing runs
    d.start();
    REQUIRE(send(feed, event_kind::execution_report));
    REQUIRE(returned.reached(1));
    CHECK(within.version == 2);
    CHECK_FALSE(within.acknowledged);  // it would wait for itself
    REQUIRE(send(feed, event_kind::quote));
    REQUIRE(stuck.held());
    const auto before = std::chrono::steady_clock::now();
    const auto refused = d.flip_and_wait(20ms);
    CHECK(std::chrono::steady_clock::now() - before >= 20ms);
    CHECK(refused.version == 3);
    CHECK_FALSE(refused.acknowledged);
    CHECK(refused.waiting_for == "slow");
    ropeway::flip_report late;
    std::thread waits{[&] { late = d.flip_and_wait(30s); }};
    REQUIRE(eventually([&] { return d.routing_version() == 4; }));
    stuck.open();
    waits.join();
    CHECK(late.acknowledged);
    CHECK(late.waiting_for.empty());
    CHECK(d.stop(30s).clean());
}

TEST_CASE(
    "a million events with a flip each 10 ms: no stale market data once flip_and_wait is back",
    "[stress]") {
    const std::uint64_t events = scaled(1'000'000);
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    std::atomic<std::uint64_t> settled{0};  // the version of the last flip that came back
    struct seen {
        std::uint64_t stale_after = 0;   ///< begun after the flip had come back
        std::uint64_t stale_within = 0;  ///< in progress while the version rose
        std::uint64_t critical = 0;
        std::uint64_t market = 0;
    };
    std::array<seen, 3> all{};
    std::vector<ropeway::subscription> subs;
    for (auto& mine : all) {
        subs.push_back(d.subscribe("s", overflow::block, {}, [&](const market_event& e) {
            if (ropeway::is_critical(e.kind)) {
                ++mine.critical;
                return;
            }
            ++mine.market;
            mine.stale_after +=
                e.routing_version < settled.load(std::memory_order_acquire) ? 1U : 0U;
            mine.stale_within += e.routing_version < d.routing_version() ? 1U : 0U;
        }));
    }
    auto feed = d.publisher("feed", rings_of(4096));
    d.start();
    std::atomic<bool> over{false};
    std::uint64_t flips = 0;
    std::uint64_t unacknowledged = 0;
    std::uint64_t pending = 0;
    std::thread flipper{[&] {
        auto next = std::chrono::steady_clock::now();
        while (!over.load(std::memory_order_acquire)) {
            for (const auto& sub : d.stats().subscriptions) {
                pending += sub.lag;
            }
            const auto report = d.flip_and_wait(10s);
            unacknowledged += report.acknowledged ? 0U : 1U;
            settled.store(report.version, std::memory_order_release);
            ++flips;
            next += 10ms;
            while (std::chrono::steady_clock::now() < next) {
                std::this_thread::yield();
            }
        }
    }};
    std::uint64_t critical = 0;
    for (std::uint64_t i = 1; i <= events; ++i) {
        const bool is_critical = i % 100 == 0;
        critical += is_critical ? 1U : 0U;
        REQUIRE(send(feed, is_critical ? event_kind::execution_report : event_kind::quote, i));
    }
    over.store(true, std::memory_order_release);
    flipper.join();
    CHECK(d.stop(60s).clean());
    CHECK(flips > 1);
    CHECK(unacknowledged == 0);
    const auto stats = d.stats();
    std::uint64_t within = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        CHECK(all[i].stale_after == 0);
        CHECK(all[i].critical == critical);
        CHECK(all[i].market + stats.subscriptions[i].consumer.filtered == events - critical);
        within += all[i].stale_within;
    }
    std::cout << flips << " flips, " << pending << " events pending at them, " << within
              << " of these handled within the window\n";
    if (pending >= 100 * flips) {       // else a handler in progress at each flip is too many
        CHECK(within * 20 <= pending);  // under 5 %
    }
}

TEST_CASE("a consumer's own minimum version filters for it alone and only rises") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    tally strict;
    tally lax;
    auto a = d.subscribe("strict", overflow::block, {.min_version = 5},
                         [&](const market_event&) { strict.add(); });
    auto b = d.subscribe("lax", overflow::block, {}, [&](const market_event&) { lax.add(); });
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade));             // version 0: stale for a
    REQUIRE(send(feed, event_kind::execution_report));  // critical: for both
    REQUIRE(lax.reached(2));
    REQUIRE(strict.reached(1));
    while (d.flip() < 5) {
    }
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(lax.reached(3));
    REQUIRE(strict.reached(2));
    CHECK(d.stop(30s).clean());
    CHECK(strict.get() == 2);
    CHECK(lax.get() == 3);
    CHECK(d.stats().subscriptions.at(0).consumer.filtered == 1);
}
