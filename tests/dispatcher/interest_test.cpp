// SPDX-License-Identifier: Apache-2.0
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
