// SPDX-License-Identifier: Apache-2.0
//
// The orderly end: what was taken is delivered, what comes later is refused, what stays behind is
// named. Every handler left stuck by intent is let go before its test ends.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;
using clock_type = std::chrono::steady_clock;

namespace {

double seconds_since(clock_type::time_point start) {
    return std::chrono::duration<double>(clock_type::now() - start).count();
}

}  // namespace

TEST_CASE("everything published before stop() is delivered, also by slow consumers") {
    const bool own_threads = under_tsan || GENERATE(false, true);
    ropeway::dispatcher<market_event> d{small_dispatcher(1, own_threads)};
    std::array<std::uint64_t, 3> got{};
    std::vector<ropeway::subscription> subs;
    for (std::size_t i = 0; i < got.size(); ++i) {
        subs.push_back(d.subscribe(
            "s", overflow::block, {.delivery = i == 1 ? ropeway::in_place : ropeway::duplicate},
            [&got, i](const market_event&) {
                ++got.at(i);
                const auto until = clock_type::now() + 20us;  // a slow consumer
                while (clock_type::now() < until) {
                }
            }));
    }
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    constexpr std::uint64_t events = 1000;
    for (std::uint64_t i = 0; i < events; ++i) {
        REQUIRE(send(feed, i % 10 == 0 ? event_kind::control_ack : event_kind::trade));
    }
    const auto report = d.stop(60s);
    CHECK(report.clean());
    CHECK(report.drained);
    CHECK(report.threads_gone);
    CHECK(report.unfinished.empty());
    CHECK(std::count(got.begin(), got.end(), events) == 3);
    CHECK(d.leaks().clean());
    CHECK(d.stats().publishers.at(0).recycled == events);
    const auto again = d.stop(1ns);  // the first one's report, not a new stop
    CHECK(again.clean());
    CHECK(again.threads_gone);
}

TEST_CASE("whatever a publisher got in while stop() ran is delivered, and the rest is refused",
          "[stress]") {
    const int rounds = under_tsan ? 20 : 100;
    for (int round = 0; round < rounds; ++round) {
        auto params = small_dispatcher(2);
        if (under_tsan || round % 2 == 0) {
            params.workers.where = ropeway::make_thread_executor();
        }
        ropeway::dispatcher<market_event> d{params};
        std::uint64_t got = 0;
        auto a = d.subscribe("a", overflow::block, {}, [&](const market_event&) { ++got; });
        auto feed = d.publisher("feed", rings_of(64));
        d.start();
        tally accepted;
        publish_status last = publish_status::sent;
        std::thread feeder{[&] {
            for (std::uint64_t i = 0; last == publish_status::sent; ++i) {
                last = send(feed, i % 7 == 0 ? event_kind::execution_report : event_kind::quote)
                           .status;
                accepted.add(last == publish_status::sent ? 1U : 0U);
            }
        }};
        const bool flowing = accepted.reached(100 + static_cast<std::uint64_t>(round) * 13);
        const auto report = d.stop(30s);
        feeder.join();
        REQUIRE(flowing);
        REQUIRE(last == publish_status::stopped);
        REQUIRE(report.drained);
        REQUIRE(report.workers_gone);
        REQUIRE(report.undelivered == 0);
        REQUIRE(report.slots_outstanding <= 1);  // the claim the feeder held at that moment
        REQUIRE(got == accepted.get());
        const auto stats = d.stats();
        REQUIRE(stats.publishers.at(0).published == got);
        REQUIRE(stats.publishers.at(0).claims_out == 0);
        REQUIRE(stats.duplicates_out == 0);
    }
}

TEST_CASE("a claim held over a stop is reported, refused and goes back by itself") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto a = d.subscribe("a", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed");
    d.start();
    {
        auto held = feed.claim();
        held->kind = event_kind::trade;
        const auto report = d.stop(30s);
        CHECK(report.drained);
        CHECK(report.slots_outstanding == 1);
        CHECK_FALSE(report.clean());
        CHECK(feed.publish(std::move(held)).status == publish_status::stopped);
        CHECK(held);  // NOLINT(bugprone-use-after-move): refused claims stay the caller's
        CHECK(d.stats().publishers.at(0).claims_out == 1);
    }
    CHECK(d.stats().publishers.at(0).claims_out == 0);
    CHECK(d.stats().publishers.at(0).published == 0);
}

TEST_CASE("what was published but never served is counted and told by the stop") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto a = d.subscribe("not served", overflow::block, {}, [](const market_event&) {});
    std::vector<std::uint64_t> told;
    std::string who;
    d.on_undelivered([&](std::string_view name, const market_event& e) {
        who = name;
        told.push_back(e.user);
    });
    auto feed = d.publisher("feed");
    for (std::uint64_t i = 1; i <= 20; ++i) {
        REQUIRE(send(feed, i % 4 == 0 ? event_kind::execution_report : event_kind::trade, i));
    }
    const auto report = d.stop(1ms);  // start() was never called
    CHECK_FALSE(report.clean());
    CHECK(report.undelivered == 20);
    CHECK(report.undelivered_critical == 5);
    CHECK(report.slots_outstanding == 0);
    CHECK(report.unfinished == std::vector<std::string>{"not served"});
    CHECK(who == "not served");
    CHECK(told == std::vector<std::uint64_t>{4, 8, 12, 16, 20});
}

TEST_CASE("a handler stuck at stop: the deadline holds, and the leak report names who has what") {
    if (under_tsan) {
        SUCCEED("the thread left behind by intent is a leak to ThreadSanitizer");
        return;
    }
    const bool own_threads = GENERATE(false, true);
    CAPTURE(own_threads);
    // Outlives the dispatcher: the stuck worker still looks at them when it is let go.
    static std::vector<std::unique_ptr<gate>> gates;
    gate& stuck = *gates.emplace_back(std::make_unique<gate>());
    ropeway::dispatcher<market_event> d{small_dispatcher(2, own_threads)};
    auto bad = d.subscribe("stuck here", overflow::drop_oldest, {},
                           [&](const market_event&) { stuck.pass(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(stuck.held());
    const auto start = clock_type::now();
    const auto report = d.stop(100ms);
    const double seconds = seconds_since(start);
    const auto leaks = d.leaks();
    stuck.open();
    CHECK(seconds < 5);
    CHECK_FALSE(report.clean());
    CHECK_FALSE(report.workers_gone);
    CHECK(report.slots_outstanding >= 1);
    CHECK(report.unfinished == std::vector<std::string>{"stuck here"});
    REQUIRE(leaks.outstanding >= 1);
    CHECK(std::any_of(leaks.sites.begin(), leaks.sites.end(), [](const auto& site) {
        return site.holder == "stuck here" && site.count >= 1;
    }));
}

TEST_CASE("a subscription whose handler hung over the stop can be let go of") {
    if (under_tsan) {
        SUCCEED("the thread left behind by intent is a leak to ThreadSanitizer");
        return;
    }
    static std::vector<std::unique_ptr<gate>> gates;  // outlives the dispatcher, as above
    gate& stuck = *gates.emplace_back(std::make_unique<gate>());
    static tally ended;  // as the gate
    struct last_act {
        ~last_act() { ended.add(); }
    };
    const auto start = clock_type::now();
    {
        ropeway::dispatcher<market_event> d{small_dispatcher(1)};
        auto bad = d.subscribe(
            "stuck", overflow::block, {},
            [&, told = std::make_shared<last_act>()](const market_event&) { stuck.pass(); });
        auto idle = d.subscribe("idle", overflow::block, {.kinds = {event_kind::control_ack}},
                                [](const market_event&) {});
        auto feed = d.publisher("feed");
        d.start();
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(stuck.held());
        std::thread early{[&] { bad.unsubscribe(); }};  // waits, until stop() gives up
        CHECK_FALSE(d.stop(50ms).workers_gone);
        early.join();
    }
    CHECK(seconds_since(start) < 10);
    CHECK(ended.get() == 0);  // its handler is still in there
    stuck.open();
    CHECK(ended.reached(1));
}

TEST_CASE("what stop() tells may end subscriptions and ask for another stop") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto a = d.subscribe("a", overflow::block, {}, [](const market_event&) {});
    auto b = d.subscribe("b", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed");
    std::uint64_t told = 0;
    bool inner_clean = true;
    d.on_undelivered([&](std::string_view who, const market_event&) {
        ++told;
        if (who == "b") {  // a's turn is over then
            a.unsubscribe();
            b.unsubscribe();
        }
        inner_clean = d.stop(1s).clean();
        CHECK(send(feed, event_kind::trade).status == publish_status::stopped);
    });
    REQUIRE(send(feed, event_kind::execution_report));
    const auto report = d.stop(1ms);  // never started
    CHECK(told == 2);
    CHECK_FALSE(inner_clean);
    CHECK(report.undelivered_critical == 2);
    CHECK(report.slots_outstanding == 0);
    CHECK(d.stats().subscriptions.empty());
}

TEST_CASE("what nobody wanted is not counted as undelivered") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto trades = d.subscribe("trades", overflow::block, {.kinds = {event_kind::trade}},
                              [](const market_event&) {});
    auto acks = d.subscribe("acks", overflow::block, {.kinds = {event_kind::control_ack}},
                            [](const market_event&) {});
    auto feed = d.publisher("feed");
    for (int i = 0; i < 6; ++i) {
        REQUIRE(send(feed, i % 3 == 0 ? event_kind::control_ack : event_kind::trade));
    }
    const auto report = d.stop(1ms);  // never started
    CHECK(report.undelivered == 6);
    CHECK(report.undelivered_critical == 2);
}

TEST_CASE("handlers that subscribe while stop() drains are told, and the drain goes on") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate hold;
    auto a = d.subscribe("a", overflow::block, {}, [&](const market_event& e) {
        if (e.user == 0) {
            hold.pass();
        }
        auto more = d.subscribe("more", overflow::block, {}, [](const market_event&) {});
    });
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade, 0));
    REQUIRE(hold.held());
    for (std::uint64_t i = 1; i <= 20; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    std::thread stopping{[&] {
        const auto report = d.stop(30s);
        CHECK(report.clean());
    }};
    REQUIRE(eventually(
        [&] { return send(feed, event_kind::trade).status == publish_status::stopped; }));
    hold.open();
    stopping.join();
    const auto stats = a.stats();
    CHECK(stats.consumer.failed >= 21);  // std::logic_error: subscribe() after stop()
    CHECK(stats.lag == 0);
}
