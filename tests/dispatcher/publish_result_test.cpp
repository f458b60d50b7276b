// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;

TEST_CASE("sent tells the sequence, and the slot is the publisher's again") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    auto event = feed.claim();
    const auto sent = feed.publish(std::move(event));
    CHECK(sent);
    CHECK(sent.status == publish_status::sent);
    CHECK(sent.sequence == 1);
    CHECK(sent.count == 1);
    CHECK_FALSE(event);
    CHECK(feed.stats().claims_out == 0);
}

TEST_CASE("a critical event that nobody wants is an alarm of its own") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {.kinds = ropeway::market_data},
                              [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    CHECK(send(feed, event_kind::execution_report).status == publish_status::no_subscriber);
    CHECK(send(feed, event_kind::trade).status == publish_status::sent);
    CHECK(feed.stats().unwanted == 1);
    CHECK(feed.stats().critical_unwanted == 1);
}

TEST_CASE("full names the subscription, keeps the claim, and a later try goes through") {
    const auto kind = GENERATE(event_kind::trade, event_kind::execution_report);
    const bool critical = kind == event_kind::execution_report;
    const auto full = critical ? publish_status::backlog_full : publish_status::full;
    const std::uint64_t fit = critical ? 16 + 16 : 16;  // ring and backlog, or ring
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::vector<std::uint64_t> got;
    auto reader = d.subscribe("the slow one", overflow::block, {.backlog = 16},
                              [&](const market_event& e) { got.push_back(e.user); });
    auto feed = d.publisher("feed", rings_of(16));
    for (std::uint64_t i = 0; i < fit; ++i) {
        REQUIRE(send(feed, kind, i));
    }
    auto event = feed.claim();
    event->kind = kind;
    event->user = fit;
    const auto tried = feed.try_publish(std::move(event));
    CHECK(tried.status == full);
    CHECK(tried.waited == 0ns);
    CHECK(tried.held_by == "the slow one");
    CHECK(tried.count == 0);
    CHECK(tried.sequence == 0);
    CHECK_FALSE(tried);
    REQUIRE(event);
    const auto before = std::chrono::steady_clock::now();
    const auto waited = feed.publish(std::move(event), 5ms);
    CHECK(waited.status == full);
    CHECK(waited.held_by == "the slow one");
    CHECK(waited.waited >= 5ms);
    CHECK(std::chrono::steady_clock::now() - before >= waited.waited);
    REQUIRE(event);
    CHECK(event->user == fit);
    CHECK(feed.stats().refused == 2);
    d.start();
    CHECK(feed.publish(std::move(event)).status == publish_status::sent);
    CHECK_FALSE(event);
    CHECK(d.stop(30s).clean());
    REQUIRE(got.size() == fit + 1);
    for (std::uint64_t i = 0; i <= fit; ++i) {
        CHECK(got[i] == i);
    }
}

TEST_CASE("a full critical ring does not hold up market data") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader =
        d.subscribe("reader", overflow::block, {.backlog = 16}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    for (int i = 0; i < 16 + 16; ++i) {
        REQUIRE(send(feed, event_kind::control_ack));
    }
    auto event = feed.claim();
    event->kind = event_kind::control_ack;
    REQUIRE(feed.try_publish(std::move(event)).status == publish_status::backlog_full);
    for (int i = 0; i < 16; ++i) {
        CHECK(send(feed, event_kind::trade).status == publish_status::sent);
    }
    d.start();
    CHECK(feed.publish(std::move(event)).status == publish_status::sent);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("inside a handler publish never waits: it says would_block and who") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto echo = d.publisher("echo", rings_of(16));
    std::uint64_t echoed = 0;
    publish_status last = publish_status::sent;
    bool kept = false;
    bool named = false;
    tally done;
    auto self = d.subscribe("self", overflow::block, {}, [&](const market_event& e) {
        if (e.user != 1) {
            return;
        }
        while (last == publish_status::sent) {
            auto event = echo.claim();
            event->user = 2;
            const auto result = echo.publish(std::move(event));
            last = result.status;
            named = result.held_by == "self";
            kept = static_cast<bool>(event);
            echoed += result ? 1U : 0U;
        }
        done.add();
    });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    REQUIRE(send(feed, event_kind::trade, 1));
    REQUIRE(done.reached(1));
    CHECK(d.stop(30s).clean());
    CHECK(last == publish_status::would_block);
    CHECK(kept);
    CHECK(named);
    CHECK(echoed >= 16);
    CHECK(self.stats().consumer.done == 1 + echoed);
}

TEST_CASE("two handlers that publish to each other do not deadlock") {
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    const std::uint64_t rounds = scaled(5000);
    std::array<ropeway::publisher<market_event>, 2> out{d.publisher("ping", rings_of(16)),
                                                        d.publisher("pong", rings_of(16))};
    std::array<std::uint64_t, 2> blocked{};
    std::vector<ropeway::subscription> players;
    for (std::size_t i = 0; i < 2; ++i) {
        ropeway::subscription_params params;
        params.instruments = {static_cast<std::uint32_t>(i + 1)};
        players.push_back(
            d.subscribe("player", overflow::block, params, [&, i](const market_event& e) {
                for (int n = 0; n < 3 && e.user > 0; ++n) {
                    auto event = out[i].claim();
                    event->instrument = static_cast<std::uint32_t>(2 - i);
                    event->user = n == 0 ? e.user - 1 : 0;
                    blocked[i] += out[i].publish(std::move(event)) ? 0U : 1U;
                }
            }));
    }
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    for (std::uint64_t i = 0; i < rounds; ++i) {
        REQUIRE(send(feed, event_kind::trade, 3, 1 + static_cast<std::uint32_t>(i % 2)));
    }
    // What handlers publish while it stops is refused; what they published before is delivered.
    CHECK(d.stop(30s).clean());
}

TEST_CASE("after stop() publish says stopped and the claim is still the caller's") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    CHECK(d.stop(30s).clean());
    auto event = feed.claim();
    REQUIRE(event);
    const auto result = feed.publish(std::move(event));
    CHECK(result.status == publish_status::stopped);
    CHECK_FALSE(result);
    CHECK(event);
    CHECK(feed.stats().refused == 1);
}

TEST_CASE("a publisher that waits for a slow subscription is let go by stop()") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    publish_status last = publish_status::sent;
    std::thread publishing{[&] {
        while (last == publish_status::sent) {
            last = send(feed, event_kind::trade).status;
        }
    }};
    REQUIRE(eventually([&] { return feed.stats().waits == 1; }));
    const auto report = d.stop(0ms);  // never started: nobody takes anything
    publishing.join();
    CHECK(last == publish_status::stopped);
    CHECK(report.undelivered == 16);
    CHECK_FALSE(report.drained);
}

TEST_CASE("every outcome has a word for messages") {
    for (const auto status :
         {publish_status::sent, publish_status::no_subscriber, publish_status::full,
          publish_status::backlog_full, publish_status::would_block, publish_status::stopped,
          publish_status::misuse}) {
        CHECK(ropeway::to_string(status) != "unknown");
    }
    CHECK(ropeway::to_string(static_cast<publish_status>(99)) == "unknown");
}
