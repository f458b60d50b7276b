// SPDX-License-Identifier: Apache-2.0
//
// One consumer never harms another: a slow one, one that never returns, a host that keeps oneTBB
// busy, two dispatchers in one process. Open loop: each event's latency counts from when it was
// due. Events whose delay is the machine's, which kept the feed, the worker or a watcher of a
// processor from running, are counted and not timed.
#include <algorithm>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <oneapi/tbb/parallel_for.h>

#include "processor_loss.hpp"
#include "support.hpp"

using namespace ropeway_test;
using ropeway::alert;
using ropeway::alert_kind;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr double slower = instrumented ? 50 : 1;
/// What the kernel does not tell of, such as a processor shared with a neighbour, spoils a try.
constexpr int most_attempts = 10;
constexpr std::size_t tries_per_second = 5;
/// Places of a ring: events of as long as the system may keep the worker or the feed from running,
/// on a machine that does something else too. A neighbour's fault is longer than that.
constexpr std::uint32_t outage = 8192;

std::int64_t now_ns() { return clock_type::now().time_since_epoch().count(); }

void burn(std::chrono::microseconds time) {
    const auto until = clock_type::now() + time;
    while (clock_type::now() < until) {
        ropeway::spin_pause();
    }
}

/// Deliveries of one consumer; written by its handler, read after the stop.
struct latencies {
    struct one {
        std::int64_t due_ns = 0;
        std::int64_t handled_ns = 0;
    };
    std::vector<one> all{};
    std::uint64_t lost = 0;
    processor_losses of_worker{};

    void take(const market_event& e, const ropeway::delivery& facts) {
        lost += facts.lost_before;
        all.push_back({e.publish_ns, now_ns()});
        of_worker.look();
    }
};

/// Fewer than these tell no p99.
constexpr std::size_t least_timed = 200;

/// What was timed in one try: the worse of two consumers.
struct timed {
    double p50_us = 0;
    double p99_us = 0;
    bool enough = true;
};

/// Several tries, and the best of them.
class tries {
  public:
    void add(const timed& one) {
        if (!one.enough) {
            note("-");
            return;
        }
        note(std::to_string(one.p50_us) + "/" + std::to_string(one.p99_us));
        p50_us = std::min(p50_us, one.p50_us);
        p99_us = std::min(p99_us, one.p99_us);
        any_ = true;
    }
    void note(const std::string& what) { all_ += what + " "; }
    /// Prints them. @return whether one had time enough without a loss of the machine's
    [[nodiscard]] bool say(const std::string& what) const {
        std::cout << what << ", p50/p99 in us: " << all_ << '\n';
        if (!any_) {
            WARN(what << ": not timed, the machine kept the threads from running in each try");
        }
        return any_;
    }

    double p50_us = 1e9;
    double p99_us = 1e9;

  private:
    std::string all_{};
    bool any_ = false;
};

/// Of the share [part, part + 1) of `parts` of their deliveries, those whose delay the machine's
/// losses do not explain.
timed times_of(const std::array<latencies, 2>& both, const lost_time& lost, std::size_t part = 0,
               std::size_t parts = 1) {
    timed worse;
    for (const latencies& mine : both) {
        std::vector<std::int64_t> ns;
        const std::size_t end = (part + 1) * mine.all.size() / parts;
        for (std::size_t i = part * mine.all.size() / parts; i != end; ++i) {
            const auto& [due, handled] = mine.all[i];
            if (!lost.explains(due, handled)) {
                ns.push_back(handled - due);
            }
        }
        if (ns.size() < least_timed) {
            return {.enough = false};
        }
        std::sort(ns.begin(), ns.end());
        const auto us = [&](double quantile) {
            return static_cast<double>(ns[static_cast<std::size_t>(
                       quantile * static_cast<double>(ns.size() - 1))]) /
                   1000;
        };
        worse.p50_us = std::max(worse.p50_us, us(.5));
        worse.p99_us = std::max(worse.p99_us, us(.99));
    }
    return worse;
}

/// Publishes `events` at 20,000 per second.
template <class Publisher>
[[nodiscard]] bool publish_paced(Publisher& feed, std::uint64_t events, processor_losses& of_feed) {
    auto due = clock_type::now();
    for (std::uint64_t i = 0; i < events; ++i, due += 50us) {
        while (clock_type::now() < due) {
            ropeway::spin_pause();
        }
        of_feed.look();
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
    of_feed.look();
    return true;
}

/// Whether the machine may be what kept consumers from events: at once it took a quarter of the
/// time that rings of `places` last, or more. It may do so several times in a row.
bool by_the_machine(const lost_time& lost, std::uint32_t places, std::chrono::microseconds period) {
    return lost.longest() > places * period / 4;
}

/// Alerts of one dispatcher, told on its supervising thread.
class alerts {
  public:
    [[nodiscard]] std::function<void(const alert&)> teller() {
        return [this](const alert& what) {
            const std::lock_guard lock{guard_};
            told_.push_back({what.kind, std::string{what.subscription}, what.lasted});
        };
    }
    /// How often, for the subscription of that name; empty: for any.
    [[nodiscard]] std::uint64_t of(alert_kind kind, std::string_view subscription = {}) const {
        const std::lock_guard lock{guard_};
        return static_cast<std::uint64_t>(
            std::count_if(told_.begin(), told_.end(), [&](const one& told) {
                return told.kind == kind &&
                       (subscription.empty() || told.subscription == subscription);
            }));
    }
    /// After how many ms that subscription was told to stall.
    [[nodiscard]] double stalled_ms(std::string_view subscription) const {
        const std::lock_guard lock{guard_};
        for (const one& told : told_) {
            if (told.kind == alert_kind::stalled && told.subscription == subscription) {
                return static_cast<double>(told.lasted.count()) / 1e6;
            }
        }
        return 1e9;
    }

  private:
    struct one {
        alert_kind kind{};
        std::string subscription{};
        std::chrono::nanoseconds lasted{};
    };
    mutable std::mutex guard_;
    std::vector<one> told_{};
};

}  // namespace

TEST_CASE("a consumer that takes 100 us costs its two neighbours on the one worker no event",
          "[isolation]") {
    tries best;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        ropeway::dispatcher<market_event> d{small_dispatcher(1)};
        std::array<latencies, 2> of{};
        processor_losses of_feed;
        processor_watch processors;
        std::vector<ropeway::subscription> subs;
        for (latencies& mine : of) {
            mine.all.reserve(20'000);
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
        REQUIRE(publish_paced(feed, scaled(20'000), of_feed));
        REQUIRE(eventually([&] {
            const auto stats = d.stats();
            return stats.subscriptions.at(0).lag + stats.subscriptions.at(1).lag == 0;
        }));
        static_cast<void>(d.stop(30s));
        processors.stop();
        const lost_time lost{processors, {&of_feed, &of[0].of_worker, &of[1].of_worker}};
        if (of[0].lost + of[1].lost != 0 && by_the_machine(lost, outage, 50us)) {
            best.note("(lost)");
            continue;
        }
        for (latencies& mine : of) {
            REQUIRE(mine.lost == 0);
            REQUIRE(mine.all.size() == scaled(20'000));
        }
        // A try for the times is a fifth of that second: 10 ms that the system takes away unsaid
        // spoil the p99 of all of it.
        for (std::size_t part = 0; part < tries_per_second; ++part) {
            best.add(times_of(of, lost, part, tries_per_second));
        }
        if (best.p50_us <= 80 && best.p99_us <= 200 && attempt >= 2) {
            break;
        }
    }
    if (best.say("beside a 100 us consumer")) {
        CHECK(best.p50_us <= 80 * slower);
        CHECK(best.p99_us <= 200 * slower);
    }
}

TEST_CASE("a handler that never returns is named, its worker replaced, and nobody else loses",
          "[isolation]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    tries best;
    double best_named = 1e9;
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
        alerts told;
        auto params = small_dispatcher(1);
        params.on_alert = told.teller();
        ropeway::dispatcher<market_event> d{params};
        gate stuck;
        std::array<latencies, 2> of{};
        processor_losses of_feed;
        processor_watch processors;
        std::vector<ropeway::subscription> subs;
        constexpr std::uint64_t hangs_at = 5'000;  // by then it is known as fast
        subs.push_back(d.subscribe("hangs", overflow::drop_oldest, {.delivery = mode},
                                   [&](const market_event& e) {
                                       if (e.user >= scaled(hangs_at)) {
                                           stuck.pass();
                                       }
                                   }));
        for (latencies& mine : of) {
            mine.all.reserve(20'000);
            subs.push_back(
                d.subscribe("quick", overflow::drop_oldest, {.delivery = mode},
                            [&mine](const market_event& e, const ropeway::delivery& facts) {
                                if (e.user == scaled(10'000)) {
                                    mine.all.clear();  // p99 of what came after
                                }
                                mine.take(e, facts);
                            }));
        }
        auto feed = d.publisher("feed", {.market_capacity = outage});
        d.start();
        REQUIRE(publish_paced(feed, scaled(20'000), of_feed));
        REQUIRE(eventually([&] {
            const auto stats = d.stats();
            return stats.subscriptions.at(1).lag + stats.subscriptions.at(2).lag == 0;
        }));
        REQUIRE(eventually([&] { return told.of(alert_kind::stalled, "hangs") != 0; }));
        // A quick one only while the machine keeps its worker from running; that one goes on.
        CHECK(eventually(
            [&] { return told.of(alert_kind::stalled) - told.of(alert_kind::recovered) == 1; }));
        CHECK(told.of(alert_kind::stalled, "hangs") == 1);
        CHECK(told.of(alert_kind::recovered, "hangs") == 0);
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
        const double named = told.stalled_ms("hangs");
        best_named = std::min(best_named, named);
        processors.stop();
        const lost_time lost{processors, {&of_feed, &of[0].of_worker, &of[1].of_worker}};
        if (of[0].lost + of[1].lost != 0 && by_the_machine(lost, outage, 50us)) {
            best.note("(lost)");
        } else {
            for (latencies& mine : of) {
                CHECK(mine.lost == 0);
                CHECK(mine.all.size() == scaled(20'000) - scaled(10'000));
            }
            best.add(times_of(of, lost));
        }
        best.note("(named after " + std::to_string(named) + " ms)");
        stuck.open();
        for (auto& sub : subs) {
            sub.unsubscribe();
        }
        if (best.p99_us <= 200 && best_named <= 110 && attempt >= 2) {
            break;
        }
    }
    if (best.say("beside a stuck consumer")) {
        CHECK(best.p99_us <= 200 * slower);
    }
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
    REQUIRE(eventually([&] { return told.of(alert_kind::stalled, "slow") == 1; }));
    REQUIRE(eventually([&] { return d.stats().groups.at(0).replaced_now == 1; }));
    for (std::uint64_t i = 101; i <= 200; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    REQUIRE(other.reached(201));  // all of it while the other stands in its handler
    stuck.open();
    REQUIRE(got.reached(201));
    REQUIRE(eventually([&] { return told.of(alert_kind::recovered, "slow") == 1; }));
    REQUIRE(eventually([&] { return d.stats().groups.at(0).running == 0; }));
    const auto group = d.stats().groups.at(0);
    CHECK(group.replaced_now == 0);
    CHECK(group.awake == 0);
    CHECK(
        eventually([&] { return d.stats().groups.at(0).stalls == told.of(alert_kind::stalled); }));
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
    constexpr std::uint32_t places = 1024;
    tries best;
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
        processor_watch processors;
        const auto handler = [](latencies& mine) {
            mine.all.reserve(20'000);
            return [&mine](const market_event& e, const ropeway::delivery& facts) {
                mine.take(e, facts);
            };
        };
        auto a = one.subscribe("a", overflow::drop_oldest, {}, handler(of[0]));
        auto b = two.subscribe("b", overflow::drop_oldest, {}, handler(of[1]));
        auto feed_one = one.publisher("feed", {.market_capacity = places});
        auto feed_two = two.publisher("feed", {.market_capacity = places});
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
        processors.stop();
        const lost_time lost{processors, {&of[0].of_worker, &of[1].of_worker}};
        if (of[0].lost + of[1].lost != 0 && by_the_machine(lost, places, 250us)) {
            best.note("(lost)");
            continue;
        }
        CHECK(of[0].lost + of[1].lost == 0);
        CHECK(of[0].all.size() == events);
        CHECK(of[1].all.size() == events);
        best.add(times_of(of, lost));
        if (best.p99_us <= 200 && attempt >= 1) {
            break;
        }
    }
    if (best.say("two dispatchers beside parallel_for")) {
        CHECK(best.p99_us <= 200 * slower);
    }
}
