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

#include <ropeway/pool/histogram.hpp>

#include "one_ring.hpp"
#include "open_loop.hpp"
#include "ours.hpp"
#include "publish_one.hpp"
#include "suites.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

struct load {
    unsigned consumers = 1;
    double per_second = 0;
    std::uint64_t events = 0;
    delivery_mode delivery = delivery_mode::in_place;
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
    [[nodiscard]] bool finished() const noexcept { return tally_.finished(); }
    [[nodiscard]] const tally& counts() const noexcept { return tally_; }
    [[nodiscard]] const std::vector<std::uint64_t>& ticks() const noexcept { return ticks_; }

  private:
    tally tally_;
    std::vector<std::uint64_t> ticks_;
};

/// The median of all deliveries, exact; and their distribution for the tables.
measured result_of(const std::deque<timed>& consumers, const std::string& design, histogram* into) {
    measured out;
    std::vector<std::uint64_t> all;
    for (std::size_t i = 0; i < consumers.size(); ++i) {
        consumers[i].counts().check(design + ", consumer " + std::to_string(i + 1), out.faults);
        all.insert(all.end(), consumers[i].ticks().begin(), consumers[i].ticks().end());
    }
    out.value = static_cast<double>(tick_clock::to_ns(median_of(all)));
    if (into != nullptr) {
        for (const std::uint64_t ticks : all) {
            into->record(tick_clock::to_ns(ticks));
        }
    }
    return out;
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
            while (!consumers.back().finished()) {
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

/// Publishes each event when it is due and tells it when that was, in ticks. False, and a fault,
/// where one could not be published.
bool publish_when_due(publisher<market_event>& feed, const load& how,
                      std::vector<std::string>& faults) {
    const open_loop arrivals{how.per_second};
    for (std::uint64_t i = 0; i < how.events; ++i) {
        const auto write = [i, due = arrivals.wait_for(i)](market_event& event) {
            fill(event, i);
            event.publish_ns = static_cast<std::int64_t>(due);
        };
        if (!publish_one(feed, i, write, faults)) {
            return false;
        }
    }
    return true;
}

measured run_latency(const load& how, histogram* into) {
    std::deque<timed> consumers = timed_consumers(how);
    dispatcher<market_event> events{latency_params(how.consumers)};
    const std::vector<subscription> joined = subscribe_all(events, consumers, how.delivery);
    publisher<market_event> feed = events.publisher("feed");
    events.start();
    const pinned_to first{0};
    measured out;
    if (!publish_when_due(feed, how, out.faults)) {
        return out;
    }
    const bool all = wait_for_all(consumers, 60);
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
        "strategy", overflow::block, {.kinds = market_data, .delivery = how.delivery},
        [&](const market_event& event) {
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
        events.subscribe("gateway", overflow::block, {.kinds = critical, .delivery = how.delivery},
                         [&](const market_event& event) { gateway[0].take(event); });
    events.start();
    const pinned_to first{0};
    if (!publish_when_due(feed, how, out.faults)) {
        return out;
    }
    const bool all = wait_for_all(gateway, 60);
    const stop_report report = events.stop(std::chrono::seconds{5});
    out = result_of(gateway, "ours, round trip", into);
    expect(refused, 0, "orders refused", out.faults);
    if (!all || !report.clean()) {
        out.faults.emplace_back("the round trip did not end cleanly");
    }
    return out;
}

constexpr row_defaults latency_rows{.suite = "latency",
                                    .conditions = "; guard, profile latency",
                                    .metric = "p50",
                                    .unit = "ns",
                                    .direction = better::lower};

/// Ours against one ring, under the same load.
void add_one_way(std::vector<row>& rows, const plan& how, const load& asked, row made) {
    measure(
        made, how, [&] { return run_latency(asked, &made.times); },
        [&] { return run_ring(asked, nullptr); });
    rows.push_back(std::move(made));
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
        add_one_way(rows, how, asked,
                    latency_rows.with({.id = "latency.100k." + std::to_string(now.consumers),
                                       .what = "open loop, 100k ev/s, in place",
                                       .consumers = now.consumers,
                                       .reference = "one ring, one worker, in place",
                                       .reach = now.reach}));
    }
    for (const unsigned consumers : {1U, 10U}) {
        const load asked{consumers, 100'000, 100'000 / std::min(how.divisor, 5U),
                         delivery_mode::duplicate};
        add_one_way(rows, how, asked,
                    latency_rows.with({.id = "latency.duplicate." + std::to_string(consumers),
                                       .what = "open loop, 100k ev/s, duplicates",
                                       .consumers = consumers,
                                       .reference = "one ring, one worker, in place"}));
    }
    {
        const load asked{1, 100'000, 100'000 / std::min(how.divisor, 5U)};
        row made = latency_rows.with({.id = "latency.roundtrip",
                                      .what = "feed, strategy, order consumer, 100k ev/s, in place",
                                      .consumers = 2,
                                      .reference = "twice one way of one ring with one worker",
                                      .reach = 1.3});
        measure(
            made, how, [&] { return run_roundtrip(asked, &made.times); },
            [&] {
                measured one_way = run_ring(asked, nullptr);
                one_way.value *= 2;
                return one_way;
            });
        rows.push_back(std::move(made));
    }
    add_one_way(rows, how, {3, 1'000, 1'000 / std::min(how.divisor, 5U)},
                latency_rows.with({.id = "latency.1k.3",
                                   .what = "open loop, 1k ev/s, in place",
                                   .consumers = 3,
                                   .reference = "one ring, one spinning worker, in place",
                                   .reach = 1.2}));
    return rows;
}

}  // namespace ropeway::bench
