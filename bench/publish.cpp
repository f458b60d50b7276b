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
#include "stopwatch.hpp"
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
    const auto middle = ticks.begin() + static_cast<std::ptrdiff_t>(ticks.size() / 2);
    std::nth_element(ticks.begin(), middle, ticks.end());
    return static_cast<double>(*middle) * tick_clock::calibration().ns_per_tick;
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
        claimed<market_event> event = feed.claim();
        if (!event) {
            faults.push_back("claim " + std::to_string(i) + " found no slot");
            break;
        }
        fill(*event, i);
        event->kind = kind;
        event->instrument = static_cast<std::uint32_t>(i % instruments) + 1;
        if (!feed.publish(std::move(event))) {
            faults.push_back("publish " + std::to_string(i) + " failed");
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
    dispatcher_params params = params_for(profile::latency);
    dispatcher<market_event> fan{std::move(params)};
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

row make_row(std::string id, std::string what, unsigned consumers, std::string reference,
             double reach) {
    row made;
    made.id = std::move(id);
    made.suite = "publish";
    made.what = std::move(what) + "; guard, profile latency";
    made.consumers = consumers;
    made.metric = "cost of one publish";
    made.unit = "ns";
    made.reference = std::move(reference);
    made.reach = reach;
    made.direction = better::lower;
    return made;
}

}  // namespace

measured publish_cost(unsigned consumers, std::uint64_t events) {
    measured out;
    std::deque<tally> tallies;
    dispatcher_params params = params_for(profile::latency);
    params.max_subscriptions = std::max(params.max_subscriptions, consumers);
    dispatcher<market_event> fan{std::move(params)};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < consumers; ++c) {
        tallies.emplace_back(events);
        joined.push_back(fan.subscribe(
            "consumer " + std::to_string(c + 1), overflow::block, {},
            [&mine = tallies.back()](const market_event& event) { mine.take(event); }));
    }
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
    const auto middle = took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2);
    std::nth_element(took.begin(), middle, took.end());
    out.value =
        static_cast<double>(*middle) * tick_clock::calibration().ns_per_tick - clock_pair_ns();
    return out;
}

std::vector<row> run_publish(const plan& how) {
    std::vector<row> rows;
    const std::uint64_t events = 100'000 / std::min(how.divisor, 5U);
    row flat = make_row("publish.flat.50", "100k ev/s, duplicates, block; median", 50,
                        "the same with one consumer", 1.25);
    measure(
        flat, how, [=] { return publish_cost(50, events); },
        [=] { return publish_cost(1, events); });
    rows.push_back(std::move(flat));
    row cost = make_row("publish.cost.clock", "100k ev/s, duplicates, block; median", 10,
                        "one pair of looks at the clock", 2.5);
    measure(
        cost, how, [=] { return publish_cost(10, events); },
        [] {
            return measured{clock_pair_ns(), {}};
        });
    rows.push_back(std::move(cost));
    row stuck = make_row("publish.stuck_conflate.10", "500k ev/s, one of ten hangs; mean", 10,
                         "the same, and none hangs", 3);
    measure(
        stuck, how, [=] { return run_conflate(2 * events, true); },
        [=] { return run_conflate(2 * events, false); });
    rows.push_back(std::move(stuck));
    return rows;
}

}  // namespace ropeway::bench
