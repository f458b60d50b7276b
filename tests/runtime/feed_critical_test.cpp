// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed_critical.hpp>

#include <vector>

#include <ropeway/runtime/feed_generated.hpp>
#include <ropeway/runtime/feed_peaks.hpp>
#include <ropeway_test.hpp>

#include "feed_bytes_for_tests.hpp"

using namespace ropeway;
using namespace std::chrono_literals;

namespace {

std::vector<market_event> all_of(feed& source) {
    std::vector<market_event> events;
    market_event event;
    while (source.next(event)) {
        events.push_back(event);
    }
    return events;
}

}  // namespace

TEST_CASE("critical events stand at their stated points and leave the market events alone") {
    const generated_feed_params params{.events = 10'000};
    const auto plain = make_generated_feed(params);
    const auto market = all_of(*plain);
    const auto wrapped = with_critical_events(make_generated_feed(params),
                                              {.execution_report_every = 10, .control_every = 35});
    const auto mixed = all_of(*wrapped);

    std::vector<market_event> left;
    std::uint64_t reports = 0;
    std::uint64_t controls = 0;
    for (const auto& event : mixed) {
        if (!is_critical(event.kind)) {
            left.push_back(event);
            continue;
        }
        REQUIRE_FALSE(left.empty());
        REQUIRE(event.receive_ns == left.back().receive_ns);
        REQUIRE(event.instrument == left.back().instrument);
        REQUIRE(event.exchange_id == reports + controls + 1);
        const bool is_report = event.kind == event_kind::execution_report;
        (is_report ? reports : controls) += 1;
        REQUIRE(left.size() == (is_report ? reports * 10 : controls * 35));
    }
    CHECK(left == market);
    CHECK(reports == 1000);
    CHECK(controls == 285);
    const auto stats = wrapped->stats();
    CHECK(stats.events == 11'285);
    CHECK(stats.critical_inserted == 1'285);
    CHECK(stats.of(event_kind::execution_report) == 1000);
    CHECK(stats.of(event_kind::control_command) == 95);
    CHECK(stats.of(event_kind::control_ack) == 95);
    CHECK(stats.of(event_kind::control_result) == 95);
}

TEST_CASE("command, ack and result of a round carry one order id, reports their own") {
    const auto wrapped = with_critical_events(make_generated_feed({.events = 600}),
                                              {.execution_report_every = 50, .control_every = 100});
    std::vector<std::uint64_t> control_orders;
    std::uint64_t latest_report = 0;
    for (const auto& event : all_of(*wrapped)) {
        if (event.kind == event_kind::execution_report) {
            CHECK(event.order > latest_report);
            CHECK(event.quantity > 0);
            latest_report = event.order;
        } else if (is_critical(event.kind)) {
            control_orders.push_back(event.order);
        }
    }
    REQUIRE(control_orders.size() == 6);
    CHECK(control_orders[0] == control_orders[1]);
    CHECK(control_orders[0] == control_orders[2]);
    CHECK(control_orders[3] == control_orders[5]);
    CHECK(control_orders[3] != control_orders[0]);
}

TEST_CASE("most critical events fall inside bursts, as most market events do") {
    const auto wrapped =
        with_critical_events(make_generated_feed({.duration = 20s, .start_ns = 0}), {});
    const auto events = all_of(*wrapped);
    std::uint64_t critical_events = 0;
    std::uint64_t in_bursts = 0;
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (!is_critical(events[i].kind)) {
            continue;
        }
        ++critical_events;
        const auto first = i < 5 ? 0 : i - 5;
        if (events[i].receive_ns - events[first].receive_ns < 1'000'000) {
            ++in_bursts;
        }
    }
    CHECK(critical_events > 100);
    CHECK(in_bursts * 2 > critical_events);
}

TEST_CASE("none are put in where none are wanted, and an error of the inner feed comes through") {
    const auto none = with_critical_events(make_generated_feed({.events = 2000}),
                                           {.execution_report_every = 0, .control_every = 0});
    CHECK(all_of(*none).size() == 2000);
    auto text = ropeway_test::small_csv();
    text.pop_back();
    const auto cut =
        with_critical_events(ropeway_test::feed_of(text), {.execution_report_every = 1});
    CHECK_THROWS_AS(all_of(*cut), feed_error);
    market_event event;
    CHECK_THROWS_AS(cut->next(event), feed_error);
    CHECK(cut->stats().events == 4);
    CHECK(cut->stats().rows == 2);
    CHECK_THROWS_AS(with_critical_events(nullptr), feed_error);
}

TEST_CASE("a burst meter finds the largest number of stamps in any window, open at its start") {
    burst_meter meter;
    for (const std::int64_t ms : {0, 1, 2, 500, 999}) {
        meter.add(ms * 1'000'000);
    }
    CHECK(meter.peak_in_1ms() == 1);
    CHECK(meter.peak_in_1s() == 5);
    meter.add(1'000'000'000);  // the stamp at 0 is out
    CHECK(meter.peak_in_1s() == 5);
    for (int i = 0; i < 7; ++i) {
        meter.add(1'000'900'000);
    }
    CHECK(meter.peak_in_1ms() == 8);
    CHECK(meter.peak_in_1s() == 12);
    CHECK(meter.events() == 13);
    CHECK(meter.span_ns() == 1'000'900'000);
    burst_meter bounded(3);
    for (int i = 0; i < 10; ++i) {
        bounded.add(5);
    }
    CHECK(bounded.peak_in_1s() == 3);
    CHECK(bounded.peak_in_1ms() == 3);
}
