// SPDX-License-Identifier: Apache-2.0
//
// What one publish costs its thread: claim, fill, publish, between two looks at the clock, at rates
// that leave it time; the clock's own share is taken off. Profile `latency`: nobody is woken.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "open_loop.hpp"
#include "ours.hpp"
#include "publish_one.hpp"
#include "suites.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

/// Median cost of two looks at the clock, one after the other; ns.
double clock_pair_ns() {
    std::vector<std::uint64_t> ticks(10'000);
    for (std::uint64_t& one : ticks) {
        const std::uint64_t begin = tick_clock::now();
        one = tick_clock::now() - begin;
    }
    return static_cast<double>(median_of(ticks)) * tick_clock::calibration().ns_per_tick;
}

/// Publishes at a rate and returns what each publish took, in ticks.
std::vector<std::uint64_t> publish_timed(publisher<market_event>& feed, double per_second,
                                         std::uint64_t events, std::uint32_t instruments,
                                         event_kind kind, std::vector<std::string>& faults) {
    std::vector<std::uint64_t> took;
    took.reserve(events);
    const pinned_to first{0};
    const open_loop arrivals{per_second};
    for (std::uint64_t i = 0; i < events; ++i) {
        static_cast<void>(arrivals.wait_for(i));
        const std::uint64_t begin = tick_clock::now();
        const auto write = [=](market_event& event) {
            fill(event, i);
            event.kind = kind;
            event.instrument = static_cast<std::uint32_t>(i % instruments) + 1;
        };
        if (!publish_one(feed, i, write, faults)) {
            break;
        }
        took.push_back(tick_clock::now() - begin);
    }
    return took;
}

/// Mean ns of one publish of quotes of 1000 instruments to 10 conflating consumers, one of which
/// hangs if `stuck`; a mean, because the cost of keeping events for it comes in bursts.
measured run_conflate(std::uint64_t events, bool stuck) {
    constexpr unsigned consumers = 10;
    constexpr std::uint32_t instruments = 1000;
    measured out;
    std::atomic<bool> hangs{stuck};
    std::atomic<std::uint64_t> handled_last{0};
    dispatcher<market_event> fan{latency_params(consumers)};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < consumers; ++c) {
        joined.push_back(fan.subscribe(
            "consumer " + std::to_string(c + 1), overflow::conflate,
            {.kinds = event_kind::quote, .conflation_keys = 1024},
            [&, is_last = c + 1 == consumers](const market_event& event) {
                while (is_last &&
                       hangs.load(std::memory_order_acquire)) {  // pairs with the release
                    std::this_thread::sleep_for(std::chrono::milliseconds{1});
                }
                if (is_last) {
                    handled_last.store(event.exchange_id, std::memory_order_release);
                }
            }));
    }
    publisher<market_event> feed = fan.publisher("feed");
    fan.start();
    // The stuck one takes its first event, and a replacement worker takes over from it.
    static_cast<void>(
        publish_timed(feed, 100'000, 4096, instruments, event_kind::quote, out.faults));
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    std::vector<std::uint64_t> took =
        publish_timed(feed, 500'000, events, instruments, event_kind::quote, out.faults);
    hangs.store(false, std::memory_order_release);
    std::uint64_t sum = 0;
    for (const std::uint64_t ticks : took) {
        sum += ticks;
    }
    out.value = static_cast<double>(sum) / static_cast<double>(took.size()) *
                    tick_clock::calibration().ns_per_tick -
                clock_pair_ns();
    const stop_report report = fan.stop(std::chrono::seconds{10});
    if (!report.clean()) {
        out.faults.emplace_back("stop was not clean");
    }
    expect(handled_last.load(std::memory_order_acquire), events - 1, "last quote of the last one",
           out.faults);
    for (const subscription_stats& one : fan.stats().subscriptions) {
        expect(one.consumer.done + one.dropped + one.conflated, events + 4096,
               "done, dropped and conflated of " + one.name, out.faults);
    }
    return out;
}

constexpr row_defaults publish_rows{.suite = "publish",
                                    .conditions = "; guard, profile latency",
                                    .metric = "cost of one publish",
                                    .unit = "ns",
                                    .direction = better::lower};

}  // namespace

measured publish_cost(unsigned consumers, std::uint64_t events) {
    measured out;
    std::deque<tally> tallies;
    for (unsigned c = 0; c < consumers; ++c) {
        tallies.emplace_back(events);
    }
    dispatcher<market_event> fan{latency_params(consumers)};
    const std::vector<subscription> joined = subscribe_all(fan, tallies, delivery_mode::duplicate);
    publisher<market_event> feed = fan.publisher("feed");
    fan.start();
    std::vector<std::uint64_t> took =
        publish_timed(feed, 100'000, events, 1024, event_kind::trade, out.faults);
    if (!wait_for_all(tallies, 60)) {
        out.faults.emplace_back("ours did not finish within a minute");
    }
    const stop_report report = fan.stop(std::chrono::seconds{5});
    for (std::size_t c = 0; c < tallies.size(); ++c) {
        tallies[c].check("consumer " + std::to_string(c + 1), out.faults);
    }
    check_counters(fan.stats(), report, events, out.faults);
    out.value = static_cast<double>(median_of(took)) * tick_clock::calibration().ns_per_tick -
                clock_pair_ns();
    return out;
}

std::vector<row> run_publish(const plan& how) {
    std::vector<row> rows;
    const std::uint64_t events = 100'000 / std::min(how.divisor, 5U);
    row flat = publish_rows.with({.id = "publish.flat.50",
                                  .what = "100k ev/s, duplicates, block; median",
                                  .consumers = 50,
                                  .reference = "the same with one consumer",
                                  .reach = 1.25});
    measure(
        flat, how, [=] { return publish_cost(50, events); },
        [=] { return publish_cost(1, events); });
    rows.push_back(std::move(flat));
    row cost = publish_rows.with({.id = "publish.cost.clock",
                                  .what = "100k ev/s, duplicates, block; median",
                                  .consumers = 10,
                                  .reference = "one pair of looks at the clock",
                                  .reach = 2.5});
    measure(
        cost, how, [=] { return publish_cost(10, events); },
        [] {
            return measured{clock_pair_ns(), {}};
        });
    rows.push_back(std::move(cost));
    row stuck = publish_rows.with({.id = "publish.stuck_conflate.10",
                                   .what = "500k ev/s, one of ten hangs; mean",
                                   .consumers = 10,
                                   .reference = "the same, and none hangs",
                                   .reach = 3});
    measure(
        stuck, how, [=] { return run_conflate(2 * events, true); },
        [=] { return run_conflate(2 * events, false); });
    rows.push_back(std::move(stuck));
    return rows;
}

}  // namespace ropeway::bench
