// SPDX-License-Identifier: Apache-2.0
//
// Where handlers run: the whole matrix of delivery, overflow and execution; what is special about
// inline handlers and own threads; publishers that help; profiles.
#include <map>
#include <string>
#include <vector>

#include <pthread.h>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::execution_mode;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::wait_strategy;

namespace {

const ropeway::kind_set quotes_and_critical = event_kind::quote | event_kind::execution_report;

/// What one consumer saw; written by whoever serves it.
struct seen_by {
    std::map<std::uint32_t, std::uint64_t> latest{};
    std::uint64_t got = 0;
    std::uint64_t gone = 0;
    std::uint64_t reports = 0;
    std::uint64_t disorder = 0;
    std::array<std::uint64_t, 2> last{};

    void take(const market_event& e, const delivery& facts) {
        const bool report = e.kind == event_kind::execution_report;
        std::uint64_t& before = last[report ? 1 : 0];
        disorder += e.user <= before ? 1U : 0U;
        before = e.user;
        ++got;
        gone += facts.lost_before + facts.conflated_before;
        reports += report ? 1U : 0U;
        if (!report) {
            latest[e.instrument] = e.user;
        }
    }
};

}  // namespace

TEST_CASE("the matrix of delivery, overflow and execution: every cell is served", "[matrix]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place, ropeway::original);
    const auto policy =
        GENERATE(overflow::block, overflow::drop_oldest, overflow::conflate, overflow::disconnect);
    const auto runs =
        GENERATE(execution_mode::group, execution_mode::inline_, execution_mode::own_thread);
    const auto wait = runs == execution_mode::own_thread
                          ? GENERATE(wait_strategy::park, wait_strategy::backoff,
                                     wait_strategy::yield, wait_strategy::spin)
                          : wait_strategy::park;
    INFO("delivery " << static_cast<int>(mode) << ", overflow " << static_cast<int>(policy)
                     << ", execution " << static_cast<int>(runs) << ", wait "
                     << static_cast<int>(wait));
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    seen_by seen;
    auto params = ropeway::subscription_params{
        .kinds = quotes_and_critical, .delivery = mode, .execution = runs, .wait = wait};
    auto sub =
        d.subscribe("cell", policy, params,
                    [&](const market_event& e, const delivery& facts) { seen.take(e, facts); });
    auto feed = d.publisher("feed", rings_of(64));
    constexpr std::uint64_t before = 40;
    constexpr std::uint64_t events = 3000;
    std::uint64_t reports = 0;
    const auto publish = [&](std::uint64_t i) {
        const bool report = i % 16 == 0;
        reports += report ? 1U : 0U;
        REQUIRE(send(feed, report ? event_kind::execution_report : event_kind::quote, i,
                     static_cast<std::uint32_t>(i % 10 + 1)));
    };
    for (std::uint64_t i = 1; i <= before; ++i) {
        publish(i);
    }
    d.start();
    for (std::uint64_t i = before + 1; i <= events; ++i) {
        publish(i);
        if (runs == execution_mode::inline_) {
            REQUIRE(seen.got == i);  // it ran before publish returned
        }
    }
    REQUIRE(d.stop(30s).clean());
    const auto stats = d.stats();
    const auto& mine = stats.subscriptions.at(0);
    CHECK(seen.reports == reports);
    CHECK(seen.disorder == 0);
    CHECK(seen.gone <= mine.dropped + mine.conflated);
    CHECK(seen.got + mine.dropped + mine.conflated +
              (mine.disconnected ? events - seen.got - mine.dropped : 0) ==
          events);
    if (policy == overflow::block || runs == execution_mode::inline_) {
        CHECK(seen.got == events);
    }
    if (policy == overflow::conflate) {
        for (std::uint64_t i = events - 20; i <= events; ++i) {
            if (i % 16 != 0 && i + 10 > events) {
                CHECK(seen.latest[static_cast<std::uint32_t>(i % 10 + 1)] == i);
            }
        }
    }
    CHECK(stats.duplicates_out == 0);
    CHECK(stats.kept_out == 0);
}

TEST_CASE("a group with execution inline_ or own_thread is refused with the reason") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    const auto refused = [&](execution_mode runs) {
        return d.subscribe("x", overflow::block, {.execution = runs, .group = "ropeway"},
                           [](const market_event&) {});
    };
    CHECK_THROWS_WITH(refused(execution_mode::inline_), Catch::Contains("inline_"));
    CHECK_THROWS_WITH(refused(execution_mode::own_thread), Catch::Contains("own_thread"));
}

TEST_CASE("inline handlers run on the publishing thread; what they publish comes after them",
          "[inline]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto feed = d.publisher("feed", rings_of(64));
    auto echo = d.publisher("echo", rings_of(64));
    const auto me = std::this_thread::get_id();
    std::vector<std::string> log;
    bool elsewhere = false;
    auto first = d.subscribe("first", overflow::block, {.execution = ropeway::inline_},
                             [&](const market_event& e) {
                                 elsewhere |= std::this_thread::get_id() != me;
                                 log.push_back("first " + std::to_string(e.user));
                                 if (e.user < 10) {
                                     REQUIRE(send(echo, event_kind::trade, e.user + 10));
                                     log.push_back("sent " + std::to_string(e.user + 10));
                                 }
                             });
    auto second = d.subscribe(
        "second", overflow::block, {.execution = ropeway::inline_},
        [&](const market_event& e) { log.push_back("second " + std::to_string(e.user)); });
    d.start();
    REQUIRE(send(feed, event_kind::trade, 1));
    CHECK_FALSE(elsewhere);
    REQUIRE(log.size() == 5);
    CHECK(log[0] == "first 1");
    CHECK(log[1] == "sent 11");  // queued, not run inside the handler
    CHECK(std::count(log.begin(), log.end(), "first 11") == 1);
    CHECK(std::count(log.begin(), log.end(), "second 1") == 1);
    CHECK(std::count(log.begin(), log.end(), "second 11") == 1);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("what a worker's handler publishes to an inline subscription is served by that worker",
          "[inline]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto feed = d.publisher("feed", rings_of(64));
    auto orders = d.publisher("orders", rings_of(64));
    tally got;
    auto gateway =
        d.subscribe("gateway", overflow::block,
                    {.kinds = event_kind::execution_report, .execution = ropeway::inline_},
                    [&](const market_event&) { got.add(); });
    auto strategy = d.subscribe("strategy", overflow::block, {.kinds = event_kind::trade},
                                [&](const market_event& e) {
                                    REQUIRE(send(orders, event_kind::execution_report, e.user));
                                });
    d.start();
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
        REQUIRE(got.reached(i));  // no further publish is needed
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("an inline handler never runs twice at once, and no event waits for the next publish",
          "[inline][stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    std::atomic<int> inside{0};
    std::atomic<std::uint64_t> twice{0};
    std::uint64_t got = 0;
    auto sub = d.subscribe("one", overflow::block, {.execution = ropeway::inline_},
                           [&](const market_event&) {
                               twice += inside.fetch_add(1) != 0 ? 1U : 0U;
                               ++got;
                               inside.fetch_sub(1);
                           });
    constexpr std::size_t feeds = 3;
    const std::uint64_t events = scaled(30'000);
    std::vector<ropeway::publisher<market_event>> publishers;
    for (std::size_t i = 0; i < feeds; ++i) {
        publishers.push_back(d.publisher("feed " + std::to_string(i), rings_of(64)));
    }
    d.start();
    std::vector<std::thread> threads;
    for (auto& feed : publishers) {
        threads.emplace_back([&] {
            for (std::uint64_t i = 0; i < events; ++i) {
                if (!send(feed, event_kind::trade, i)) {
                    return;
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    // Nobody publishes any more, and no worker serves it.
    CHECK(d.stats().subscriptions.at(0).lag == 0);
    CHECK(d.stop(30s).clean());
    CHECK(got == feeds * events);
    CHECK(twice == 0);
}

TEST_CASE("an inline subscription that joins under load misses nothing from its start on",
          "[inline][stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto feed = d.publisher("feed", rings_of(64));
    auto other = d.subscribe("other", overflow::block, {}, [](const market_event&) {});
    d.start();
    std::atomic<bool> goes_on{true};
    std::thread publishing{[&] {
        for (std::uint64_t i = 1; goes_on.load(); ++i) {
            static_cast<void>(send(feed, event_kind::trade, i));
        }
    }};
    for (int round = 0; round < 200; ++round) {
        std::atomic<std::uint64_t> last{0};
        std::atomic<std::uint64_t> gaps{0};
        tally got;
        auto late = d.subscribe("late", overflow::block, {.execution = ropeway::inline_},
                                [&](const market_event& e) {
                                    const std::uint64_t before = last.exchange(e.user);
                                    gaps += before != 0 && e.user != before + 1 ? 1U : 0U;
                                    got.add();
                                });
        REQUIRE(got.reached(10));
        late.unsubscribe();
        REQUIRE(gaps == 0);
    }
    goes_on = false;
    publishing.join();
    CHECK(d.stop(30s).clean());
}

TEST_CASE("own threads are named, come and go, and do not pile up", "[own]") {
    auto params = small_dispatcher(1);
    ropeway::dispatcher<market_event> d{params};
    auto feed = d.publisher("feed", rings_of(64));
    const bool started = GENERATE(true, false);
    if (started) {
        d.start();
    }
    const std::size_t threads = thread_count();
    for (int round = 0; round < 100; ++round) {  // more than there can be groups
        std::string name(32, '\0');
        tally got;
        auto sub = d.subscribe("risk check", overflow::block,
                               {.execution = ropeway::own_thread,
                                .wait = round % 2 == 0 ? wait_strategy::park : wait_strategy::spin},
                               [&](const market_event&) {
                                   pthread_getname_np(pthread_self(), name.data(), name.size());
                                   got.add();
                               });
        if (started) {
            for (std::uint64_t i = 1; i <= 3; ++i) {
                REQUIRE(send(feed, event_kind::trade));
                REQUIRE(got.reached(i));
            }
            CHECK(name.substr(0, 10) == "risk check");
            CHECK(d.stats().groups.back().name == "risk check");
        }
    }
    REQUIRE(eventually([&] { return d.stats().groups.size() == 1; }));
    CHECK(eventually([&] { return thread_count() <= threads + 8; }));  // the arena's, and not 100
    if (!started) {
        d.start();
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("an own thread that may not run where it is told to is refused, and nothing is left",
          "[own]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    d.start();
    const auto refused = [&] {
        return d.subscribe("risk", overflow::block,
                           {.execution = ropeway::own_thread, .thread = {.cpus = {4095}}},
                           [](const market_event&) {});
    };
    CHECK_THROWS_WITH(refused(), Catch::Contains("cpus") && Catch::Contains("4095"));
    CHECK(d.stats().subscriptions.empty());
    CHECK(d.stats().groups.size() == 1);
    auto fine = d.subscribe("risk", overflow::block, {.execution = ropeway::own_thread},
                            [](const market_event&) {});
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a handler that ends its own subscription on its own thread ends that thread", "[own]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (int round = 0; round < 70; ++round) {
        ropeway::subscription sub;
        tally ended;
        sub = d.subscribe("once", overflow::block, {.execution = ropeway::own_thread},
                          [&](const market_event&) {
                              sub.unsubscribe();
                              ended.add();
                          });
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(ended.reached(1));
        REQUIRE(eventually([&] { return d.stats().subscriptions.empty(); }));
    }
    REQUIRE(eventually([&] { return d.stats().groups.size() == 1; }));
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a publisher that waits serves short handlers itself, if it is told to", "[help]") {
    auto params = small_dispatcher(1);
    params.publishers_help = true;
    ropeway::dispatcher<market_event> d{params};
    const auto me = std::this_thread::get_id();
    std::uint64_t helped = 0;
    std::uint64_t next = 0;
    std::uint64_t wrong = 0;
    auto sub = d.subscribe("one", overflow::block, {}, [&](const market_event& e) {
        helped += std::this_thread::get_id() == me ? 1U : 0U;
        wrong += e.user != next++ ? 1U : 0U;
        for (int i = 0; i < 20; ++i) {
            ropeway::spin_pause();
        }
    });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    const std::uint64_t events = scaled(200'000);
    for (std::uint64_t i = 0; i < events; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    CHECK(d.stop(30s).clean());
    CHECK(next == events);
    CHECK(wrong == 0);
    CHECK(helped > 0);
}

TEST_CASE("profiles are parameters that work, and warm_up touches what was made") {
    const auto which =
        GENERATE(ropeway::profile::shared, ropeway::profile::latency, ropeway::profile::throughput);
    auto params = ropeway::params_for(which);
    if (under_tsan && params.workers.where == nullptr) {
        params.workers.where = ropeway::make_thread_executor();
    }
    params.prepare.prefault = true;
    ropeway::dispatcher<market_event> d{params};
    std::uint64_t got = 0;
    auto sub = d.subscribe("one", overflow::block, {}, [&](const market_event&) { ++got; });
    auto feed = d.publisher("feed");
    d.warm_up();
    d.start();
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    CHECK(d.stop(30s).clean());
    CHECK(got == 10'000);
}
