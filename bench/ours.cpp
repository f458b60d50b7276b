// SPDX-License-Identifier: Apache-2.0
#include "ours.hpp"

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "publish_one.hpp"
#include "stopwatch.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

constexpr double patience_seconds = 60;

/// One consumer: a tally for each publisher.
using tallies_of_consumer = std::deque<tally>;

subscription subscribe(dispatcher<market_event>& to, const fan& how, const std::string& name,
                       tallies_of_consumer& mine) {
    subscription_params params{.delivery = how.delivery};
    params.execution = how.execution;
    if (how.handler.count() != 0) {
        return to.subscribe(name, how.policy, std::move(params),
                            [&mine = mine.front(), time = how.handler](const market_event& event) {
                                work_for(time);
                                mine.take(event);
                            });
    }
    if (how.publishers > 1) {
        return to.subscribe(name, how.policy, std::move(params),
                            [&mine](const market_event& event, const delivery& facts) {
                                mine[facts.publisher].take(event);
                            });
    }
    return to.subscribe(name, how.policy, std::move(params),
                        [&mine = mine.front()](const market_event& event) { mine.take(event); });
}

/// A publisher of a lossy subscription that is to keep up holds back before it laps it.
constexpr std::uint64_t looks_every = 64;

void publish_all(publisher<market_event>& feed, const fan& how, std::uint64_t events,
                 std::vector<std::string>& faults) {
    const bool holds_back = how.policy != overflow::block;
    const std::uint64_t most = how.rings.market_capacity - 2 * looks_every;
    for (std::uint64_t i = 0; i < events; ++i) {
        if (holds_back && i % looks_every == 0) {
            patience waiting;
            while (feed.slowest().lag > most) {
                waiting.wait();
            }
        }
        if (!publish_one(
                feed, i, [i](market_event& event) { fill(event, i); }, faults)) {
            return;
        }
    }
}

}  // namespace

void fault_of_claim(std::uint64_t number, std::vector<std::string>& faults) {
    faults.push_back("claim " + std::to_string(number) + " found no slot");
}
void fault_of_publish(std::uint64_t number, std::vector<std::string>& faults) {
    faults.push_back("publish " + std::to_string(number) + " failed");
}

dispatcher_params latency_params(unsigned consumers) {
    dispatcher_params params = params_for(profile::latency);
    params.max_subscriptions = std::max(params.max_subscriptions, consumers);
    return params;
}

void work_for(std::chrono::nanoseconds time) noexcept {
    const std::uint64_t until =
        tick_clock::now() + tick_clock::from_ns(static_cast<std::uint64_t>(time.count()));
    while (tick_clock::now() < until) {
    }
}

void check_counters(const dispatcher_stats& stats, const stop_report& report, std::uint64_t events,
                    std::vector<std::string>& faults) {
    for (const subscription_stats& one : stats.subscriptions) {
        expect(one.consumer.done, events, "counter `done` of subscription " + one.name, faults);
    }
    std::uint64_t published = 0;
    for (const publisher_stats& one : stats.publishers) {
        published += one.published;
    }
    expect(published, events, "counter `published`", faults);
    if (!report.clean()) {
        faults.push_back("stop: " + std::to_string(report.undelivered) + " undelivered, " +
                         std::to_string(report.slots_outstanding) + " slots outstanding");
    }
}

measured run_ours(const fan& how) {
    measured out;
    const std::uint64_t each = how.events / how.publishers;
    std::deque<tallies_of_consumer> tallies(how.consumers);
    dispatcher_params params = how.params;
    params.max_subscriptions = std::max(params.max_subscriptions, how.consumers);
    dispatcher<market_event> events{std::move(params)};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < how.consumers; ++c) {
        for (unsigned p = 0; p < how.publishers; ++p) {
            tallies[c].emplace_back(each);
        }
        joined.push_back(subscribe(events, how, "consumer " + std::to_string(c + 1), tallies[c]));
    }
    std::vector<publisher<market_event>> feeds;
    std::vector<std::vector<std::string>> faults(how.publishers);
    for (unsigned p = 0; p < how.publishers; ++p) {
        feeds.push_back(events.publisher("feed " + std::to_string(p + 1), how.rings));
    }
    events.warm_up();  // the references' rings were touched when they were made
    events.start();
    const stopwatch since;
    {
        std::vector<std::jthread> others;
        for (unsigned p = 1; p < how.publishers; ++p) {
            others.emplace_back([&, p] { publish_all(feeds[p], how, each, faults[p]); });
        }
        publish_all(feeds[0], how, each, faults[0]);
    }
    bool finished = true;
    for (const auto& mine : tallies) {
        finished = finished && wait_for_all(mine, patience_seconds);
    }
    out.value = static_cast<double>(each * how.publishers) / since.seconds() / 1e6;
    const stop_report report = events.stop(std::chrono::seconds{5});
    for (const auto& some : faults) {
        out.faults.insert(out.faults.end(), some.begin(), some.end());
    }
    if (!finished) {
        out.faults.emplace_back("ours did not finish within a minute");
    }
    for (unsigned c = 0; c < how.consumers; ++c) {
        for (const tally& one : tallies[c]) {
            one.check("ours, consumer " + std::to_string(c + 1), out.faults);
        }
    }
    check_counters(events.stats(), report, each * how.publishers, out.faults);
    return out;
}

}  // namespace ropeway::bench
