// SPDX-License-Identifier: Apache-2.0
//
// Ways to publish beside publish(): through a shared intake, with a wait for every consumer; and
// what a feed is told of those behind it.
#include <map>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::delivery_outcome;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;

namespace {

[[nodiscard]] market_event event_of(event_kind kind, std::uint64_t user,
                                    std::uint32_t instrument = 0) {
    market_event out;
    out.kind = kind;
    out.user = user;
    out.instrument = instrument;
    return out;
}

[[nodiscard]] delivery_outcome outcome_of(const ropeway::wait_report& report,
                                          const std::string& name) {
    for (const auto& one : report.consumers) {
        if (one.name == name) {
            return one.outcome;
        }
    }
    throw std::runtime_error(name + " is not in the report");
}

}  // namespace

TEST_CASE("threads without a publisher share an intake: in order per thread, nothing lost",
          "[intake][stress]") {
    const std::uint32_t capacity = GENERATE(64U, 4096U);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    constexpr std::size_t threads = 4;
    const std::uint64_t events = scaled(50'000);
    std::array<std::array<std::uint64_t, 2>, threads> last{};
    std::uint64_t disorder = 0;
    auto sub = d.subscribe("s", overflow::block, {}, [&](const market_event& e) {
        std::uint64_t& before = last.at(e.instrument - 1)[ropeway::is_critical(e.kind) ? 1 : 0];
        disorder += e.user <= before ? 1U : 0U;
        before = e.user;
    });
    auto shared = d.make_intake("orders", {.capacity = capacity, .publisher = rings_of(64)});
    d.start();
    std::atomic<std::uint64_t> refused{0};
    std::vector<std::thread> all;
    for (std::uint32_t t = 0; t < threads; ++t) {
        all.emplace_back([&, t, mine = shared]() mutable {
            for (std::uint64_t i = 1; i <= events; ++i) {
                const auto event = event_of(
                    i % 16 == 0 ? event_kind::control_command : event_kind::trade, i, t + 1);
                while (!mine.publish(event)) {  // full
                    refused.fetch_add(1, std::memory_order_relaxed);
                    std::this_thread::yield();
                }
            }
        });
    }
    for (std::thread& thread : all) {
        thread.join();
    }
    CHECK(d.stop(60s).clean());
    CHECK(disorder == 0);
    const auto stats = d.stats();
    CHECK(stats.subscriptions.at(0).consumer.done == threads * events);
    REQUIRE(stats.intakes.size() == 1);
    CHECK(stats.intakes[0].name == "orders");
    CHECK(stats.intakes[0].taken == threads * events);
    CHECK(stats.intakes[0].refused == refused);
    CHECK(stats.intakes[0].waiting == 0);
    CHECK(stats.intakes[0].capacity == capacity);
}

TEST_CASE("an intake never waits, and what waits in it goes on when there is room", "[intake]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate stuck;
    tally got;
    auto sub = d.subscribe("slow", overflow::block, {}, [&](const market_event&) {
        if (got.get() == 0) {
            stuck.pass();
        }
        got.add();
    });
    auto shared = d.make_intake("shared", {.capacity = 64, .publisher = rings_of(16)});
    d.start();
    std::uint64_t sent = 0;
    ropeway::publish_result last;
    do {
        last = shared.publish(event_of(event_kind::trade, 1));
        sent += last ? 1U : 0U;
    } while (last);
    CHECK(last.status == publish_status::full);
    CHECK(last.held_by == "slow");
    CHECK(sent >= 64 + 16 - 4);
    CHECK(shared.stats().waiting >= 48);
    stuck.open();
    REQUIRE(got.reached(sent));  // nobody publishes any more
    CHECK(shared.stats().waiting == 0);
    CHECK(shared.publish(event_of(event_kind::trade, 1)).status == publish_status::sent);
    CHECK(d.stop(30s).clean());
    CHECK(shared.publish(event_of(event_kind::trade, 1)).status == publish_status::stopped);
    CHECK(got.get() == sent + 1);
}

TEST_CASE("what stop() finds in an intake is counted and told, and its slots come back",
          "[intake]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    std::vector<std::string> told;
    d.on_undelivered([&](std::string_view name, const market_event& e) {
        told.push_back(std::string{name} + " " + std::to_string(e.user));
    });
    auto sub =
        d.subscribe("s", overflow::block, {.kinds = event_kind::execution_report, .backlog = 16},
                    [](const market_event&) {});
    auto shared = d.make_intake("shared", {.capacity = 64, .publisher = rings_of(16)});
    CHECK(shared.publish(event_of(event_kind::trade, 1)).status == publish_status::no_subscriber);
    for (std::uint64_t i = 1; i <= 40; ++i) {
        REQUIRE(shared.publish(event_of(event_kind::execution_report, i)));
    }
    const auto report = d.stop(0s);
    CHECK(report.undelivered_critical == 40);
    CHECK(report.slots_outstanding == 0);
    REQUIRE(told.size() == 40);
    CHECK(std::count(told.begin(), told.end(), "s 32") == 1);
    CHECK(std::count(told.begin(), told.end(), "shared 40") == 1);
}

TEST_CASE("an intake's parameters are checked") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    CHECK_THROWS_WITH(d.make_intake("x", {.capacity = 63}), Catch::Contains("capacity is 63"));
}

TEST_CASE("publish_and_wait tells what became of the event at every consumer", "[wait]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place, ropeway::original);
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    const auto kind = GENERATE(event_kind::trade, event_kind::execution_report);
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    const bool critical = kind == event_kind::execution_report;
    std::uint64_t got = 0;
    auto takes =
        d.subscribe("takes", policy, {.delivery = mode}, [&](const market_event&) { ++got; });
    auto throws = d.subscribe("throws", policy, {.delivery = mode},
                              [](const market_event&) { throw std::runtime_error("no"); });
    auto newer = d.subscribe("newer", policy, {.delivery = mode, .min_version = 7},
                             [](const market_event&) {});
    auto other = d.subscribe(
        "other", policy, {.kinds = event_kind::ticker | event_kind::control_ack, .delivery = mode},
        [](const market_event&) {});
    auto runs_here =
        d.subscribe("inline", policy, {.delivery = mode, .execution = ropeway::inline_},
                    [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (std::uint64_t i = 1; i <= scaled(500); ++i) {
        auto event = feed.claim();
        event->kind = kind;
        const auto report = feed.publish_and_wait(std::move(event), {}, 30s);
        REQUIRE(report.published.status == publish_status::sent);
        REQUIRE(report.published.sequence == i);
        REQUIRE(report.complete);
        REQUIRE(got == i);
        REQUIRE(report.consumers.size() == 5);
        REQUIRE(outcome_of(report, "takes") == delivery_outcome::delivered);
        REQUIRE(outcome_of(report, "throws") == delivery_outcome::failed);
        REQUIRE(outcome_of(report, "newer") ==
                (critical ? delivery_outcome::delivered : delivery_outcome::filtered));
        REQUIRE(outcome_of(report, "other") == delivery_outcome::unwanted);
        REQUIRE(outcome_of(report, "inline") == delivery_outcome::delivered);
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("publish_and_wait: deadline, cancellation, and a consumer that leaves", "[wait]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate stuck;
    tally got;
    std::atomic<std::uint64_t> cancelled_calls{0};
    auto slow = d.subscribe("slow", overflow::block, {}, [&](const market_event& e) {
        if (e.user == 1) {
            stuck.pass();
        }
        cancelled_calls += e.user == 3 ? 1U : 0U;
        got.add();
    });
    auto feed = d.publisher("feed", rings_of(64));
    auto other = d.publisher("other", rings_of(64));
    d.start();
    const auto claim = [](auto& from, event_kind kind, std::uint64_t user) {
        auto event = from.claim();
        event->kind = kind;
        event->user = user;
        return event;
    };
    {
        std::stop_source before;
        before.request_stop();
        auto event = claim(feed, event_kind::trade, 9);
        const auto report = feed.publish_and_wait(std::move(event), before.get_token(), 30s);
        CHECK(report.published.status == publish_status::cancelled);
        CHECK(event);  // still ours
    }
    const auto late = feed.publish_and_wait(claim(feed, event_kind::trade, 1), {}, 20ms);
    CHECK(late.published.status == publish_status::sent);
    CHECK_FALSE(late.complete);
    CHECK(outcome_of(late, "slow") == delivery_outcome::pending);
    // Two wait behind it: market data, which is cancelled, and a critical event, which is not.
    for (const bool critical : {false, true}) {
        std::stop_source source;
        ropeway::wait_report report;
        auto& from = critical ? other : feed;
        std::thread waits{[&] {
            report = from.publish_and_wait(
                claim(from, critical ? event_kind::execution_report : event_kind::trade,
                      critical ? 4 : 3),
                source.get_token(), 30s);
        }};
        REQUIRE(eventually([&] { return from.stats().published == (critical ? 1U : 2U); }));
        source.request_stop();
        waits.join();
        CHECK_FALSE(report.complete);
        CHECK(outcome_of(report, "slow") == delivery_outcome::pending);
    }
    stuck.open();
    REQUIRE(got.reached(2));  // the first, and the critical one
    REQUIRE(eventually([&] { return slow.stats().lag == 0; }));
    CHECK(cancelled_calls == 0);
    CHECK(slow.stats().consumer.filtered == 1);
    gate again;
    auto hangs = d.subscribe("hangs", overflow::block, {.execution = ropeway::own_thread},
                             [&](const market_event&) { again.pass(); });
    ropeway::wait_report report;
    std::thread waits{
        [&] { report = feed.publish_and_wait(claim(feed, event_kind::trade, 5), {}, 30s); }};
    REQUIRE(again.held());
    CHECK_FALSE(hangs.unsubscribe(ropeway::leaving::discard, 10ms).ended);
    waits.join();
    CHECK(report.complete);
    CHECK(outcome_of(report, "hangs") == delivery_outcome::dropped);
    CHECK(outcome_of(report, "slow") == delivery_outcome::delivered);
    again.open();
    CHECK(d.stop(30s).clean());
}

TEST_CASE("publish_and_wait inside a handler is refused", "[wait]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto out = d.publisher("out");
    ropeway::wait_report report;
    bool kept = false;
    tally done;
    auto sub = d.subscribe("s", overflow::block, {}, [&](const market_event&) {
        auto event = out.claim();
        report = out.publish_and_wait(std::move(event));
        kept = static_cast<bool>(event);
        done.add();
    });
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(done.reached(1));
    CHECK(report.published.status == publish_status::would_block);
    CHECK(kept);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("approx_free and slowest tell a feed who is behind, and how far") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto feed = d.publisher("feed", rings_of(64));
    CHECK(feed.approx_free() == 64);
    CHECK(feed.slowest().name.empty());
    gate stuck;
    auto slow =
        d.subscribe("slow", overflow::block, {}, [&](const market_event&) { stuck.pass(); });
    auto lossy = d.subscribe("lossy", overflow::drop_oldest, {}, [](const market_event&) {});
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(stuck.held());
    REQUIRE(eventually([&] { return slow.stats().lag == 0; }));  // it holds its copy
    for (int i = 0; i < 40; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    REQUIRE(eventually([&] { return lossy.stats().lag == 0; }));  // served by a replacement
    CHECK(feed.slowest().name == "slow");
    CHECK(feed.slowest().lag == 40);
    CHECK(feed.approx_free() == 64 - 40);
    for (int i = 0; i < 24; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    CHECK(feed.approx_free() == 0);
    {
        auto event = feed.claim();
        REQUIRE(event);
        CHECK(feed.try_publish(std::move(event)).status == publish_status::full);
    }
    stuck.open();
    REQUIRE(eventually([&] { return feed.approx_free() == 64; }));
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a halted publisher refuses from the next publish on, and goes on when resumed") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    tally got;
    auto sub = d.subscribe("s", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    feed.halt();
    auto event = feed.claim();
    REQUIRE(event);
    CHECK(feed.publish(std::move(event)).status == publish_status::halted);
    CHECK(event);
    CHECK(send(feed, event_kind::execution_report).status == publish_status::halted);
    CHECK(feed.stats().refused == 2);
    feed.resume();
    CHECK(feed.publish(std::move(event)).status == publish_status::sent);
    REQUIRE(got.reached(2));

    // From another thread, while it publishes.
    std::atomic<bool> goes_on{true};
    std::atomic<std::uint64_t> sent{2};
    std::thread publishing{[&] {
        while (goes_on.load()) {
            sent += send(feed, event_kind::trade).status == publish_status::sent ? 1U : 0U;
        }
    }};
    for (int i = 0; i < 200; ++i) {
        feed.halt();
        std::uint64_t before = sent.load();
        REQUIRE(eventually([&] {  // at most one was inside
            const std::uint64_t now = sent.load();
            return std::exchange(before, now) == now;
        }));
        feed.resume();
        REQUIRE(eventually([&] { return sent.load() > before; }));
    }
    goes_on = false;
    publishing.join();
    feed.halt();
    CHECK(d.stop(30s).clean());
    feed.resume();  // stopped stays stopped
    CHECK(send(feed, event_kind::trade).status == publish_status::stopped);
    CHECK(got.get() == sent);
}
