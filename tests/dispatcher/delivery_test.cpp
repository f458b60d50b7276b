// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("a duplicate is the handler's own: it may change it, and nobody else sees that") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    struct seen {
        std::uint64_t changed = 0;
        std::vector<const market_event*> where;
    };
    std::array<seen, 3> got;
    std::vector<ropeway::subscription> subscriptions;
    for (seen& mine : got) {
        mine.where.reserve(64);
        subscriptions.push_back(
            d.subscribe("writer", overflow::block, {}, [&mine](market_event& e) {
                mine.changed += e.price != 77 || e.trace.low != 5 || e.quantity != 3;
                mine.where.push_back(&e);
                e = market_event{};
                e.price = -1;
            }));
    }
    auto feed = d.publisher("feed", rings_of(64));
    std::vector<const market_event*> slots;
    for (int i = 0; i < 64; ++i) {
        auto event = feed.claim();
        REQUIRE(event);
        event->price = 77;
        event->quantity = 3;
        event->trace = {4, 5};
        slots.push_back(&*event);
        REQUIRE(feed.publish(std::move(event)));
    }
    d.start();
    CHECK(d.stop(30s).clean());
    for (const seen& mine : got) {
        CHECK(mine.changed == 0);
        REQUIRE(mine.where.size() == slots.size());
        for (std::size_t i = 0; i < slots.size(); ++i) {
            CHECK(mine.where[i] != slots[i]);
        }
    }
}

TEST_CASE("in_place gives the handler the slot of the ring itself") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::vector<const market_event*> where;
    auto reader = d.subscribe("reader", policy, {.delivery = ropeway::in_place},
                              [&](const market_event& e) { where.push_back(&e); });
    auto feed = d.publisher("feed", rings_of(64));
    std::vector<const market_event*> slots;
    for (int i = 0; i < 64; ++i) {
        auto event = feed.claim();
        slots.push_back(&*event);
        REQUIRE(feed.publish(std::move(event)));
    }
    d.start();
    CHECK(d.stop(30s).clean());
    CHECK(where == slots);
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("in_place is refused for a handler that wants to change the event") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    const auto attempt = [&] {
        return d.subscribe("writer", overflow::block, {.delivery = ropeway::in_place},
                           [](market_event& e) { e.user = 1; });
    };
    REQUIRE_THROWS_AS(attempt(), std::invalid_argument);
    try {
        static_cast<void>(attempt());
    } catch (const std::invalid_argument& error) {
        CHECK_THAT(error.what(), Catch::Contains("writer") && Catch::Contains("const"));
    }
}

namespace {

/// An event of the user's own, with members that own memory.
struct order_text {
    std::uint32_t kind = 0;
    std::uint64_t routing_version = 0;
    std::string text;
};

}  // namespace

TEST_CASE("an event type that owns memory is cloned for each subscriber and reset on return") {
    ropeway::dispatcher<order_text> d{small_dispatcher()};
    std::vector<std::string> first;
    std::vector<std::string> second;
    auto a = d.subscribe("a", overflow::block, {}, [&](order_text& e) {
        first.push_back(e.text);
        e.text.assign(200, 'x');
    });
    auto b = d.subscribe("b", overflow::block, {.delivery = ropeway::in_place},
                         [&](const order_text& e) { second.push_back(e.text); });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    std::vector<std::string> sent;
    for (int i = 0; i < 200; ++i) {
        auto event = feed.claim();
        REQUIRE(event);
        REQUIRE(event->text.empty());
        event->text = "a text too long for the small buffer, number " + std::to_string(i);
        sent.push_back(event->text);
        REQUIRE(feed.publish(std::move(event)));
    }
    CHECK(d.stop(30s).clean());
    CHECK(first == sent);
    CHECK(second == sent);
}
