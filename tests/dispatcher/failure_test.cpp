// SPDX-License-Identifier: Apache-2.0
//
// Handlers that throw: every failure is a record, the others get everything, nothing leaks.
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::failure_record;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("every failure becomes a record that says which event, which consumer, and why") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto bad = d.subscribe("momentum", overflow::block, {}, [](market_event& e) {
        const std::uint64_t which = e.user;
        e = {};  // its own duplicate: the record must not be taken from it
        if (which == 2) {
            throw std::runtime_error("price 42 is off the book");
        }
        if (which == 3) {
            throw 17;
        }
    });
    auto feed = d.publisher("feed");
    d.start();
    d.flip();
    for (std::uint64_t i = 1; i <= 4; ++i) {
        auto event = feed.claim();
        REQUIRE(event);
        event->kind = i == 3 ? event_kind::execution_report : event_kind::trade;
        event->user = i;
        event->trace = {0xABCD, i};
        const bool last = i == 4;
        REQUIRE(feed.publish(std::move(event)));
        static_cast<void>(last);
    }
    CHECK(d.stop(30s).clean());
    std::array<failure_record, 8> records{};
    REQUIRE(d.drain_failures(records) == 2);
    // A critical event goes before market data that waits, so either may come first.
    const auto& text = records[records[0].sequence == 2 ? 0 : 1];
    const auto& other = records[records[0].sequence == 2 ? 1 : 0];
    CHECK(std::string{text.what} == "price 42 is off the book");
    CHECK(std::string{text.consumer} == "momentum");
    CHECK(text.trace == ropeway::trace_id{0xABCD, 2});
    CHECK(text.kind == static_cast<std::uint32_t>(event_kind::trade));
    CHECK(text.routing_version == d.routing_version());
    CHECK(text.sequence == 2);
    CHECK(text.at_ns > 1'600'000'000'000'000'000);
    CHECK(other.trace == ropeway::trace_id{0xABCD, 3});
    CHECK(other.kind == static_cast<std::uint32_t>(event_kind::execution_report));
    CHECK(other.sequence == 3);
    CHECK_FALSE(std::string{other.what}.empty());
    CHECK(d.drain_failures(records) == 0);
    const auto stats = d.stats();
    CHECK(stats.failures_recorded == 2);
    CHECK(stats.failures_dropped == 0);
    CHECK(stats.subscriptions.at(0).consumer.failed == 2);
    CHECK(stats.subscriptions.at(0).consumer.done == 2);
}

TEST_CASE("a hundred thousand events, one in ten thrown at: threads and slots are back at the end",
          "[stress]") {
    // oneTBB's own threads and this library's are made here and must be gone again.
    const std::size_t threads_before = thread_count();
    const std::uint64_t events = scaled(100'000);
    std::uint64_t thrown = 0;
    std::uint64_t recorded = 0;
    std::uint64_t wrong = 0;
    std::array<std::uint64_t, 3> got{};
    {
        ropeway::dispatcher<market_event> d{small_dispatcher()};
        auto bad = d.subscribe("bad", overflow::block, {}, [&](const market_event& e) {
            ++got[0];
            if (e.user % 10 == 3) {
                ++thrown;
                throw std::runtime_error("every tenth");
            }
        });
        auto good =
            d.subscribe("good", overflow::block, {}, [&](const market_event&) { ++got[1]; });
        auto in_ring = d.subscribe("in ring", overflow::block, {.delivery = ropeway::in_place},
                                   [&](const market_event& e) {
                                       ++got[2];
                                       if (e.user == 0) {
                                           throw std::runtime_error("never");
                                       }
                                   });
        auto feed = d.publisher("feed");
        std::vector<failure_record> records(256);
        const auto drain = [&] {
            for (std::size_t n = 0; (n = d.drain_failures(records)) != 0;) {
                for (std::size_t i = 0; i < n; ++i) {
                    wrong += std::string_view{records[i].what} != "every tenth" ||
                                     records[i].trace.low % 10 != 3 ||
                                     std::string_view{records[i].consumer} != "bad"
                                 ? 1U
                                 : 0U;
                }
                recorded += n;
            }
        };
        d.start();
        for (std::uint64_t i = 1; i <= events; ++i) {
            auto event = feed.claim();
            REQUIRE(event);
            event->kind = i % 50 == 0 ? event_kind::control_result : event_kind::trade;
            event->user = i;
            event->trace = {1, i};
            REQUIRE(feed.publish(std::move(event)));
            if (i % 500 == 0) {
                drain();
            }
        }
        const auto report = d.stop(60s);
        CHECK(report.clean());
        CHECK(report.threads_gone);
        drain();
        const auto stats = d.stats();
        CHECK(stats.failures_dropped == 0);
        CHECK(stats.duplicates_out == 0);
        CHECK(stats.publishers.at(0).recycled == events);
        CHECK(d.leaks().clean());
    }
    CHECK(got == std::array<std::uint64_t, 3>{events, events, events});
    CHECK(thrown == events / 10);
    CHECK(recorded == thrown);
    CHECK(wrong == 0);
    CHECK(eventually([&] { return thread_count() <= threads_before; }));
}

TEST_CASE("failures beyond the queue are counted, and the worker goes on") {
    auto params = small_dispatcher();
    params.failure_capacity = 64;
    params.failure_wait = 0ns;
    ropeway::dispatcher<market_event> d{params};
    auto bad = d.subscribe("bad", overflow::block, {},
                           [](const market_event&) { throw std::runtime_error("always"); });
    auto feed = d.publisher("feed");
    d.start();
    constexpr std::uint64_t events = 2000;
    for (std::uint64_t i = 1; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    CHECK(d.stop(30s).clean());
    const auto stats = d.stats();
    CHECK(stats.subscriptions.at(0).consumer.failed == events);
    CHECK(stats.failures_dropped > 0);
    std::vector<failure_record> records(events);
    const std::size_t kept = d.drain_failures(records);
    CHECK(kept + stats.failures_dropped == events);
}

TEST_CASE("a consumer that fails too often in a row is quarantined, tried again, and let back in",
          "[quarantine]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    std::atomic<std::uint64_t> told{0};
    auto params = small_dispatcher(1);
    params.on_alert = [&](const ropeway::alert& what) {
        told +=
            what.kind == ropeway::alert_kind::quarantined && what.subscription == "bad" ? 1U : 0U;
    };
    ropeway::dispatcher<market_event> d{params};
    std::atomic<bool> broken{true};
    std::uint64_t calls = 0;
    tally reports;
    auto bad = d.subscribe("bad", policy,
                           {.delivery = mode, .quarantine = {.after = 3, .retry_after = 20ms}},
                           [&](const market_event& e) {
                               ++calls;
                               if (broken) {
                                   throw std::runtime_error("broken");
                               }
                               if (e.kind == event_kind::execution_report) {
                                   reports.add();
                               }
                           });
    tally got;
    auto good = d.subscribe("good", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    std::uint64_t sent = 0;
    const auto flood = [&](int events) {
        for (int i = 0; i < events; ++i, ++sent) {
            REQUIRE(send(feed, event_kind::trade));
        }
        REQUIRE(got.reached(sent));
    };
    flood(1000);  // far more than a ring: a blocking one in quarantine holds up nobody
    REQUIRE(eventually([&] { return told != 0; }));
    CHECK(bad.stats().quarantined);
    CHECK(bad.stats().quarantines >= 1);
    CHECK(bad.stats().consumer.failed >= 3);
    for (int i = 0; i < 10; ++i, ++sent) {
        REQUIRE(send(feed, event_kind::execution_report));  // these wait
    }
    REQUIRE(eventually([&] { return bad.stats().quarantines >= 3; }));  // tried again, and again
    broken = false;
    REQUIRE(got.reached(sent));
    REQUIRE(eventually([&] {  // each event has come to its end, and it is let back in
        const auto now = bad.stats();
        return !now.quarantined && now.consumer.done + now.consumer.failed + now.dropped == sent;
    }));
    const std::uint64_t failed =
        bad.stats().consumer.failed_by_kind[static_cast<std::size_t>(event_kind::execution_report)];
    CHECK(reports.get() + failed == 10);
    const std::uint64_t before = bad.stats().consumer.done;
    flood(50);
    REQUIRE(eventually([&] { return bad.stats().consumer.done == before + 50; }));
    CHECK(d.stop(30s).clean());
    const auto stats = bad.stats();
    CHECK(stats.consumer.done + stats.consumer.failed + stats.dropped == sent);
    CHECK(stats.dropped_by_kind[static_cast<std::size_t>(event_kind::execution_report)] == 0);
    CHECK(stats.dropped > 0);
    CHECK(d.stats().subscriptions.at(1).dropped == 0);
}

TEST_CASE("without a quarantine a consumer that always throws loses only its own events",
          "[quarantine]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto bad = d.subscribe("bad", overflow::block, {},
                           [](const market_event&) { throw std::runtime_error("broken"); });
    tally got;
    auto good = d.subscribe("good", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    const std::uint64_t events = scaled(5000);
    for (std::uint64_t i = 0; i < events; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    REQUIRE(got.reached(events));
    CHECK(d.stop(30s).clean());
    CHECK(bad.stats().consumer.failed == events);
    CHECK(bad.stats().quarantines == 0);
    CHECK(d.stats().duplicates_out == 0);
}
