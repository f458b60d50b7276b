// SPDX-License-Identifier: Apache-2.0
//
// What a consumer has beside its events: calls at the end of a batch, when idle and by timer;
// others that come before it; events that it keeps.
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::event_order;
using ropeway::execution_mode;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::pooled;

namespace {

/// Counts of a handler with everything. `inside` shows that no two of its functions overlap.
struct counts {
    std::atomic<int> inside{0};
    std::atomic<std::uint64_t> overlaps{0};
    std::atomic<std::uint64_t> events{0};
    std::atomic<std::uint64_t> batches{0};
    std::atomic<std::uint64_t> flushed{0};  ///< events by the last batch's end
    std::atomic<std::uint64_t> idle{0};
    std::atomic<std::uint64_t> timers{0};

    class scope {
      public:
        explicit scope(counts& of) : of_(&of) {
            of.overlaps += of.inside.fetch_add(1) != 0 ? 1U : 0U;
        }
        scope(const scope&) = delete;
        scope& operator=(const scope&) = delete;
        ~scope() { of_->inside.fetch_sub(1); }

      private:
        counts* of_;
    };
};

struct gathering_handler {
    counts* seen;
    bool throws = false;
    void operator()(const market_event&) {
        const counts::scope here{*seen};
        seen->events += 1;
    }
    void on_batch_end() {
        const counts::scope here{*seen};
        seen->batches += 1;
        seen->flushed = seen->events.load();
        if (throws) {
            throw std::runtime_error("cannot flush");
        }
    }
    void on_idle() {
        const counts::scope here{*seen};
        seen->idle += 1;
    }
};

struct timed_handler : gathering_handler {
    using gathering_handler::operator();
    void on_timer() {
        const counts::scope here{*seen};
        seen->timers += 1;
    }
};

}  // namespace

TEST_CASE("on_batch_end follows every batch, on_idle the last one, and nothing overlaps",
          "[hooks]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    const auto runs =
        GENERATE(execution_mode::group, execution_mode::inline_, execution_mode::own_thread);
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    counts seen;
    auto sub =
        d.subscribe("s", policy, {.delivery = mode, .execution = runs}, gathering_handler{&seen});
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    for (std::uint64_t i = 1; i <= 2000; ++i) {
        REQUIRE(send(feed, event_kind::trade));
        if (i % 500 == 0) {
            REQUIRE(eventually([&] { return seen.flushed == i && seen.idle > 0; }));
        }
    }
    CHECK(d.stop(30s).clean());
    CHECK(seen.flushed == 2000);
    CHECK(seen.batches <= 2000);
    CHECK(seen.idle <= seen.batches);
    CHECK(seen.overlaps == 0);
}

TEST_CASE("on_idle comes too when the last event takes longer than a slice", "[hooks]") {
    struct slow_handler {
        counts* seen;
        void operator()(const market_event&) {
            const auto until = std::chrono::steady_clock::now() + 200us;
            while (std::chrono::steady_clock::now() < until) {
            }
        }
        void on_idle() { seen->idle += 1; }
    };
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    const auto runs = GENERATE(execution_mode::group, execution_mode::inline_);
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    counts seen;
    auto sub = d.subscribe("s", policy, {.execution = runs}, slow_handler{&seen});
    auto feed = d.publisher("feed");
    d.start();
    for (std::uint64_t i = 1; i <= 5; ++i) {
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(eventually([&] { return seen.idle == i; }));
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a hook that throws makes a failure record and is counted", "[hooks]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    counts seen;
    auto sub = d.subscribe("flushes", overflow::block, {}, gathering_handler{&seen, true});
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(eventually([&] { return sub.stats().consumer.hooks_failed == 1; }));
    ropeway::failure_record record;
    REQUIRE(eventually([&] { return d.drain_failures({&record, 1}) == 1; }));
    CHECK(std::string{record.consumer} == "flushes");
    CHECK(std::string{record.what} == "cannot flush");
    CHECK(sub.stats().consumer.done == 1);
    CHECK(sub.stats().consumer.failed == 0);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("on_timer comes at its period, with and without events, and ends with its subscription",
          "[hooks]") {
    const auto runs = GENERATE(execution_mode::group, execution_mode::own_thread);
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    counts seen;
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(eventually([&] { return d.stats().groups.at(0).running == 0; }));  // idle
    {
        auto sub = d.subscribe("s", overflow::block, {.timer = 5ms, .execution = runs},
                               timed_handler{{&seen}});
        const auto begin = std::chrono::steady_clock::now();
        REQUIRE(eventually([&] { return seen.timers >= 20; }));
        const auto took = std::chrono::steady_clock::now() - begin;
        CHECK(took >= 19 * 5ms - 5ms);
        CHECK(took < 10s);
        for (int i = 0; i < 1000; ++i) {
            REQUIRE(send(feed, event_kind::trade));
        }
        const std::uint64_t before = seen.timers;
        REQUIRE(eventually([&] { return seen.timers >= before + 3 && seen.flushed == 1000; }));
    }
    const std::uint64_t after = seen.timers;
    const auto until = std::chrono::steady_clock::now() + 30ms;
    while (std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    CHECK(seen.timers == after);
    CHECK(seen.overlaps == 0);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("timers that cannot be called are refused with the reason", "[hooks]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    counts seen;
    CHECK_THROWS_WITH(d.subscribe("s", overflow::block, {}, timed_handler{{&seen}}),
                      Catch::Contains("timer is 0"));
    CHECK_THROWS_WITH(d.subscribe("s", overflow::block, {.timer = 5ms}, gathering_handler{&seen}),
                      Catch::Contains("no on_timer"));
    CHECK_THROWS_WITH(d.subscribe("s", overflow::block, {.timer = 5us}, timed_handler{{&seen}}),
                      Catch::Contains("timer (ns) is 5000"));
    CHECK_THROWS_WITH(
        d.subscribe("s", overflow::block, {.timer = 5ms, .execution = ropeway::inline_},
                    timed_handler{{&seen}}),
        Catch::Contains("inline_"));
    CHECK_THROWS_WITH(d.subscribe("s", overflow::block,
                                  {.quarantine = {.after = 3}, .execution = ropeway::inline_},
                                  [](const market_event&) {}),
                      Catch::Contains("inline_") && Catch::Contains("quarantine"));
}

TEST_CASE("a subscription that comes after others gets no event before they have handled it",
          "[after][stress]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    const auto first_policy = GENERATE(overflow::block, overflow::drop_oldest);
    const auto order = GENERATE(event_order::critical_first, event_order::in_sequence);
    const auto runs =
        GENERATE(execution_mode::group, execution_mode::inline_, execution_mode::own_thread);
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    const std::uint64_t events = scaled(20'000);
    // Whether an event was handled, by publisher and number.
    std::array<std::vector<std::atomic<std::uint8_t>>, 2> journaled{
        std::vector<std::atomic<std::uint8_t>>(events + 1),
        std::vector<std::atomic<std::uint8_t>>(events + 1)};
    auto journal =
        d.subscribe("journal", first_policy, {.delivery = mode, .order = order},
                    [&](const market_event& e, const delivery& facts) {
                        journaled[facts.publisher][e.user].fetch_or(1, std::memory_order_relaxed);
                    });
    auto audit =
        d.subscribe("audit", overflow::block, {.delivery = mode},
                    [&](const market_event& e, const delivery& facts) {
                        journaled[facts.publisher][e.user].fetch_or(2, std::memory_order_relaxed);
                    });
    std::atomic<std::uint64_t> early{0};
    std::uint64_t got = 0;
    auto risk = d.subscribe(
        "risk", overflow::block,
        {.delivery = mode, .order = order, .after = {&journal, &audit}, .execution = runs},
        [&](const market_event& e, const delivery& facts) {
            const auto state = journaled[facts.publisher][e.user].load(std::memory_order_relaxed);
            // What the journal lost to overflow counts as handled.
            early += (state & 2U) == 0 || (first_policy == overflow::block && (state & 1U) == 0)
                         ? 1U
                         : 0U;
            ++got;
        });
    auto a = d.publisher("a", rings_of(64));
    auto b = d.publisher("b", rings_of(64));
    d.start();
    const auto flood = [&](ropeway::publisher<market_event>& to) {
        for (std::uint64_t i = 1; i <= events; ++i) {
            if (!send(to, i % 10 == 0 ? event_kind::execution_report : event_kind::trade, i)) {
                return;
            }
        }
    };
    std::thread other{[&] { flood(b); }};
    flood(a);
    other.join();
    CHECK(d.stop(60s).clean());
    CHECK(early == 0);
    CHECK(got == 2 * events);
}

TEST_CASE("after: a stuck predecessor holds its follower, and its end lets it go", "[after]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate stuck;
    auto journal = d.subscribe("journal", overflow::drop_oldest, {},
                               [&](const market_event&) { stuck.pass(); });
    tally got;
    auto risk = d.subscribe("risk", overflow::drop_oldest, {.after = {&journal}},
                            [&](const market_event&) { got.add(); });
    tally free;
    auto other =
        d.subscribe("other", overflow::block, {}, [&](const market_event&) { free.add(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (int i = 0; i < 50; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    REQUIRE(stuck.held());
    REQUIRE(free.reached(50));
    CHECK(got.get() == 0);
    CHECK_FALSE(journal.unsubscribe(ropeway::leaving::discard, 10ms).ended);
    stuck.open();
    REQUIRE(got.reached(50));
    CHECK(d.stop(30s).clean());
}

TEST_CASE("after: one who follows an idle subscription starts at once; changes hold", "[after]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    tally of_first;
    tally of_second;
    auto first = d.subscribe("first", overflow::block, {.kinds = event_kind::trade},
                             [&](const market_event&) { of_first.add(); });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (std::uint64_t i = 1; i <= 10; ++i) {
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(of_first.reached(i));
    }
    auto second = d.subscribe("second", overflow::block, {.after = {&first}},
                              [&](const market_event&) { of_second.add(); });
    for (std::uint64_t i = 1; i <= 100; ++i) {  // some that the first does not want
        REQUIRE(send(feed, i % 2 == 0 ? event_kind::quote : event_kind::trade));
        REQUIRE(of_second.reached(i));
    }
    second.set_after({});
    first.set_after({&second});  // the other way round
    for (std::uint64_t i = 1; i <= 100; ++i) {
        REQUIRE(send(feed, event_kind::trade));
        REQUIRE(of_first.reached(60 + i));
        REQUIRE(of_second.get() >= 100 + i);
    }
    auto late = d.publisher("late", rings_of(64));  // made after
    REQUIRE(send(late, event_kind::trade));
    REQUIRE(of_first.reached(161));
    CHECK(d.stop(30s).clean());
}

TEST_CASE("after: a cycle is refused and its path named; strangers are refused", "[after]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    ropeway::dispatcher<market_event> elsewhere{small_dispatcher(1)};
    const auto nothing = [](const market_event&) {};
    auto a = d.subscribe("a", overflow::block, {}, nothing);
    auto b = d.subscribe("b", overflow::block, {.after = {&a}}, nothing);
    auto c = d.subscribe("c", overflow::block, {.after = {&b}}, nothing);
    CHECK_THROWS_WITH(a.set_after({&c}),
                      Catch::Contains("\"a\" after \"c\" after \"b\" after \"a\""));
    CHECK_THROWS_WITH(a.set_after({&a}), Catch::Contains("\"a\" after \"a\""));
    auto x = elsewhere.subscribe("x", overflow::block, {}, nothing);
    CHECK_THROWS_WITH(d.subscribe("y", overflow::block, {.after = {&x}}, nothing),
                      Catch::Contains("another dispatcher"));
    ropeway::subscription ended;
    CHECK_THROWS_WITH(a.set_after({&ended}), Catch::Contains("has ended"));
    b.set_after({});
    a.set_after({&c});
}

TEST_CASE("a handler that takes pooled<E> keeps events as long as it likes", "[retain]") {
    const auto policy = GENERATE(overflow::block, overflow::conflate);
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    std::mutex guard;
    std::vector<pooled<market_event>> kept;
    tally got;
    auto sub = d.subscribe("keeper", policy, {.kinds = event_kind::quote},
                           [&](pooled<market_event> e, const delivery& facts) {
                               if (facts.sequence % 2 == 0) {
                                   const std::lock_guard lock{guard};
                                   kept.push_back(std::move(e));
                               }
                               got.add();
                           });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (std::uint64_t i = 1; i <= 40; ++i) {
        REQUIRE(send(feed, event_kind::quote, i, static_cast<std::uint32_t>(i)));
        REQUIRE(got.reached(i));
    }
    {
        const std::lock_guard lock{guard};
        REQUIRE(kept.size() == 20);
        for (std::size_t i = 0; i < kept.size(); ++i) {
            CHECK(kept[i]->user == 2 * (i + 1));
        }
        const auto leaks = d.leaks();
        CHECK_THAT(to_string(leaks), Catch::Contains("keeper") && Catch::Contains("20"));
        kept.resize(5);
    }
    CHECK(d.stats().duplicates_out == 5);
    const auto report = d.stop(30s);
    CHECK(report.slots_outstanding == 5);  // told, not hidden
    kept.clear();
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("retain() keeps a copy from any handler, also past the dispatcher", "[retain]") {
    const auto mode = GENERATE(ropeway::duplicate, ropeway::in_place);
    CHECK_FALSE(ropeway::retain(market_event{}));  // outside of handlers
    std::vector<pooled<market_event>> kept;
    violations seen;
    {
        ropeway::dispatcher<market_event> d{small_dispatcher(1)};
        tally got;
        auto sub =
            d.subscribe("keeper", overflow::block, {.delivery = mode}, [&](const market_event& e) {
                kept.push_back(ropeway::retain(e));
                got.add();
            });
        auto feed = d.publisher("feed", rings_of(16));
        d.start();
        for (std::uint64_t i = 1; i <= 10; ++i) {
            REQUIRE(send(feed, event_kind::trade, i));
        }
        REQUIRE(got.reached(10));
        CHECK(d.stop(30s).slots_outstanding == 10);
    }
    REQUIRE(kept.size() == 10);
    for (std::uint64_t i = 1; i <= 10; ++i) {
        CHECK(kept[i - 1]->user == i);
    }
    kept.clear();
    CHECK(seen.all() == 0);
}

TEST_CASE("a handler that takes pooled<E> is refused where the event is not given away") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    const auto takes = [](pooled<market_event>) {};
    CHECK_THROWS_WITH(d.subscribe("x", overflow::block, {.delivery = ropeway::in_place}, takes),
                      Catch::Contains("pooled<E>"));
    CHECK_THROWS_WITH(d.subscribe("x", overflow::block, {.delivery = ropeway::original}, takes),
                      Catch::Contains("pooled<E>"));
}
