// SPDX-License-Identifier: Apache-2.0
//
// What happens to a subscription that falls a ring behind, beyond block and drop_oldest:
// conflation, disconnection, the backlog of critical events; and the two orders. Every count is
// compared with what was published.
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::alert_kind;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::event_order;
using ropeway::kind_set;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;

namespace {

const kind_set quotes = event_kind::quote;
const kind_set quotes_and_critical = quotes | event_kind::execution_report;

/// What a conflating consumer saw. Written by the worker, read by the main thread after stop().
struct latest {
    std::map<std::uint32_t, std::uint64_t> user{};  ///< by instrument
    std::uint64_t got = 0;
    std::uint64_t conflated = 0;
    std::uint64_t lost = 0;
    std::uint64_t backwards = 0;

    void take(const market_event& e, const delivery& facts) {
        std::uint64_t& last = user[e.instrument];
        backwards += e.user <= last ? 1U : 0U;
        last = e.user;
        ++got;
        conflated += facts.conflated_before;
        lost += facts.lost_before;
    }
};

/// The alerts of one dispatcher as lines.
class told_lines {
  public:
    [[nodiscard]] std::function<void(const ropeway::alert&)> teller() {
        return [this](const ropeway::alert& what) {
            const std::lock_guard lock{guard_};
            all_.emplace_back(what.kind, to_string(what));
        };
    }
    [[nodiscard]] std::vector<std::string> of(alert_kind kind) const {
        const std::lock_guard lock{guard_};
        std::vector<std::string> out;
        for (const auto& [what, line] : all_) {
            if (what == kind) {
                out.push_back(line);
            }
        }
        return out;
    }

  private:
    mutable std::mutex guard_;
    std::vector<std::pair<alert_kind, std::string>> all_;
};

/// An event whose copy stops on a latch.
struct latched_event {
    event_kind kind = event_kind::trade;
    std::uint64_t routing_version = 0;
    std::uint64_t user = 0;

    latched_event() noexcept = default;
    latched_event(const latched_event& from) noexcept { *this = from; }
    latched_event& operator=(const latched_event& from) noexcept {
        if (from.user == stops_at.load(std::memory_order_acquire)) {
            latch->pass();
        }
        kind = from.kind;
        routing_version = from.routing_version;
        user = from.user;
        return *this;
    }
    ~latched_event() = default;

    inline static std::atomic<std::uint64_t> stops_at{0};
    inline static gate* latch = nullptr;
};

}  // namespace

TEST_CASE("conflate keeps the latest event of every key while the consumer is stuck and lapped",
          "[conflate]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place, ropeway::original);
    constexpr std::uint32_t instruments = 100;
    constexpr std::uint64_t events = 20'000;
    told_lines told;
    auto params = small_dispatcher();
    params.on_alert = told.teller();
    ropeway::dispatcher<market_event> d{params};
    latest seen;
    gate stuck;
    auto book = d.subscribe("book", overflow::conflate, {.kinds = quotes, .delivery = mode},
                            [&](const market_event& e, const delivery& facts) {
                                if (seen.got == 0) {
                                    stuck.pass();
                                }
                                seen.take(e, facts);
                            });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    std::map<std::uint32_t, std::uint64_t> published;
    std::minstd_rand random{7};
    for (std::uint64_t i = 1; i <= events; ++i) {
        const auto instrument = static_cast<std::uint32_t>(random() % instruments + 1);
        auto event = feed.claim();
        REQUIRE(event);
        event->kind = event_kind::quote;
        event->instrument = instrument;
        event->user = i;
        REQUIRE(feed.try_publish(std::move(event)).status == publish_status::sent);
        published[instrument] = i;
        if (i == 1) {
            REQUIRE(stuck.held());
        }
    }
    CHECK(feed.stats().waits == 0);
    stuck.open();
    CHECK(d.stop(30s).clean());
    CHECK(seen.user == published);
    CHECK(seen.backwards == 0);
    CHECK(seen.lost == 0);
    const auto stats = d.stats();
    const auto& mine = stats.subscriptions.at(0);
    CHECK(mine.conflated == seen.conflated);
    CHECK(mine.conflated_by_kind[static_cast<std::size_t>(event_kind::quote)] == mine.conflated);
    CHECK(mine.conflated > events / 2);
    CHECK(seen.got + seen.conflated == events);
    CHECK(mine.dropped == 0);
    CHECK(stats.kept_out == 0);
    CHECK(stats.duplicates_out == 0);
    CHECK(told.of(alert_kind::losing).empty());
}

TEST_CASE("beyond its keys, or its slots, conflation loses what the ring laps, and counts why",
          "[conflate]") {
    const bool few_keys = GENERATE(true, false);
    told_lines told;
    auto params = small_dispatcher();
    params.on_alert = told.teller();
    params.kept_slots = few_keys ? 0 : 64;  // conflation may have half of them
    ropeway::dispatcher<market_event> d{params};
    latest seen;
    gate stuck;
    std::uint64_t reports = 0;
    auto book =
        d.subscribe("book", overflow::conflate,
                    {.kinds = quotes_and_critical, .conflation_keys = few_keys ? 16U : 1024U},
                    [&](const market_event& e, const delivery& facts) {
                        if (seen.got + reports == 0) {
                            stuck.pass();
                        }
                        if (e.kind == event_kind::quote) {
                            seen.take(e, facts);
                        } else {
                            reports += 1;
                        }
                    });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    constexpr std::uint64_t events = 5000;
    for (std::uint64_t i = 1; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::quote, i, static_cast<std::uint32_t>(i % 100 + 1)));
        if (i == 1) {
            REQUIRE(stuck.held());
        }
    }
    for (int i = 0; i < 64 + 16; ++i) {  // these still find room, whatever conflation took
        REQUIRE(send(feed, event_kind::execution_report));
    }
    REQUIRE(eventually([&] { return !told.of(alert_kind::losing).empty(); }));
    stuck.open();
    CHECK(d.stop(30s).clean());
    const auto mine = d.stats().subscriptions.at(0);
    CHECK(mine.dropped > 1000);
    CHECK((few_keys ? mine.dropped_no_key : mine.dropped_no_slot) == mine.dropped);
    CHECK((few_keys ? mine.dropped_no_slot : mine.dropped_no_key) == 0);
    CHECK(seen.lost == mine.dropped);
    CHECK(seen.got + seen.conflated + seen.lost == events);
    CHECK(seen.backwards == 0);
    CHECK(reports == 64 + 16);
    CHECK(told.of(alert_kind::losing).size() == 1);
}

TEST_CASE("conflate of kinds that do not replace each other is refused, naming them") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    CHECK_THROWS_WITH(d.subscribe("book", overflow::conflate, {}, [](const market_event&) {}),
                      Catch::Contains("\"book\"") && Catch::Contains("kinds 0, 2, 4, 5"));
    CHECK_THROWS_WITH(
        d.subscribe("book", overflow::conflate, {.kinds = quotes, .conflation_keys = 0},
                    [](const market_event&) {}),
        Catch::Contains("conflation_keys is 0"));
    CHECK_THROWS_WITH(
        d.subscribe("book", overflow::block, {.backlog = 100}, [](const market_event&) {}),
        Catch::Contains("backlog is 100") && Catch::Contains("power of two"));
}

TEST_CASE("disconnect ends market data of every publisher, tells once, and goes on with critical",
          "[disconnect]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    told_lines told;
    auto params = small_dispatcher();
    params.on_alert = told.teller();
    ropeway::dispatcher<market_event> d{params};
    gate stuck;
    std::uint64_t trades = 0;
    std::uint64_t reports = 0;
    std::uint64_t late = 0;
    auto slow =
        d.subscribe("slow", overflow::disconnect, {.delivery = mode}, [&](const market_event& e) {
            if (trades + reports == 0) {
                stuck.pass();
            }
            late += e.user == 999 ? 1U : 0U;
            ++(e.kind == event_kind::trade ? trades : reports);
        });
    auto feed = d.publisher("feed", rings_of(64));
    auto other = d.publisher("other", rings_of(64));
    d.start();
    REQUIRE(send(feed, event_kind::trade, 1));
    REQUIRE(stuck.held());
    for (std::uint64_t i = 0; i < 40; ++i) {
        REQUIRE(send(other, event_kind::trade, 1));
    }
    for (std::uint64_t i = 0; i < 64; ++i) {
        REQUIRE(send(feed, event_kind::trade, 1));
    }
    REQUIRE(send(feed, event_kind::trade, 1));  // the lap
    REQUIRE(eventually([&] { return told.of(alert_kind::disconnected).size() == 1; }));
    CHECK_THAT(told.of(alert_kind::disconnected)[0],
               Catch::Contains("\"slow\"") && Catch::Contains("\"feed\""));
    const std::uint64_t before = d.stats().subscriptions.at(0).dropped;
    for (std::uint64_t i = 0; i < 1000; ++i) {
        REQUIRE(send(feed, event_kind::trade, 999));
    }
    CHECK(d.stats().subscriptions.at(0).dropped == before);
    REQUIRE(send(feed, event_kind::execution_report, 1));
    stuck.open();
    REQUIRE(eventually([&] { return d.stats().subscriptions.at(0).lag == 0; }));
    auto third = d.publisher("third", rings_of(64));  // made after
    REQUIRE(send(third, event_kind::trade, 999));
    REQUIRE(send(third, event_kind::execution_report, 1));
    REQUIRE(send(other, event_kind::trade, 999));
    CHECK(d.stop(30s).clean());
    const auto mine = d.stats().subscriptions.at(0);
    CHECK(mine.disconnected);
    CHECK(late == 0);
    CHECK(reports == 2);
    CHECK(trades + mine.dropped == 1 + 40 + 64);  // what was there at the lap, of both publishers
    CHECK(mine.dropped >= 40);
    CHECK(told.of(alert_kind::disconnected).size() == 1);
}

TEST_CASE(
    "critical events of a stuck consumer wait in a bounded backlog; beyond it nobody gets one",
    "[backlog]") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    told_lines told;
    auto params = small_dispatcher();
    params.on_alert = told.teller();
    ropeway::dispatcher<market_event> d{params};
    gate stuck;
    std::vector<std::uint64_t> slow_got;
    std::vector<std::uint64_t> quick_got;
    auto slow = d.subscribe("the stuck one", policy, {.backlog = 64}, [&](const market_event& e) {
        if (slow_got.empty()) {
            stuck.pass();
        }
        slow_got.push_back(e.user);
    });
    auto quick = d.subscribe("quick", policy, {},
                             [&](const market_event& e) { quick_got.push_back(e.user); });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    REQUIRE(send(feed, event_kind::control_ack, 0));
    REQUIRE(stuck.held());
    std::uint64_t sent = 1;
    ropeway::publish_result refused;
    while (sent < 1000) {
        auto event = feed.claim();
        REQUIRE(event);
        event->kind = event_kind::control_ack;
        event->user = sent;
        refused = feed.publish(std::move(event), 20ms);
        if (!refused) {
            break;
        }
        ++sent;
    }
    CHECK(refused.status == publish_status::backlog_full);
    CHECK(refused.held_by == "the stuck one");
    CHECK(refused.waited >= 20ms);
    CHECK(sent >= 64 + 16);
    CHECK(sent <= 64 + 16 + 64 + 1);  // and what it took before it got stuck
    REQUIRE(eventually([&] { return !told.of(alert_kind::backlogged).empty(); }));
    CHECK_THAT(told.of(alert_kind::backlogged)[0], Catch::Contains("\"the stuck one\""));
    CHECK(d.stats().subscriptions.at(0).backlog == 64);
    CHECK(d.stats().subscriptions.at(0).backlog_peak == 64);
    for (std::uint64_t i = 0; i < 100; ++i) {  // market data goes on
        CHECK(send(feed, event_kind::trade, 0).status != (policy == overflow::block && i >= 16
                                                              ? publish_status::sent
                                                              : publish_status::backlog_full));
        if (policy == overflow::block && i == 15) {
            break;
        }
    }
    stuck.open();
    const auto keep = [](std::vector<std::uint64_t>& got) {
        std::erase(got, 0);  // the market data, and the first
    };
    CHECK(d.stop(30s).clean());
    keep(slow_got);
    keep(quick_got);
    REQUIRE(slow_got.size() == sent - 1);
    CHECK(slow_got == quick_got);
    for (std::uint64_t i = 1; i < sent; ++i) {
        CHECK(slow_got[i - 1] == i);
    }
    CHECK(d.stats().subscriptions.at(0).backlogged == 64);
    CHECK(d.stats().kept_out == 0);
}

TEST_CASE("what waits in a backlog is told by stop() and recycled by unsubscribe()", "[backlog]") {
    const bool stops = GENERATE(true, false);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::vector<std::uint64_t> told;
    d.on_undelivered([&](std::string_view, const market_event& e) { told.push_back(e.user); });
    auto slow =
        d.subscribe("slow", overflow::conflate, {.kinds = quotes_and_critical, .backlog = 64},
                    [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    for (std::uint64_t i = 1; i <= 50; ++i) {
        REQUIRE(send(feed, event_kind::execution_report, i));
        REQUIRE(send(feed, event_kind::quote, i, static_cast<std::uint32_t>(i % 4 + 1)));
    }
    CHECK(d.stats().subscriptions.at(0).backlog > 0);
    CHECK(d.stats().kept_out > 4);
    if (!stops) {
        slow.unsubscribe();
        CHECK(d.stats().kept_out == 0);
    }
    const auto report = d.stop(0s);
    CHECK(report.slots_outstanding == 0);
    CHECK(d.stats().kept_out == 0);
    if (stops) {
        CHECK(report.undelivered_critical == 50);
        CHECK(report.undelivered == 50 + 16 + 4);  // the ring's, and one of each key
        REQUIRE(told.size() == 50);
        for (std::uint64_t i = 1; i <= 50; ++i) {
            CHECK(told[i - 1] == i);
        }
    }
}

TEST_CASE("critical_first overtakes, in_sequence does not", "[order]") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest, overflow::conflate);
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place, ropeway::original);
    const auto order = GENERATE(event_order::critical_first, event_order::in_sequence);
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate stuck;
    std::uint64_t last = 0;
    std::uint64_t overtaken = 0;
    std::uint64_t got = 0;
    std::uint64_t gone = 0;
    std::uint64_t reports = 0;
    auto reader = d.subscribe("reader", policy,
                              {.kinds = quotes_and_critical, .delivery = mode, .order = order},
                              [&](const market_event& e, const delivery& facts) {
                                  if (got++ == 0) {
                                      stuck.pass();
                                  }
                                  overtaken += facts.sequence < last ? 1U : 0U;
                                  last = std::max(last, facts.sequence);
                                  gone += facts.lost_before + facts.conflated_before;
                                  reports += e.kind == event_kind::execution_report ? 1U : 0U;
                              });
    auto feed = d.publisher("feed", rings_of(256));
    d.start();
    const std::uint64_t first = policy == overflow::block ? 200 : 2000;  // laps, or not
    std::uint64_t critical = 0;
    for (std::uint64_t i = 0; i < first; ++i) {
        const bool report = i % 7 == 3;
        critical += report ? 1U : 0U;
        REQUIRE(send(feed, report ? event_kind::execution_report : event_kind::quote, i,
                     static_cast<std::uint32_t>(i % 5 + 1)));
        if (i == 0) {
            REQUIRE(stuck.held());
        }
    }
    stuck.open();
    const std::uint64_t then = scaled(50'000);
    for (std::uint64_t i = 0; i < then; ++i) {
        const bool report = i % 11 == 5;
        critical += report ? 1U : 0U;
        REQUIRE(send(feed, report ? event_kind::execution_report : event_kind::quote, i,
                     static_cast<std::uint32_t>(i % 5 + 1)));
    }
    INFO("policy " << static_cast<int>(policy) << ", delivery " << static_cast<int>(mode)
                   << ", order " << static_cast<int>(order));
    const auto report = d.stop(30s);
    INFO("undelivered " << report.undelivered << " outstanding " << report.slots_outstanding);
    CHECK(report.clean());
    CHECK(reports == critical);
    CHECK(got + gone == first + then);
    if (order == event_order::in_sequence) {
        CHECK(overtaken == 0);
    } else {
        CHECK(overtaken > 0);
    }
    const auto mine = d.stats().subscriptions.at(0);
    CHECK(mine.dropped + mine.conflated == gone);
    CHECK(d.stats().kept_out == 0);
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("a sole consumer gets the ring's own slot, mutable; with others it gets a duplicate",
          "[original]") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    const auto level = GENERATE(ropeway::guard_level::guard, ropeway::guard_level::full);
    auto params = small_dispatcher();
    params.guard = level;
    violations seen;
    ropeway::dispatcher<market_event> d{params};
    std::vector<const market_event*> at;
    tally done;
    auto sole = d.subscribe("sole", policy, {.delivery = ropeway::original}, [&](market_event& e) {
        e.price += 1;
        at.push_back(&e);
        done.add();
    });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    const auto publish = [&] {
        auto event = feed.claim();
        event->kind = event_kind::trade;
        const market_event* const slot = &*event;
        REQUIRE(feed.publish(std::move(event)));
        return slot;
    };
    std::uint64_t events = 0;
    const auto same_slot = [&] {
        const market_event* const slot = publish();
        REQUIRE(done.reached(++events));
        return at.back() == slot;
    };
    for (int i = 0; i < 200; ++i) {
        CHECK(same_slot() == (level != ropeway::guard_level::full));
    }
    {
        auto other = d.subscribe("other", overflow::block, {}, [](const market_event&) {});
        for (int i = 0; i < 200; ++i) {
            CHECK_FALSE(same_slot());
        }
    }
    CHECK(same_slot() == (level != ropeway::guard_level::full));
    CHECK(d.stop(30s).clean());
    CHECK(seen.all() == 0);
}

TEST_CASE("a lossy consumer stopped inside the copy of an event never makes its publisher wait",
          "[drop_oldest]") {
    gate latch;
    latched_event::latch = &latch;
    ropeway::dispatcher<latched_event> d{small_dispatcher(1)};
    std::uint64_t last = 0;
    std::uint64_t wrong = 0;
    std::uint64_t got = 0;
    std::uint64_t lost = 0;
    auto slow = d.subscribe("slow", overflow::drop_oldest, {},
                            [&](const latched_event& e, const delivery& facts) {
                                wrong += e.user != last + facts.lost_before + 1 ? 1U : 0U;
                                last = e.user;
                                lost += facts.lost_before;
                                ++got;
                            });
    auto feed = d.publisher("feed", rings_of(64));
    latched_event::stops_at.store(5, std::memory_order_release);
    d.start();
    constexpr std::uint64_t events = 10'000;
    for (std::uint64_t i = 1; i <= events; ++i) {
        auto event = feed.claim();
        REQUIRE(event);
        event->user = i;
        if (i == 6) {
            REQUIRE(latch.held());  // a worker stands in the copy of event 5
        }
        REQUIRE(feed.try_publish(std::move(event)).status == publish_status::sent);
    }
    CHECK(feed.stats().waits == 0);
    CHECK(feed.stats().exchanges > 0);
    latch.open();
    CHECK(d.stop(30s).clean());
    latched_event::stops_at.store(0, std::memory_order_release);
    CHECK(wrong == 0);
    CHECK(last == events);
    CHECK(got + lost == events);
}

TEST_CASE("conflation under load: the latest of every key, each event delivered, folded or lost",
          "[stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    constexpr std::uint32_t instruments = 50;
    std::array<latest, 2> seen{};
    std::array<std::uint64_t, 2> reports{};
    std::array<std::uint64_t, 2> disorder{};
    const auto order = GENERATE(event_order::critical_first, event_order::in_sequence);
    auto slow = d.subscribe("slow", overflow::conflate,
                            {.kinds = quotes_and_critical, .order = order, .backlog = 65536},
                            [&](const market_event& e, const delivery& facts) {
                                latest& mine = seen.at(facts.publisher);
                                if (e.kind == event_kind::execution_report) {
                                    std::uint64_t& count = reports.at(facts.publisher);
                                    disorder.at(facts.publisher) += e.user != count ? 1U : 0U;
                                    ++count;
                                    mine.conflated += facts.conflated_before;
                                    mine.lost += facts.lost_before;
                                } else {
                                    mine.take(e, facts);
                                }
                                for (int i = 0; i < 100; ++i) {
                                    ropeway::spin_pause();
                                }
                            });
    const std::uint64_t events = scaled(100'000);
    std::array<std::map<std::uint32_t, std::uint64_t>, 2> published;
    auto a = d.publisher("a", rings_of(32));
    auto b = d.publisher("b", rings_of(32));
    d.start();
    const auto flood = [&](ropeway::publisher<market_event>& to) {
        auto& mine = published.at(to.number());
        std::uint64_t critical = 0;
        for (std::uint64_t i = 1; i <= events; ++i) {
            const auto instrument = static_cast<std::uint32_t>(i * 7919 % instruments + 1);
            if (i % 64 == 0) {
                if (!send(to, event_kind::execution_report, critical++)) {
                    return;
                }
            } else if (send(to, event_kind::quote, i, instrument)) {
                mine[instrument] = i;
            } else {
                return;
            }
        }
    };
    std::thread other{[&] { flood(b); }};
    flood(a);
    other.join();
    CHECK(d.stop(60s).clean());
    for (std::size_t p = 0; p < 2; ++p) {
        INFO("publisher " << p);
        CHECK(seen[p].user == published[p]);
        CHECK(seen[p].backwards == 0);
        CHECK(seen[p].lost == 0);
        CHECK(reports[p] == events / 64);
        CHECK(disorder[p] == 0);
        CHECK(seen[p].got + seen[p].conflated + reports[p] == events);
    }
    CHECK(d.stats().subscriptions.at(0).conflated > 0);
    CHECK(d.stats().kept_out == 0);
}
