// SPDX-License-Identifier: Apache-2.0
//
// Subscriptions that come, go and change while events flow: what is discarded or drained is
// counted, a stuck one can be ended and holds up nobody, and those that stay notice nothing.
#include <random>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::change_status;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::leaving;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;

namespace {

const ropeway::kind_set quotes_and_critical = event_kind::quote | event_kind::execution_report;

}  // namespace

TEST_CASE("unsubscribe counts what it discards, of rings, backlog and conflated events") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest, overflow::conflate);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto sub = d.subscribe("s", policy, {.kinds = quotes_and_critical}, [](const market_event&) {});
    auto other = d.subscribe("other", overflow::drop_oldest, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(64));
    for (std::uint64_t i = 0; i < 30; ++i) {
        REQUIRE(send(feed, event_kind::quote, i, 1));
        REQUIRE(send(feed, event_kind::trade));  // not wanted
    }
    for (std::uint64_t i = 0; i < 100; ++i) {  // beyond the ring
        REQUIRE(send(feed, event_kind::execution_report, i));
    }
    std::uint64_t lost = 0;
    if (policy != overflow::block) {
        for (std::uint64_t i = 0; i < 100; ++i) {
            REQUIRE(send(feed, event_kind::quote, i, static_cast<std::uint32_t>(i % 4 + 1)));
        }
        const auto stats = sub.stats();
        lost = 100 - stats.dropped - stats.conflated;
    }
    const auto report = sub.unsubscribe(leaving::discard, 10s);
    CHECK(report.ended);
    CHECK_FALSE(report.drained);
    CHECK(report.discarded_critical == 100);
    CHECK(report.discarded == 100 + 30 + lost);
    CHECK_FALSE(sub);
    CHECK_FALSE(sub.unsubscribe(leaving::discard, 1s).ended);  // empty
    CHECK(d.stats().kept_out >= 36);                           // the other's
    CHECK(d.stop(0s).slots_outstanding == 0);
}

TEST_CASE("unsubscribe with drain handles all that was committed before, and nothing is counted",
          "[stress]") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest, overflow::conflate);
    const auto order =
        GENERATE(ropeway::event_order::critical_first, ropeway::event_order::in_sequence);
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto feed = d.publisher("feed", rings_of(256));
    auto other = d.publisher("other", rings_of(256));
    d.start();
    std::atomic<bool> goes_on{true};
    std::atomic<std::uint64_t> sent{0};
    std::thread publishing{[&] {
        for (std::uint64_t i = 1; goes_on.load(); ++i) {
            if (send(feed, i % 8 == 0 ? event_kind::execution_report : event_kind::quote, i,
                     static_cast<std::uint32_t>(i % 7 + 1))
                    .status == publish_status::sent) {
                sent.store(i);
            }
        }
    }};
    for (int round = 0; round < 20; ++round) {
        std::atomic<std::uint64_t> last_critical{0};
        tally got;
        auto sub = d.subscribe("s", policy,
                               {.kinds = quotes_and_critical, .delivery = mode, .order = order},
                               [&](const market_event& e) {
                                   if (e.kind == event_kind::execution_report) {
                                       last_critical = e.user;
                                   }
                                   got.add();
                               });
        REQUIRE(got.reached(50));
        const std::uint64_t before = sent.load();
        const auto report = sub.unsubscribe(leaving::drain, 30s);
        REQUIRE(report.ended);
        REQUIRE(report.drained);
        REQUIRE(report.discarded == 0);
        REQUIRE(last_critical.load() + 8 > before);  // what was committed before the call
    }
    goes_on = false;
    publishing.join();
    CHECK(d.stop(30s).clean());
    CHECK(d.stats().kept_out == 0);
}

TEST_CASE("a stuck subscription can be ended: it holds up nobody, and its event stays as it is",
          "[stuck]") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place, ropeway::original);
    const auto how = GENERATE(leaving::discard, leaving::drain);
    auto params = small_dispatcher(1);
    params.workers.stall_limit = 10ms;
    ropeway::dispatcher<market_event> d{params};
    gate stuck;
    std::atomic<std::uint64_t> seen_before{0};
    std::atomic<std::uint64_t> seen_after{0};
    tally left;
    auto hangs = d.subscribe("hangs", policy, {.delivery = mode}, [&](const market_event& e) {
        seen_before = e.user;
        stuck.pass();
        seen_after = e.user;
        left.add();
    });
    tally got;
    auto other = d.subscribe("other", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    REQUIRE(send(feed, event_kind::trade, 1));
    REQUIRE(stuck.held());
    std::uint64_t events = 1;
    if (policy == overflow::block) {
        for (;;) {  // until it holds the ring
            auto event = feed.claim();
            if (!event) {
                break;
            }
            event->user = events + 1;
            if (!feed.try_publish(std::move(event))) {
                break;
            }
            REQUIRE(got.reached(++events));
        }
        REQUIRE(events >= 64);
        REQUIRE(events <= 65 + 64);
    }
    const auto begin = std::chrono::steady_clock::now();
    const auto report = hangs.unsubscribe(how, 30ms);
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    CHECK_FALSE(report.ended);
    CHECK_FALSE(report.drained);
    CHECK(report.discarded + 1 >= (policy == overflow::block ? events - 64 : 0));
    for (std::uint64_t i = 0; i < 1000; ++i) {
        REQUIRE(send(feed, event_kind::trade, 1'000'000 + i));
    }
    REQUIRE(got.reached(events + 1000));
    stuck.open();
    REQUIRE(left.reached(1));
    REQUIRE(eventually([&] { return d.stats().subscriptions.size() == 1; }));
    CHECK(seen_before == seen_after);
    CHECK(left.get() == 1);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("changes are refused inside a handler and time out on a stuck one") {
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    gate stuck;
    ropeway::subscription slow = d.subscribe("slow", overflow::block, {.kinds = event_kind::quote},
                                             [&](const market_event&) { stuck.pass(); });
    std::atomic<int> inside{-1};
    std::atomic<bool> ended{true};
    auto asks = d.subscribe("asks", overflow::block, {.kinds = event_kind::trade},
                            [&](const market_event&) {
                                ended = slow.unsubscribe(leaving::drain, 1s).ended;
                                inside = 1;
                            });
    auto policy_in_handler = change_status::done;
    auto self = d.subscribe("self", overflow::block, {.kinds = event_kind::ticker},
                            [&](const market_event&) {
                                policy_in_handler = asks.set_policy(overflow::drop_oldest, 1s);
                                inside = 2;
                            });
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::ticker));
    REQUIRE(eventually([&] { return inside == 2; }));
    CHECK(policy_in_handler == change_status::inside_handler);
    REQUIRE(send(feed, event_kind::quote));
    REQUIRE(stuck.held());
    CHECK(slow.set_policy(overflow::drop_oldest, 10ms) == change_status::timed_out);
    CHECK(slow.set_interest(event_kind::trade, {}, 10ms) == change_status::timed_out);
    CHECK_THROWS_WITH(slow.set_interest(ropeway::kind_set{std::uint32_t{0}}, {}, 10ms),
                      Catch::Contains("kinds is empty"));
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(eventually([&] { return inside == 1; }));
    CHECK_FALSE(ended);
    CHECK_FALSE(slow);
    stuck.open();
    REQUIRE(eventually([&] { return d.stats().subscriptions.size() == 2; }));
    CHECK(d.stop(30s).clean());
}

TEST_CASE("interest changes hold for every event published after") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::atomic<std::uint64_t> wrong{0};
    std::atomic<std::uint32_t> wanted{1};
    tally got;
    auto sub = d.subscribe("s", policy, {.kinds = event_kind::quote, .instruments = {1}},
                           [&](const market_event& e) {
                               wrong += e.instrument != wanted.load() ? 1U : 0U;
                               got.add();
                           });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    std::uint64_t expected = 0;
    for (std::uint32_t round = 1; round <= 200; ++round) {
        for (std::uint32_t instrument = 1; instrument <= 3; ++instrument) {
            REQUIRE(send(feed, event_kind::quote, 0, instrument));
            REQUIRE(send(feed, event_kind::trade, 0, instrument));
        }
        ++expected;
        REQUIRE(got.reached(expected));
        REQUIRE(eventually([&] { return sub.stats().lag == 0; }));
        wanted = round % 3 + 1;
        REQUIRE(sub.set_interest(round % 2 == 0 ? event_kind::quote : event_kind::trade, {wanted},
                                 10s) == change_status::done);
    }
    CHECK(wrong == 0);
    CHECK(d.stop(30s).clean());
    CHECK(got.get() == expected);
    // Nobody wants quotes and trades at once: the rest was recycled at publish.
    CHECK(d.stats().publishers.at(0).unwanted > 0);
}

TEST_CASE("policies change under load: every event is delivered, folded or counted as lost",
          "[stress]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place, ropeway::original);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::atomic<std::uint64_t> told{0};
    std::atomic<std::uint64_t> disorder{0};
    std::uint64_t last = 0;
    tally got;
    auto sub = d.subscribe("s", overflow::block,
                           {.kinds = event_kind::quote, .delivery = mode, .conflation_keys = 16},
                           [&](const market_event&, const delivery& facts) {
                               disorder += facts.sequence <= last ? 1U : 0U;
                               last = facts.sequence;
                               told += facts.lost_before + facts.conflated_before;
                               got.add();
                               for (int i = 0; i < 50; ++i) {
                                   ropeway::spin_pause();
                               }
                           });
    auto feed = d.publisher("feed", rings_of(32));
    d.start();
    std::atomic<bool> goes_on{true};
    std::uint64_t sent = 0;
    std::thread publishing{[&] {
        for (std::uint64_t i = 1; goes_on.load(); ++i) {
            if (send(feed, event_kind::quote, i, static_cast<std::uint32_t>(i % 5 + 1))) {
                ++sent;
            }
        }
    }};
    constexpr std::array policies{overflow::drop_oldest, overflow::block,    overflow::conflate,
                                  overflow::drop_oldest, overflow::conflate, overflow::block};
    std::uint64_t before = 0;
    for (std::size_t round = 0; round < 120; ++round) {
        REQUIRE(sub.set_policy(policies[round % policies.size()], 30s) == change_status::done);
        before = got.get();
        REQUIRE(got.reached(before + 20));
    }
    goes_on = false;
    publishing.join();
    CHECK(d.stop(30s).clean());
    const auto stats = d.stats().subscriptions.at(0);
    CHECK(disorder == 0);
    CHECK(got.get() + stats.dropped + stats.conflated == sent);
    CHECK(told <= stats.dropped + stats.conflated);
    CHECK(stats.dropped > 0);
    CHECK(stats.conflated > 0);
    CHECK(d.stats().kept_out == 0);
}

TEST_CASE("a hundred changes a second under full load: who stays notices nothing", "[stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    struct stream {
        std::uint64_t got = 0;
        std::uint64_t wrong = 0;
    };
    std::array<stream, 2> stay{};
    std::vector<ropeway::subscription> staying;
    for (stream& mine : stay) {
        staying.push_back(d.subscribe("stays", overflow::block, {}, [&](const market_event& e) {
            mine.wrong += e.user != ++mine.got ? 1U : 0U;
        }));
    }
    auto changes = d.subscribe("changes", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    std::atomic<bool> goes_on{true};
    std::uint64_t sent = 0;
    std::thread publishing{[&] {
        while (goes_on.load()) {
            if (send(feed, event_kind::quote, sent + 1, 1)) {
                ++sent;
            }
        }
    }};
    struct newcomer {
        std::atomic<std::uint64_t> first{0};
        std::uint64_t last = 0;
        std::atomic<std::uint64_t> gaps{0};
        tally got;
    };
    constexpr int rounds = under_tsan ? 50 : 200;
    auto next = std::chrono::steady_clock::now();
    for (int round = 0; round < rounds; ++round) {
        next += 10ms;
        newcomer here;
        auto sub = d.subscribe("comes and goes", overflow::block, {},
                               [&](const market_event&, const delivery& facts) {
                                   if (here.last == 0) {
                                       here.first = facts.sequence;
                                   } else if (facts.sequence != here.last + 1) {
                                       here.gaps += 1;
                                   }
                                   here.last = facts.sequence;
                                   here.got.add();
                               });
        const std::uint64_t stated = sub.first_sequence(feed.number());
        REQUIRE(here.got.reached(1));
        REQUIRE(here.first.load() <= stated);
        REQUIRE(changes.set_policy(round % 2 == 0 ? overflow::drop_oldest : overflow::block, 10s) ==
                change_status::done);
        REQUIRE(changes.set_interest(round % 3 == 0 ? ropeway::all_kinds : ropeway::market_data, {},
                                     10s) == change_status::done);
        changes.update_min_version(0);
        const auto report =
            sub.unsubscribe(round % 2 == 0 ? leaving::drain : leaving::discard, 10s);
        REQUIRE(report.ended);
        REQUIRE(here.gaps == 0);
        while (std::chrono::steady_clock::now() < next) {
            std::this_thread::yield();
        }
    }
    goes_on = false;
    publishing.join();
    CHECK(d.stop(30s).clean());
    for (const stream& mine : stay) {
        CHECK(mine.got == sent);
        CHECK(mine.wrong == 0);
    }
    CHECK(d.stats().duplicates_out == 0);
    CHECK(d.stats().kept_out == 0);
}
