// SPDX-License-Identifier: Apache-2.0
//
// Publish to handler, open loop, profile `latency`: the publisher on the first processor, workers
// that never sleep on the others. Against one ring whose one worker shows each event in place to
// all consumers, its handlers inlined. Every delivery is timed and counts.
#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/consumer/histogram.hpp>

#include "one_ring.hpp"
#include "open_loop.hpp"
#include "ours.hpp"
#include "stopwatch.hpp"
#include "suites.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

struct load {
    unsigned consumers = 1;
    double per_second = 0;
    std::uint64_t events = 0;
};

/// What one consumer sees: order, checksum, and the time of each delivery.
class timed {
  public:
    explicit timed(std::uint64_t events) : tally_(events), ticks_(events) {}
    void take(const market_event& event) noexcept {
        const std::uint64_t now = tick_clock::now();
        const auto due = static_cast<std::uint64_t>(event.publish_ns);
        ticks_[event.exchange_id % ticks_.size()] = now > due ? now - due : 0;
        tally_.take(event);
    }
    [[nodiscard]] tally& counts() noexcept { return tally_; }
    [[nodiscard]] const std::vector<std::uint64_t>& ticks() const noexcept { return ticks_; }

  private:
    tally tally_;
    std::vector<std::uint64_t> ticks_;
};

/// The median of all deliveries, exact; and their distribution for the tables.
measured result_of(std::deque<timed>& consumers, const std::string& design, histogram* into) {
    measured out;
    std::vector<std::uint64_t> all;
    for (std::size_t i = 0; i < consumers.size(); ++i) {
        consumers[i].counts().check(design + ", consumer " + std::to_string(i + 1), out.faults);
        all.insert(all.end(), consumers[i].ticks().begin(), consumers[i].ticks().end());
    }
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    out.value = static_cast<double>(tick_clock::to_ns(*middle));
    if (into != nullptr) {
        for (const std::uint64_t ticks : all) {
            into->record(tick_clock::to_ns(ticks));
        }
    }
    return out;
}

bool wait_for(std::deque<timed>& consumers) {
    const stopwatch since;
    for (timed& one : consumers) {
        patience waiting;
        while (!one.counts().finished()) {
            if (since.seconds() > 60) {
                return false;
            }
            waiting.wait();
        }
    }
    return true;
}

std::deque<timed> timed_consumers(const load& how) {
    std::deque<timed> made;
    for (unsigned c = 0; c < how.consumers; ++c) {
        made.emplace_back(how.events);
    }
    return made;
}

measured run_ring(const load& how, histogram* into) {
    std::deque<timed> consumers = timed_consumers(how);
    const auto ring = std::make_unique<one_ring<1024>>();
    {
        const std::jthread worker{[&] {
            const pinned_to second{1};
            while (!consumers.back().counts().finished()) {
                const std::uint64_t begin = ring->begin();
                const std::uint64_t end = ring->end();
                for (std::uint64_t at = begin; at != end; ++at) {
                    for (timed& one : consumers) {
                        one.take(ring->at(at));
                    }
                }
                if (begin != end) {
                    ring->release(end);
                } else {
                    spin_pause();
                }
            }
        }};
        const pinned_to first{0};  // after the worker's start: it would inherit it
        const open_loop arrivals{how.per_second};
        for (std::uint64_t i = 0; i < how.events; ++i) {
            const std::uint64_t due = arrivals.wait_for(i);
            market_event* place = ring->try_reserve();
            while (place == nullptr) {
                spin_pause();
                place = ring->try_reserve();
            }
            *place = market_event{};
            fill(*place, i);
            place->publish_ns = static_cast<std::int64_t>(due);
            ring->commit();
        }
    }
    return result_of(consumers, "one ring", into);
}

measured run_latency(const load& how, histogram* into) {
    std::deque<timed> consumers = timed_consumers(how);
    dispatcher_params params = params_for(profile::latency);
    params.max_subscriptions = std::max(params.max_subscriptions, how.consumers);
    dispatcher<market_event> events{std::move(params)};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < how.consumers; ++c) {
        joined.push_back(events.subscribe(
            "consumer " + std::to_string(c + 1), overflow::block, {},
            [&mine = consumers[c]](const market_event& event) { mine.take(event); }));
    }
    publisher<market_event> feed = events.publisher("feed");
    events.start();
    const pinned_to first{0};
    measured out;
    const open_loop arrivals{how.per_second};
    for (std::uint64_t i = 0; i < how.events; ++i) {
        const std::uint64_t due = arrivals.wait_for(i);
        claimed<market_event> event = feed.claim();
        if (!event) {
            out.faults.push_back("claim " + std::to_string(i) + " found no slot");
            return out;
        }
        fill(*event, i);
        event->publish_ns = static_cast<std::int64_t>(due);
        if (!feed.publish(std::move(event))) {
            out.faults.push_back("publish " + std::to_string(i) + " failed");
            return out;
        }
    }
    const bool all = wait_for(consumers);
    const stop_report report = events.stop(std::chrono::seconds{5});
    out = result_of(consumers, "ours", into);
    if (!all) {
        out.faults.emplace_back("ours did not finish within a minute");
    }
    check_counters(events.stats(), report, how.events, out.faults);
    return out;
}

/// feed -> strategy, which publishes an order for each event -> order consumer.
measured run_roundtrip(const load& how, histogram* into) {
    std::deque<timed> strategy = timed_consumers(how);
    std::deque<timed> gateway = timed_consumers(how);
    measured out;
    dispatcher<market_event> events{params_for(profile::latency)};
    publisher<market_event> feed = events.publisher("feed");
    publisher<market_event> orders = events.publisher("orders");
    std::uint64_t refused = 0;
    const subscription first_hop = events.subscribe(
        "strategy", overflow::block, {.kinds = market_data}, [&](const market_event& event) {
            claimed<market_event> order = orders.claim();
            if (!order) {
                ++refused;
                return;
            }
            *order = event;
            order->kind = event_kind::control_command;
            strategy[0].take(event);
            refused += orders.publish(std::move(order)) ? 0U : 1U;
        });
    const subscription second_hop =
        events.subscribe("gateway", overflow::block, {.kinds = critical},
                         [&](const market_event& event) { gateway[0].take(event); });
    events.start();
    const pinned_to first{0};
    const open_loop arrivals{how.per_second};
    for (std::uint64_t i = 0; i < how.events; ++i) {
        const std::uint64_t due = arrivals.wait_for(i);
        claimed<market_event> event = feed.claim();
        if (!event) {
            out.faults.push_back("claim " + std::to_string(i) + " found no slot");
            return out;
        }
        fill(*event, i);
        event->publish_ns = static_cast<std::int64_t>(due);
        if (!feed.publish(std::move(event))) {
            out.faults.push_back("publish " + std::to_string(i) + " failed");
            return out;
        }
    }
    const bool all = wait_for(gateway);
    const stop_report report = events.stop(std::chrono::seconds{5});
    out = result_of(gateway, "ours, round trip", into);
    expect(refused, 0, "orders refused", out.faults);
    if (!all || !report.clean()) {
        out.faults.emplace_back("the round trip did not end cleanly");
    }
    return out;
}

row make_row(std::string id, std::string what, unsigned consumers, std::string reference,
             double reach) {
    row made;
    made.id = std::move(id);
    made.suite = "latency";
    made.what = std::move(what) + "; guard, profile latency";
    made.consumers = consumers;
    made.metric = "p50";
    made.unit = "ns";
    made.reference = std::move(reference);
    made.reach = reach;
    made.direction = better::lower;
    return made;
}

}  // namespace

measured median_latency(unsigned consumers, double per_second, std::uint64_t events) {
    return run_latency({consumers, per_second, events}, nullptr);
}

std::vector<row> run_latency_suite(const plan& how) {
    std::vector<row> rows;
    struct width {
        unsigned consumers;
        double reach;
    };
    for (const width& now : {width{1, 1.2}, width{3, 1.2}, width{10, 1.2}, width{50, 1.3}}) {
        const load asked{now.consumers, 100'000, 100'000 / std::min(how.divisor, 5U)};
        row made = make_row("latency.100k." + std::to_string(now.consumers),
                            "open loop, 100k ev/s, duplicates", now.consumers,
                            "one ring, one worker, in place", now.reach);
        measure(
            made, how, [&] { return run_latency(asked, &made.times); },
            [&] { return run_ring(asked, nullptr); });
        rows.push_back(std::move(made));
    }
    {
        const load asked{1, 100'000, 100'000 / std::min(how.divisor, 5U)};
        row made = make_row("latency.roundtrip", "feed, strategy, order consumer, 100k ev/s", 2,
                            "twice one way of one ring with one worker", 1.3);
        measure(
            made, how, [&] { return run_roundtrip(asked, &made.times); },
            [&] {
                measured one_way = run_ring(asked, nullptr);
                one_way.value *= 2;
                return one_way;
            });
        rows.push_back(std::move(made));
    }
    {
        const load asked{3, 1'000, 1'000 / std::min(how.divisor, 5U)};
        row made = make_row("latency.1k.3", "open loop, 1k ev/s, duplicates", 3,
                            "one ring, one spinning worker, in place", 1.2);
        measure(
            made, how, [&] { return run_latency(asked, &made.times); },
            [&] { return run_ring(asked, nullptr); });
        rows.push_back(std::move(made));
    }
    return rows;
}

}  // namespace ropeway::bench
