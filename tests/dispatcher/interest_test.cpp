// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <stdexcept>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("a subscriber gets the kinds it asked for and no others") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::vector<event_kind> quotes;
    std::vector<event_kind> critical;
    auto a = d.subscribe("quotes", overflow::block,
                         {.kinds = event_kind::quote | event_kind::ticker, .delivery = delivery},
                         [&](const market_event& e) { quotes.push_back(e.kind); });
    auto b =
        d.subscribe("critical", overflow::block, {.kinds = ropeway::critical, .delivery = delivery},
                    [&](const market_event& e) { critical.push_back(e.kind); });
    auto feed = d.publisher("feed", rings_of(16));
    for (const event_kind kind :
         {event_kind::trade, event_kind::quote, event_kind::execution_report, event_kind::ticker,
          event_kind::heartbeat, event_kind::control_result}) {
        const auto status = send(feed, kind).status;
        const bool nobody = kind == event_kind::trade || kind == event_kind::heartbeat;
        CHECK(status ==
              (nobody ? ropeway::publish_status::no_subscriber : ropeway::publish_status::sent));
    }
    d.start();
    CHECK(d.stop(30s).clean());
    CHECK(quotes == std::vector{event_kind::quote, event_kind::ticker});
    CHECK(critical == std::vector{event_kind::execution_report, event_kind::control_result});
}

TEST_CASE("a subscriber gets its instruments, and events that have none") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::vector<std::uint32_t> got;
    ropeway::subscription_params params;
    params.delivery = delivery;
    params.instruments = {9, 7};
    auto reader = d.subscribe("reader", overflow::block, params,
                              [&](const market_event& e) { got.push_back(e.instrument); });
    auto feed = d.publisher("feed", rings_of(16));
    for (const std::uint32_t instrument : {6U, 7U, 8U, 0U, 9U, 10U, 7U}) {
        REQUIRE(send(feed, event_kind::trade, 0, instrument));
    }
    d.start();
    CHECK(d.stop(30s).clean());
    CHECK(got == std::vector<std::uint32_t>{7, 0, 9, 7});
}

TEST_CASE("a kind that nobody knows counts as critical and reaches whoever wants critical kinds") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::uint64_t got = 0;
    auto risk =
        d.subscribe("risk", overflow::drop_oldest, {.kinds = ropeway::critical, .backlog = 16},
                    [&](const market_event&) { ++got; });
    auto feed = d.publisher("feed", rings_of(16));
    static_cast<void>(d.flip());
    for (int i = 0; i < 16 + 16; ++i) {  // the ring, and the backlog
        auto event = feed.claim();
        event->kind = static_cast<event_kind>(200);
        event->routing_version = 0;  // stale, were it market data
        REQUIRE(feed.publish(std::move(event)).status == ropeway::publish_status::sent);
    }
    auto one_more = feed.claim();
    one_more->kind = static_cast<event_kind>(200);
    CHECK(feed.try_publish(std::move(one_more)).status == ropeway::publish_status::backlog_full);
    d.start();
    CHECK(d.stop(30s).undelivered == 0);
    CHECK(got == 16 + 16);
}

TEST_CASE("a subscription that wants nothing is refused with the remedy") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    try {
        static_cast<void>(d.subscribe("nothing", overflow::block,
                                      {.kinds = ropeway::kind_set{std::uint32_t{0}}},
                                      [](const market_event&) {}));
        FAIL("accepted");
    } catch (const std::invalid_argument& error) {
        CHECK_THAT(error.what(), Catch::Contains("nothing") && Catch::Contains("all_kinds"));
    }
}

TEST_CASE("many subscriptions with some instruments each get exactly those", "[masks][stress]") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    const std::uint32_t stride = GENERATE(1U, 100'003U);  // small numbers, and large ones
    auto params = small_dispatcher(1);
    params.max_subscriptions = 64;
    ropeway::dispatcher<market_event> d{params};
    constexpr std::uint32_t instruments = 500;
    constexpr std::size_t readers = 50;
    struct seen {
        std::vector<std::uint32_t> wants{};
        std::uint64_t got = 0;
        std::uint64_t wrong = 0;
        std::uint64_t expected = 0;
    };
    std::vector<seen> all(readers);
    std::vector<ropeway::subscription> subs;
    const ropeway::kind_set quotes_and_status =
        event_kind::quote | event_kind::market_status | event_kind::execution_report;
    for (std::size_t i = 0; i < readers; ++i) {
        seen& mine = all[i];
        for (std::uint32_t k = 0; k < 10; ++k) {
            mine.wants.push_back(static_cast<std::uint32_t>((i * 37 + k * 11) % instruments + 1) *
                                 stride);
        }
        std::sort(mine.wants.begin(), mine.wants.end());
        subs.push_back(d.subscribe(
            "s", policy,
            {.kinds = quotes_and_status, .delivery = delivery, .instruments = mine.wants},
            [&mine](const market_event& e) {
                ++mine.got;
                mine.wrong += e.kind == event_kind::trade ||
                                      (e.instrument != 0 &&
                                       !std::binary_search(mine.wants.begin(), mine.wants.end(),
                                                           e.instrument))
                                  ? 1U
                                  : 0U;
            }));
    }
    auto everything = d.subscribe("all", policy, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    const std::uint64_t events = scaled(20'000);
    for (std::uint64_t n = 0; n < events; ++n) {
        const bool none = n % 100 == 0;
        const auto instrument =
            none ? 0 : static_cast<std::uint32_t>(n * 7919 % instruments + 1) * stride;
        const auto kind = n % 3 == 0   ? event_kind::trade
                          : n % 3 == 1 ? event_kind::quote
                                       : event_kind::execution_report;
        REQUIRE(send(feed, kind, n, instrument));
        for (seen& mine : all) {
            mine.expected += kind != event_kind::trade &&
                                     (none || std::binary_search(mine.wants.begin(),
                                                                 mine.wants.end(), instrument))
                                 ? 1U
                                 : 0U;
        }
    }
    CHECK(d.stop(60s).clean());
    const auto stats = d.stats().subscriptions;
    for (std::size_t i = 0; i < readers; ++i) {
        CHECK(all[i].wrong == 0);
        CHECK(all[i].got + stats[i].dropped == all[i].expected);
        CHECK((policy != overflow::block || stats[i].dropped == 0));
    }
    CHECK(stats[readers].consumer.done + stats[readers].dropped == events);
}

TEST_CASE("instruments of subscriptions that come, change and go under load", "[masks][stress]") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    constexpr std::uint32_t instruments = 16;
    // How often each instrument was published up to a sequence is known from the sequence: they
    // take turns, and nothing else is published.
    auto feed = d.publisher("feed", rings_of(256));
    auto everything = d.subscribe("all", overflow::block, {}, [](const market_event&) {});
    d.start();
    std::atomic<bool> goes_on{true};
    std::thread publishing{[&] {
        for (std::uint64_t n = 1; goes_on.load(); ++n) {
            if (!send(feed, event_kind::quote, n,
                      static_cast<std::uint32_t>(n % instruments + 1))) {
                return;
            }
        }
    }};
    struct seen {
        std::atomic<std::uint64_t> first{0};
        std::uint64_t last = 0;
        std::atomic<std::uint64_t> gaps{0};
        std::atomic<std::uint64_t> wrong{0};
        tally got;
    };
    for (std::uint32_t round = 0; round < (sanitized ? 30 : 150); ++round) {
        seen mine;
        std::atomic<std::uint32_t> wanted{round % instruments + 1};
        auto sub = d.subscribe(
            "s", round % 2 == 0 ? overflow::block : overflow::drop_oldest,
            {.instruments = {wanted.load()}},
            [&](const market_event& e, const ropeway::delivery& facts) {
                mine.wrong += e.instrument != wanted.load() ? 1U : 0U;
                if (mine.last == 0) {
                    mine.first = facts.sequence - instruments * facts.lost_before;
                } else if (facts.sequence != mine.last + instruments * (1 + facts.lost_before)) {
                    mine.gaps += 1;
                }
                mine.last = facts.sequence;
                mine.got.add();
            });
        REQUIRE(mine.got.reached(20));
        // Every one from the stated sequence on.
        REQUIRE(mine.first.load() < sub.first_sequence(feed.number()) + instruments);
        REQUIRE(mine.gaps == 0);
        REQUIRE(mine.wrong == 0);
        const std::uint32_t next = (round + 5) % instruments + 1;
        REQUIRE(sub.set_interest(ropeway::all_kinds, {wanted.load(), next}, 10s) ==
                ropeway::change_status::done);
        REQUIRE(eventually([&] { return mine.wrong > 0; }));  // the new one comes
    }
    goes_on = false;
    publishing.join();
    CHECK(d.stop(30s).clean());
}
