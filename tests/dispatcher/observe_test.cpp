// SPDX-License-Identifier: Apache-2.0
//
// What a dispatcher tells while it runs: counters without a lock, how far behind and for how long,
// distributions of sampled events, and how well workers share the work.
#include <iostream>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::subscription_counters;

namespace {

void burn(std::chrono::nanoseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

}  // namespace

TEST_CASE("a snapshot of 50 subscriptions is right, and takes at most 5 us", "[snapshot]") {
    auto params = small_dispatcher(1);
    params.max_subscriptions = 64;
    ropeway::dispatcher<market_event> d{params};
    std::vector<ropeway::subscription> subs;
    for (int i = 0; i < 50; ++i) {
        subs.push_back(d.subscribe("s" + std::to_string(i), overflow::drop_oldest, {},
                                   [](const market_event&) {}));
    }
    auto feed = d.publisher("feed");
    d.start();
    std::atomic<bool> goes_on{true};
    std::uint64_t sent = 0;
    std::thread publishing{[&] {
        while (goes_on.load()) {  // bursts: with every counter in another core's cache, and at rest
            for (int i = 0; i < 2000; ++i, ++sent) {
                static_cast<void>(send(feed, event_kind::trade));
            }
            burn(200us);
        }
    }};
    std::array<subscription_counters, 64> out{};
    std::vector<double> took;
    std::uint64_t before = 0;
    for (int i = 0; i < 2000; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        const std::size_t count = d.snapshot(out);
        const auto end = std::chrono::steady_clock::now();
        REQUIRE(count == 50);
        took.push_back(std::chrono::duration<double, std::micro>(end - begin).count());
        REQUIRE(out[0].done >= before);
        before = out[0].done;
    }
    goes_on = false;
    publishing.join();
    std::sort(took.begin(), took.end());
    std::cout << "snapshot of 50 subscriptions under bursts, us: min " << took.front() << ", p50 "
              << took[took.size() / 2] << ", p99 " << took[took.size() * 99 / 100] << "\n";
    CHECK(took.front() <= (instrumented ? 500 : 5));
    CHECK(d.stop(30s).clean());
    REQUIRE(d.snapshot(out) == 50);
    const auto stats = d.stats().subscriptions;
    for (std::size_t i = 0; i < 50; ++i) {
        CHECK(out[i].name == stats[i].name);
        CHECK(out[i].done == stats[i].consumer.done);
        CHECK(out[i].dropped == stats[i].dropped);
        CHECK(out[i].done + out[i].dropped == sent);
        CHECK(out[i].rescues == stats[i].rescues);
        CHECK(out[i].slices == stats[i].slices);
        CHECK(out[i].high_water == stats[i].high_water);
        CHECK(out[i].high_water > 0);
        CHECK(out[i].lag == 0);
        CHECK(out[i].lag_ns == 0);
    }
    CHECK(d.snapshot({out.data(), 10}) == 10);
}

TEST_CASE("lag is told in events and in time", "[snapshot]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate stuck;
    auto slow =
        d.subscribe("slow", overflow::block, {}, [&](const market_event&) { stuck.pass(); });
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(stuck.held());
    REQUIRE(eventually([&] { return slow.stats().lag == 0; }));
    for (int i = 0; i < 10; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(eventually([&] { return slow.stats().lag_ns >= 30'000'000; }));
    const auto now = std::chrono::steady_clock::now();
    const auto told = slow.stats().lag_ns;
    CHECK(now - begin >= 28ms);
    CHECK(told <= static_cast<std::uint64_t>(
                      std::chrono::nanoseconds{std::chrono::steady_clock::now() - begin}.count()) +
                      1'000'000);
    CHECK(slow.stats().lag == 10);
    std::array<subscription_counters, 1> out{};
    REQUIRE(d.snapshot(out) == 1);
    CHECK(out[0].lag == 10);
    CHECK(out[0].lag_ns >= told);
    stuck.open();
    CHECK(d.stop(30s).clean());
    CHECK(slow.stats().lag_ns == 0);
    CHECK(slow.stats().high_water == 10);
}

TEST_CASE("sampled events tell latency, handler time, fan-out and efficiency", "[fanout]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    constexpr int consumers = 4;
    std::vector<ropeway::subscription> subs;
    tally got;
    for (int i = 0; i < consumers; ++i) {
        subs.push_back(
            d.subscribe("s", overflow::block, {.delivery = mode}, [&](const market_event&) {
                burn(20us);
                got.add();
            }));
    }
    auto feed = d.publisher("feed", rings_of(64));
    CHECK(d.fanout().efficiency() == 0.0);
    d.start();
    constexpr std::uint64_t events = 64 * 200;  // each sample is closed 64 samples later
    for (std::uint64_t i = 1; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(got.reached(i * consumers));
    }
    const auto fanout = d.fanout();
    CHECK(fanout.time.count() == 200 - 64);
    CHECK(fanout.time.min() >= 20'000);
    CHECK(fanout.time.percentile(.95) >= 40'000);  // 4 handlers of 20 us on 2 workers
    CHECK(fanout.time.max() >= fanout.time.percentile(.95));
    CHECK(fanout.efficiency() > 0.0);
    CHECK(fanout.efficiency() <= 1.0);
    std::cout << "4 consumers of 20 us on 2 workers, fan-out in us: min "
              << fanout.time.min() / 1000 << ", p95 " << fanout.time.percentile(.95) / 1000
              << ", max " << fanout.time.max() / 1000 << "; efficiency " << fanout.efficiency()
              << "\n";
    for (const auto& sub : subs) {
        const auto of = sub.histograms();
        CHECK(of.latency.count() == 200);
        CHECK(of.handler_time.count() == 200);
        CHECK(of.handler_time.min() >= 20'000);
    }
    CHECK(d.stop(30s).clean());
}
