// SPDX-License-Identifier: Apache-2.0
//
// What one slow consumer does to its neighbours: three on one worker, one of which works for 100 us
// per event, 20,000 events a second, which is twice what the slow one can take. It drops; the
// others must lose nothing, and stay near.
#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/pool/histogram.hpp>

#include "open_loop.hpp"
#include "ours.hpp"
#include "publish_one.hpp"
#include "suites.hpp"

namespace ropeway::bench {
namespace {

struct outcome_for_others {
    double lost = 0;
    double p99_us = 0;
    std::vector<std::string> faults{};
};

outcome_for_others run_beside_slow(std::uint64_t events, histogram& into) {
    constexpr unsigned others = 2;
    outcome_for_others out;
    std::array<histogram, others> seen{};
    std::array<std::uint64_t, others> next{};
    std::array<std::uint64_t, others> out_of_order{};
    dispatcher_params params;
    params.workers.count = 1;
    dispatcher<market_event> fan{std::move(params)};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < others; ++c) {
        joined.push_back(
            fan.subscribe("other " + std::to_string(c + 1), overflow::drop_oldest, {},
                          [&, c](const market_event& event) {
                              const std::uint64_t now = tick_clock::now();
                              const auto due = static_cast<std::uint64_t>(event.publish_ns);
                              seen[c].record(tick_clock::to_ns(now > due ? now - due : 0));
                              out_of_order[c] += event.exchange_id < next[c] ? 1U : 0U;
                              next[c] = event.exchange_id + 1;
                          }));
    }
    joined.push_back(fan.subscribe("slow", overflow::drop_oldest, {}, [](const market_event&) {
        work_for(std::chrono::microseconds{100});
    }));
    publisher<market_event> feed = fan.publisher("feed", {.market_capacity = 8192});
    fan.start();
    {
        const open_loop arrivals{20'000};
        for (std::uint64_t i = 0; i < events; ++i) {
            const auto write = [i, due = arrivals.wait_for(i)](market_event& event) {
                event.exchange_id = i;
                event.publish_ns = static_cast<std::int64_t>(due);
            };
            if (!publish_one(feed, i, write, out.faults)) {
                break;
            }
        }
    }
    const stop_report report = fan.stop(std::chrono::seconds{10});
    if (!report.clean()) {
        out.faults.emplace_back("stop was not clean");
    }
    histogram all;
    for (unsigned c = 0; c < others; ++c) {
        expect(out_of_order[c], 0, "events out of order", out.faults);
        out.lost += static_cast<double>(events - seen[c].count());
        all.merge(seen[c]);
    }
    for (const subscription_stats& one : fan.stats().subscriptions) {
        expect(one.consumer.done + one.dropped, events, "done and dropped of " + one.name,
               out.faults);
    }
    out.p99_us = static_cast<double>(all.percentile(0.99)) / 1000;
    into.merge(all);
    return out;
}

constexpr row_defaults isolation_rows{
    .suite = "isolation",
    .conditions = "three on one worker, one of 100 us, 20k ev/s, drop_oldest; guard, arena"};

}  // namespace

std::vector<row> run_isolation(const plan& how) {
    const std::uint64_t events = 40'000 / std::min(how.divisor, 4U);
    row lost = isolation_rows.with({.id = "isolation.slow.lost",
                                    .consumers = 3,
                                    .metric = "events lost by the others",
                                    .direction = better::lower,
                                    .reach = 0,
                                    .absolute = true});
    row late = isolation_rows.with({.id = "isolation.slow.p99_us",
                                    .consumers = 3,
                                    .metric = "p99 of the others",
                                    .unit = "us",
                                    .direction = better::lower,
                                    .reach = 200,
                                    .absolute = true,
                                    .best_counts = true});
    for (unsigned round = 0; round < how.rounds; ++round) {
        show_progress(late.id, round, how.rounds);
        outcome_for_others now = run_beside_slow(events, late.times);
        lost.values.push_back(now.lost);
        late.values.push_back(now.p99_us);
        late.faults.insert(late.faults.end(), now.faults.begin(), now.faults.end());
    }
    return {std::move(lost), std::move(late)};
}

}  // namespace ropeway::bench
