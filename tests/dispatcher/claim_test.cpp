// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <random>
#include <type_traits>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::guard_level;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("claims run out at a stated bound, and dropping one gives another") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto params = rings_of(16);
    params.spare_claims = 4;
    auto feed = d.publisher("feed", params);
    std::vector<ropeway::claimed<market_event>> held;
    for (int i = 0; i < 20; ++i) {
        held.push_back(feed.claim());
        REQUIRE(held.back());
    }
    CHECK_FALSE(feed.claim());
    CHECK(feed.stats().claims_out == 20);
    held.pop_back();
    auto again = feed.claim();
    CHECK(again);
    CHECK_FALSE(feed.claim());
    held.clear();
    again = {};
    CHECK(feed.stats().claims_out == 0);
    for (int i = 0; i < 20; ++i) {
        held.push_back(feed.claim());
        REQUIRE(held.back());
    }
}

TEST_CASE("a claim starts as a default event of the current routing version") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    for (std::uint64_t i = 0; i < 100; ++i) {
        auto event = feed.claim();
        REQUIRE(event->routing_version == i);
        event->routing_version = 0;
        REQUIRE(*event == market_event{});
        event->user = 7;
        event->price = 9;
        REQUIRE(feed.publish(std::move(event)));
        REQUIRE(d.flip() == i + 1);
    }
    CHECK(d.routing_version() == 100);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("claims may be published in any order, as any class, or dropped: nothing is lost") {
    const auto level = GENERATE(guard_level::guard, guard_level::full, guard_level::degenerate);
    violations seen;
    auto params = small_dispatcher();
    params.guard = level;
    ropeway::dispatcher<market_event> d{params};
    std::array<std::uint64_t, 2> last{};
    std::uint64_t got = 0;
    std::uint64_t wrong = 0;
    auto reader = d.subscribe(
        "reader", overflow::block, {}, [&](const market_event& e, const ropeway::delivery& facts) {
            std::uint64_t& before = last[ropeway::is_critical(e.kind) ? 1 : 0];
            wrong += facts.sequence <= before || e.user != facts.sequence || e.order != ~e.user;
            before = facts.sequence;
            ++got;
        });
    auto lossy = d.subscribe("lossy", overflow::drop_oldest, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    std::mt19937 random{20260731};
    std::vector<ropeway::claimed<market_event>> held;
    std::uint64_t published = 0;
    std::uint64_t refused = 0;
    for (std::uint64_t i = 0; i < scaled(30'000); ++i) {
        if (held.size() < 12 && (held.empty() || random() % 2 == 0)) {
            held.push_back(feed.claim());
            REQUIRE(held.back());
            continue;
        }
        std::swap(held[random() % held.size()], held.back());
        auto event = std::move(held.back());
        held.pop_back();
        if (random() % 8 == 0) {
            continue;  // dropped
        }
        event->kind = random() % 4 == 0 ? event_kind::control_command : event_kind::quote;
        event->user = published + 1;
        event->order = ~event->user;
        const auto sent = feed.publish(std::move(event));
        refused += sent.sequence == published + 1 ? 0U : 1U;
        ++published;
    }
    held.clear();
    CHECK(d.stop(30s).clean());
    CHECK(refused == 0);
    CHECK(wrong == 0);
    CHECK(got == published);
    CHECK(seen.all() == 0);
    const auto stats = feed.stats();
    CHECK(stats.claims_out == 0);
    CHECK(stats.published == published);
    CHECK(stats.recycled == published);
    CHECK(stats.in_rings == 0);
}

TEST_CASE("a publisher may be handed to another thread") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    violations seen;
    for (int i = 0; i < 20; ++i) {
        std::uint64_t refused = 0;
        std::thread{[&] {
            for (int k = 0; k < 100; ++k) {
                refused += send(feed, event_kind::trade) ? 0U : 1U;
            }
        }}.join();
        REQUIRE(refused == 0);
    }
    CHECK(d.stop(30s).clean());
    CHECK(reader.stats().consumer.done == 2000);
    CHECK(seen.all() == 0);
}

TEST_CASE("a publisher that was moved from is empty and harmless") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    static_assert(!std::is_copy_constructible_v<ropeway::publisher<market_event>>);
    static_assert(!std::is_copy_assignable_v<ropeway::publisher<market_event>>);
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto from = d.publisher("feed", rings_of(16));
    auto to = std::move(from);
    CHECK_FALSE(from);  // NOLINT(bugprone-use-after-move): what this test is about
    CHECK_FALSE(from.claim());
    CHECK(from.publish(from.claim()).status == ropeway::publish_status::misuse);
    CHECK(send(to, event_kind::trade));
    d.start();
    CHECK(d.stop(30s).clean());
}

TEST_CASE("once the ring has emptied, all of it can be claimed again") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    tally got;
    auto reader =
        d.subscribe("reader", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto params = rings_of(16);
    params.spare_claims = 4;
    auto feed = d.publisher("feed", params);
    d.start();
    std::uint64_t sent = 0;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 1 + round % 16; ++i) {
            REQUIRE(send(feed, event_kind::trade));
            ++sent;
        }
        REQUIRE(got.reached(sent));
        REQUIRE(eventually([&] { return d.stats().subscriptions.at(0).lag == 0; }));
        std::vector<ropeway::claimed<market_event>> held;
        for (int i = 0; i < 16; ++i) {
            held.push_back(feed.claim());
            CAPTURE(round, i);
            REQUIRE(held.back());
        }
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("claims that come and go while stop() goes through the slots", "[stress]") {
    const auto level = GENERATE(guard_level::guard, guard_level::full);
    for (std::uint64_t round = 0; round < scaled(200); ++round) {
        violations seen;
        auto params = small_dispatcher();
        params.guard = level;
        ropeway::dispatcher<market_event> d{params};
        auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
        auto feed = d.publisher("feed", rings_of(16));
        d.start();
        tally rounds;
        std::atomic<bool> quit{false};
        std::thread claiming{[&] {
            while (!quit.load(std::memory_order_acquire)) {
                auto a = feed.claim();
                auto b = feed.claim();
                if (a) {
                    a->kind = event_kind::trade;
                    static_cast<void>(feed.try_publish(std::move(a)));
                }
                rounds.add();
            }
        }};
        REQUIRE(rounds.reached(50));
        const auto report = d.stop(30s);
        REQUIRE(rounds.reached(rounds.get() + 50));
        quit.store(true, std::memory_order_release);
        claiming.join();
        REQUIRE(report.drained);
        REQUIRE(report.slots_outstanding <= 2);  // those it held at that moment
        REQUIRE(d.stats().publishers.at(0).claims_out == 0);
        REQUIRE(seen.all() == 0);
    }
}
