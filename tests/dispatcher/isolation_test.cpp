// SPDX-License-Identifier: Apache-2.0
//
// One consumer never harms another: a slow one, one that never returns, a host that keeps oneTBB
// busy, two dispatchers in one process. Open loop: each event's latency counts from when it was
// due.
#include <algorithm>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include <oneapi/tbb/parallel_for.h>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::alert;
using ropeway::alert_kind;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using clock_type = std::chrono::steady_clock;

namespace {

std::int64_t now_ns() { return clock_type::now().time_since_epoch().count(); }

void burn(std::chrono::microseconds time) {
    const auto until = clock_type::now() + time;
    while (clock_type::now() < until) {
        ropeway::spin_pause();
    }
}

/// Latencies of one consumer, in ns; written by its handler, read after the stop.
struct latencies {
    std::vector<std::int64_t> ns{};
    std::uint64_t lost = 0;

    void take(const market_event& e, const ropeway::delivery& facts) {
        lost += facts.lost_before;
        ns.push_back(now_ns() - e.publish_ns);
    }
    [[nodiscard]] double us(double quantile) const { return us(quantile, 0, ns.size()); }
    /// Of the deliveries [first, last).
    [[nodiscard]] double us(double quantile, std::size_t first, std::size_t last) const {
        if (first == last) {
            return 0;
        }
        std::vector<std::int64_t> some(ns.begin() + static_cast<std::ptrdiff_t>(first),
                                       ns.begin() + static_cast<std::ptrdiff_t>(last));
        const auto at =
            static_cast<std::ptrdiff_t>(quantile * static_cast<double>(some.size() - 1));
        std::nth_element(some.begin(), some.begin() + at, some.end());
        return static_cast<double>(some[static_cast<std::size_t>(at)]) / 1000;
    }
};

/// Publishes `events` at 20,000 per second; `before_each` is told the number of the next.
template <class Publisher, class Each>
[[nodiscard]] bool publish_paced(Publisher& feed, std::uint64_t events, Each&& before_each) {
    auto due = clock_type::now();
    for (std::uint64_t i = 0; i < events; ++i, due += 50us) {
        before_each(i);
        while (clock_type::now() < due) {
            ropeway::spin_pause();
        }
        auto event = feed.claim();
        if (!event) {
            return false;
        }
        event->kind = event_kind::trade;
        event->user = i;
        event->publish_ns = due.time_since_epoch().count();
        if (!feed.publish(std::move(event))) {
            return false;
        }
    }
    return true;
}

/// Alerts of one dispatcher, told on its supervising thread.
class alerts {
  public:
    [[nodiscard]] std::function<void(const alert&)> teller() {
        return [this](const alert& what) {
            const std::lock_guard lock{guard_};
            counts_.at(static_cast<std::size_t>(what.kind))++;
            if (what.kind == alert_kind::stalled) {
                stalled_ = std::string{what.subscription};
                stalled_ms_ = static_cast<double>(what.lasted.count()) / 1e6;
            }
        };
    }
    [[nodiscard]] std::uint64_t of(alert_kind kind) const {
        const std::lock_guard lock{guard_};
        return counts_.at(static_cast<std::size_t>(kind));
    }
    [[nodiscard]] std::string stalled() const {
        const std::lock_guard lock{guard_};
        return stalled_;
    }
    [[nodiscard]] double stalled_ms() const {
        const std::lock_guard lock{guard_};
        return stalled_ms_;
    }

  private:
    mutable std::mutex guard_;
    std::array<std::uint64_t, 32> counts_{};
    std::string stalled_{};
    double stalled_ms_ = 0;
};

constexpr double slower = instrumented ? 50 : 1;
/// A second in which the system takes processors away for milliseconds shows nothing of ours.
constexpr int most_attempts = 10;
constexpr std::size_t tries_per_second = 5;
/// Places of a ring: events of as long as the system may keep the worker or the feed from running,
/// on a machine that does something else too. A neighbour's fault is longer than that.
constexpr std::uint32_t outage = 8192;

}  // namespace

TEST_CASE("a consumer that takes 100 us costs its two neighbours on the one worker no event",
          "[isolation]") {
    std::string all;
    double best_p50 = 1e9;
    double best_p99 = 1e9;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        ropeway::dispatcher<market_event> d{small_dispatcher(1)};
        std::array<latencies, 2> of{};
        std::vector<ropeway::subscription> subs;
        for (latencies& mine : of) {
            mine.ns.reserve(20'000);
            subs.push_back(
                d.subscribe("quick", overflow::drop_oldest, {},
                            [&mine](const market_event& e, const ropeway::delivery& facts) {
                                mine.take(e, facts);
                            }));
        }
        subs.push_back(d.subscribe("slow", overflow::drop_oldest, {},
                                   [](const market_event&) { burn(100us); }));
        auto feed = d.publisher("feed", {.market_capacity = outage});
        d.start();
        REQUIRE(publish_paced(feed, scaled(20'000), [](std::uint64_t) {}));
        REQUIRE(eventually([&] {
            const auto stats = d.stats();
            return stats.subscriptions.at(0).lag + stats.subscriptions.at(1).lag == 0;
        }));
        static_cast<void>(d.stop(30s));
        for (latencies& mine : of) {
            REQUIRE(mine.lost == 0);
            REQUIRE(mine.ns.size() == scaled(20'000));
        }
        // A try for the times is a fifth of that second: 10 ms that the system takes away spoil the
        // p99 of all of it.
        for (std::size_t part = 0; part < tries_per_second; ++part) {
            const std::size_t first = part * of[0].ns.size() / tries_per_second;
            const std::size_t last = (part + 1) * of[0].ns.size() / tries_per_second;
            const double p50 = std::max(of[0].us(.5, first, last), of[1].us(.5, first, last));
            const double p99 = std::max(of[0].us(.99, first, last), of[1].us(.99, first, last));
            all += std::to_string(p50) + "/" + std::to_string(p99) + " ";
            best_p50 = std::min(best_p50, p50);
            best_p99 = std::min(best_p99, p99);
        }
        if (best_p50 <= 80 && best_p99 <= 200 && attempt >= 2) {
            break;
        }
    }
    std::cout << "beside a 100 us consumer, p50/p99 in us: " << all << '\n';
    CHECK(best_p50 <= 80 * slower);
    CHECK(best_p99 <= 200 * slower);
}

TEST_CASE("a handler that never returns is named, its worker replaced, and nobody else loses",
          "[isolation]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    std::string all;
    double best_p99 = 1e9;
    double best_named = 1e9;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        alerts told;
        auto params = small_dispatcher(1);
        params.on_alert = told.teller();
        ropeway::dispatcher<market_event> d{params};
        gate stuck;
        std::array<latencies, 2> of{};
        std::vector<ropeway::subscription> subs;
        constexpr std::uint64_t hangs_at = 5'000;  // by then it is known as fast
        subs.push_back(d.subscribe("hangs", overflow::drop_oldest, {.delivery = mode},
                                   [&](const market_event& e) {
                                       if (e.user >= scaled(hangs_at)) {
                                           stuck.pass();
                                       }
                                   }));
        for (latencies& mine : of) {
            mine.ns.reserve(20'000);
            subs.push_back(
                d.subscribe("quick", overflow::drop_oldest, {.delivery = mode},
                            [&mine](const market_event& e, const ropeway::delivery& facts) {
                                if (e.user == scaled(10'000)) {
                                    mine.ns.clear();  // p99 of what came after
                                }
                                mine.take(e, facts);
                            }));
        }
        auto feed = d.publisher("feed", {.market_capacity = outage});
        d.start();
        REQUIRE(publish_paced(feed, scaled(20'000), [](std::uint64_t) {}));
        REQUIRE(eventually([&] {
            const auto stats = d.stats();
            return stats.subscriptions.at(1).lag + stats.subscriptions.at(2).lag == 0;
        }));
        REQUIRE(eventually([&] { return told.of(alert_kind::stalled) != 0; }));
        CHECK(told.stalled() == "hangs");
        CHECK(told.of(alert_kind::recovered) == 0);
        CHECK(told.of(alert_kind::no_more_replacements) == 0);
        // One for the stuck handler. A worker that the system takes off its processor for longer
        // than replace_after looks the same to the supervisor; its replacement ends by itself.
        CHECK(eventually([&] {
            const auto group = d.stats().groups.at(0);
            return group.replaced_now == 1 && group.running <= 2;
        }));
        CHECK(d.stats().groups.at(0).replaced >= 1);
        CHECK(eventually(
            [&] { return told.of(alert_kind::replaced) == d.stats().groups.at(0).replaced; }));
        const auto begin = clock_type::now();
        const auto report = d.stop(200ms);
        CHECK(clock_type::now() - begin < 2s);
        CHECK_FALSE(report.workers_gone);
        CHECK(std::count(report.unfinished.begin(), report.unfinished.end(), "hangs") == 1);
        CHECK(report.unfinished.size() == 1);
        for (latencies& mine : of) {
            CHECK(mine.lost == 0);
            CHECK(mine.ns.size() == scaled(20'000) - scaled(10'000));
        }
        const double p99 = std::max(of[0].us(.99), of[1].us(.99));
        all += std::to_string(p99) + "(named after " + std::to_string(told.stalled_ms()) + " ms) ";
        best_p99 = std::min(best_p99, p99);
        best_named = std::min(best_named, told.stalled_ms());
        stuck.open();
        for (auto& sub : subs) {
            sub.unsubscribe();
        }
        if (best_p99 <= 200 && best_named <= 110 && attempt >= 2) {
            break;
        }
    }
    std::cout << "beside a stuck consumer, p99 in us: " << all << '\n';
    CHECK(best_p99 <= 200 * slower);
    CHECK(best_named <= 110 * slower);
}

TEST_CASE("a stalled handler that returns after all is reported, and its replacement ends") {
    alerts told;
    auto params = small_dispatcher(1);
    params.workers.stall_limit = 5ms;
    params.on_alert = told.teller();
    ropeway::dispatcher<market_event> d{params};
    gate stuck;
    tally got;
    tally other;
    auto slow = d.subscribe("slow", overflow::block, {}, [&](const market_event& e) {
        if (e.user == 100) {
            stuck.pass();
        }
        got.add();
    });
    auto quick =
        d.subscribe("quick", overflow::block, {}, [&](const market_event&) { other.add(); });
    auto feed = d.publisher("feed");
    d.start();
    for (std::uint64_t i = 0; i <= 100; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    REQUIRE(stuck.held());
    REQUIRE(eventually([&] { return told.of(alert_kind::stalled) == 1; }));
    REQUIRE(eventually([&] { return d.stats().groups.at(0).replaced_now == 1; }));
    for (std::uint64_t i = 101; i <= 200; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    REQUIRE(other.reached(201));  // all of it while the other stands in its handler
    stuck.open();
    REQUIRE(got.reached(201));
    REQUIRE(eventually([&] { return told.of(alert_kind::recovered) == 1; }));
    REQUIRE(eventually([&] { return d.stats().groups.at(0).running == 0; }));
    const auto group = d.stats().groups.at(0);
    CHECK(group.replaced_now == 0);
    CHECK(group.awake == 0);
    CHECK(group.stalls == 1);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("replacements are bounded, and the bound is told") {
    alerts told;
    auto params = small_dispatcher(1);
    params.workers.replacements = 2;
    params.on_alert = told.teller();
    ropeway::dispatcher<market_event> d{params};
    gate stuck;
    std::vector<ropeway::subscription> subs;
    for (int i = 0; i < 4; ++i) {
        subs.push_back(d.subscribe("hangs", overflow::drop_oldest, {},
                                   [&](const market_event&) { stuck.pass(); }));
    }
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(eventually([&] { return told.of(alert_kind::no_more_replacements) != 0; }));
    CHECK(told.of(alert_kind::replaced) == 2);
    CHECK(d.stats().groups.at(0).running == 3);
    stuck.open();
    CHECK(d.stop(30s).clean());  // the fourth gets its turn when the others return
    CHECK(d.stats().groups.at(0).replaced_now == 0);
}

TEST_CASE("a subscription names its group, and a stuck one stays in its own") {
    auto params = small_dispatcher(1);
    params.groups.push_back({.name = "orders",
                             .count = 1,
                             .replacements = 0,
                             .where = ropeway::make_thread_executor({.name = "orders"})});
    ropeway::dispatcher<market_event> d{params};
    CHECK_THROWS_WITH(
        d.subscribe("x", overflow::block, {.group = "order"}, [](const market_event&) {}),
        Catch::Contains("\"order\"") && Catch::Contains("\"orders\""));
    gate stuck;
    tally got;
    std::string name(32, '\0');
    auto a =
        d.subscribe("a", overflow::drop_oldest, {}, [&](const market_event&) { stuck.pass(); });
    auto b = d.subscribe("b", overflow::block, {.group = "orders"}, [&](const market_event&) {
        pthread_getname_np(pthread_self(), name.data(), name.size());
        got.add();
    });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(stuck.held());
    for (std::uint64_t i = 2; i <= 1000; ++i) {
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(got.reached(i));
    }
    CHECK(name.substr(0, 7) == "orders0");
    CHECK(d.stats().groups.at(1).name == "orders");
    CHECK(d.stats().groups.at(1).wakes > 0);
    stuck.open();
    CHECK(d.stop(30s).clean());
}

TEST_CASE("groups of own threads keep their latency beside a host that keeps oneTBB busy",
          "[isolation]") {
    if (under_tsan) {
        WARN("skipped: ThreadSanitizer does not see into oneTBB's parallel_for");
        return;
    }
    std::string all;
    double best = 1e9;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        std::atomic<bool> host_goes_on{true};
        std::atomic<std::uint64_t> loops{0};
        std::thread host{[&] {
            while (host_goes_on.load(std::memory_order_relaxed)) {
                tbb::parallel_for(0, 64, [&](int) { burn(20us); });
                loops.fetch_add(1, std::memory_order_relaxed);
            }
        }};
        // Two of them in one process, each with a group of its own.
        auto params = small_dispatcher(1);
        params.workers.where = ropeway::make_thread_executor({.name = "one", .realtime = 1});
        ropeway::dispatcher<market_event> one{params};
        params.workers.where = ropeway::make_thread_executor({.name = "two", .realtime = 1});
        ropeway::dispatcher<market_event> two{params};
        std::array<latencies, 2> of{};
        const auto handler = [](latencies& mine) {
            mine.ns.reserve(20'000);
            return [&mine](const market_event& e, const ropeway::delivery& facts) {
                mine.take(e, facts);
            };
        };
        auto a = one.subscribe("a", overflow::drop_oldest, {}, handler(of[0]));
        auto b = two.subscribe("b", overflow::drop_oldest, {}, handler(of[1]));
        auto feed_one = one.publisher("feed");
        auto feed_two = two.publisher("feed");
        try {
            one.start();
            two.start();
        } catch (const std::invalid_argument& refused) {
            host_goes_on.store(false, std::memory_order_relaxed);
            host.join();
            WARN("skipped: " << refused.what());
            return;
        }
        // The feeds sleep between events, as the host leaves no processor idle for them.
        const std::uint64_t events = scaled(4'000);
        std::uint64_t sent = 0;
        auto due = clock_type::now();
        for (std::uint64_t i = 0; i < events; ++i, due += 250us) {
            std::this_thread::sleep_until(due);
            for (auto* const feed : {&feed_one, &feed_two}) {
                auto event = feed->claim();
                if (event) {
                    event->publish_ns = now_ns();
                    sent += feed->publish(std::move(event)) ? 1U : 0U;
                }
            }
        }
        CHECK(one.stop(30s).clean());
        CHECK(two.stop(30s).clean());
        host_goes_on.store(false, std::memory_order_relaxed);
        host.join();
        CHECK(sent == 2 * events);
        CHECK(loops.load() > 10);
        CHECK(of[0].lost + of[1].lost == 0);
        CHECK(of[0].ns.size() == events);
        CHECK(of[1].ns.size() == events);
        const double p99 = std::max(of[0].us(.99), of[1].us(.99));
        all += std::to_string(p99) + " ";
        best = std::min(best, p99);
        if (best <= 200 && attempt >= 1) {
            break;
        }
    }
    std::cout << "two dispatchers beside parallel_for, p99 in us: " << all << '\n';
    CHECK(best <= 200 * slower);
}
