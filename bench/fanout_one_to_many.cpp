// SPDX-License-Identifier: Apache-2.0
//
// One publisher, N consumers, a trivial handler that checks order and adds a checksum.
//
//   ours                                          reference
//
//                            +-> consumer 1                    +-> ring 1 -> thread 1
//   publisher -> one ring -> worker -> ...        producer  ---+-> ring 2 -> thread 2
//                            +-> consumer N       (copies N x) +-> ring N -> thread N
//
// Ours has on what a release ships with: guard level `guard`, counters, wrapper, both rings, the
// arena executor, subscriptions that block. A consumer gets its own duplicate, or the event in
// place. The reference has nothing on: an SPSC ring of 128-byte elements per consumer.
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>

#include "spsc_ring.hpp"
#include "stopwatch.hpp"
#include "suites.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

constexpr std::size_t ring_capacity = 1024;
constexpr double patience_seconds = 60;

/// What a run of one design came to.
struct outcome_of_run {
    double events_per_second = 0;
    std::vector<std::string> faults{};
};

std::deque<tally> make_tallies(unsigned consumers, std::uint64_t events) {
    std::deque<tally> made;
    for (unsigned i = 0; i < consumers; ++i) {
        made.emplace_back(events);
    }
    return made;
}

void check_all(const std::deque<tally>& tallies, const std::string& design,
               std::vector<std::string>& faults) {
    for (std::size_t i = 0; i < tallies.size(); ++i) {
        tallies[i].check(design + ", consumer " + std::to_string(i + 1), faults);
    }
}

// --- ours --------------------------------------------------------------------------------------

void check_counters(const dispatcher_stats& stats, std::uint64_t events, const stop_report& report,
                    std::vector<std::string>& faults) {
    for (const subscription_stats& one : stats.subscriptions) {
        if (one.consumer.done != events) {
            faults.push_back("counter of subscription " + one.name + ": " +
                             std::to_string(one.consumer.done) + " done instead of " +
                             std::to_string(events));
        }
    }
    if (stats.publishers.at(0).published != events) {
        faults.push_back(
            "counter of the publisher: " + std::to_string(stats.publishers[0].published) +
            " published instead of " + std::to_string(events));
    }
    if (!report.clean()) {
        faults.push_back("stop: " + std::to_string(report.undelivered) + " undelivered, " +
                         std::to_string(report.slots_outstanding) + " slots outstanding");
    }
}

outcome_of_run run_ours(delivery_mode mode, unsigned consumers, std::uint64_t events) {
    outcome_of_run out;
    std::deque<tally> tallies = make_tallies(consumers, events);
    dispatcher<market_event> fan;
    std::vector<subscription> joined;
    for (unsigned i = 0; i < consumers; ++i) {
        tally& mine = tallies[i];
        joined.push_back(fan.subscribe("consumer " + std::to_string(i + 1), overflow::block,
                                       {.delivery = mode},
                                       [&mine](const market_event& event) { mine.take(event); }));
    }
    publisher<market_event> feed = fan.publisher("feed");
    fan.start();
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; ++i) {
        claimed<market_event> event = feed.claim();
        if (!event) {
            out.faults.push_back("claim " + std::to_string(i) + " found no slot");
            break;
        }
        fill(*event, i);
        if (!feed.publish(std::move(event))) {
            out.faults.push_back("publish " + std::to_string(i) + " failed");
            break;
        }
    }
    if (out.faults.empty() && !wait_for_all(tallies, patience_seconds)) {
        out.faults.push_back("ours did not finish within a minute");
    }
    out.events_per_second = static_cast<double>(events) / since.seconds();
    const stop_report report = fan.stop(std::chrono::seconds{5});
    check_all(tallies, "ours", out.faults);
    check_counters(fan.stats(), events, report, out.faults);
    return out;
}

// --- reference -----------------------------------------------------------------------------------

/// An element as wide as our slot: the event and a header's room.
struct alignas(cache_block) element {
    market_event event;
};
static_assert(sizeof(element) == 128);
using element_ring = spsc_ring<element, ring_capacity>;

void consume(element_ring& from, tally& into) noexcept {
    patience waiting;
    while (!into.finished()) {
        if (const element* const next = from.front(); next != nullptr) {
            into.take(next->event);
            from.release();
            waiting.reset();
        } else {
            waiting.wait();
        }
    }
}

void produce(std::vector<std::unique_ptr<element_ring>>& rings, std::uint64_t events) noexcept {
    for (std::uint64_t i = 0; i < events; ++i) {
        market_event event;
        fill(event, i);
        for (const auto& to : rings) {
            patience waiting;
            element* place = to->try_reserve();
            while (place == nullptr) {
                waiting.wait();
                place = to->try_reserve();
            }
            place->event = event;
            to->commit();
        }
    }
}

outcome_of_run run_spsc(unsigned consumers, std::uint64_t events) {
    outcome_of_run out;
    std::deque<tally> tallies = make_tallies(consumers, events);
    std::vector<std::unique_ptr<element_ring>> rings;
    for (unsigned i = 0; i < consumers; ++i) {
        rings.push_back(std::make_unique<element_ring>());
    }
    std::atomic<unsigned> ready{0};
    std::vector<std::jthread> threads;
    for (unsigned i = 0; i < consumers; ++i) {
        threads.emplace_back([&ready, &from = *rings[i], &into = tallies[i]] {
            ready.fetch_add(1, std::memory_order_release);  // pairs with the load below
            consume(from, into);
        });
    }
    patience waiting;
    while (ready.load(std::memory_order_acquire) != consumers) {  // pairs with the threads' add
        waiting.wait();
    }
    const stopwatch since;
    produce(rings, events);
    threads.clear();  // joins: each ends with its last event
    out.events_per_second = static_cast<double>(events) / since.seconds();
    check_all(tallies, "spsc rings", out.faults);
    return out;
}

// --- rows ----------------------------------------------------------------------------------------

row make_row(const std::string& mode, unsigned consumers, std::optional<double> reach) {
    row made;
    made.id = "fanout." + mode + "." + std::to_string(consumers) + ".spsc";
    made.suite = "fanout";
    made.what = mode + ", block, guard, counters, arena, profile shared";
    made.consumers = consumers;
    made.metric = "throughput";
    made.unit = "Mev/s";
    made.reference = "SPSC ring by value and thread per consumer";
    made.reach = reach;
    return made;
}

void add(row& to, const outcome_of_run& ours, const outcome_of_run& reference) {
    to.values.push_back(ours.events_per_second / 1e6);
    to.reference_values.push_back(reference.events_per_second / 1e6);
    to.faults.insert(to.faults.end(), ours.faults.begin(), ours.faults.end());
    to.faults.insert(to.faults.end(), reference.faults.begin(), reference.faults.end());
}

}  // namespace

std::vector<row> run_fanout(const plan& how) {
    struct width {
        unsigned consumers;
        std::uint64_t events;
        std::optional<double> reach;
    };
    const std::vector<width> widths{{1, 6'000'000, {}}, {3, 4'000'000, 1.5}, {10, 1'500'000, {}}};
    std::vector<row> rows;
    for (const width& now : widths) {
        const std::uint64_t events = now.events / how.divisor;
        row copied = make_row("duplicate", now.consumers, now.reach);
        row lent = make_row("in_place", now.consumers, {});
        for (unsigned round = 0; round < how.rounds; ++round) {
            show_progress(copied.id, round, how.rounds);
            // Each of ours has a reference run on either side of it in time.
            const outcome_of_run before = run_spsc(now.consumers, events);
            add(copied, run_ours(delivery_mode::duplicate, now.consumers, events), before);
            const outcome_of_run in_ring = run_ours(delivery_mode::in_place, now.consumers, events);
            add(lent, in_ring, run_spsc(now.consumers, events));
        }
        rows.push_back(std::move(copied));
        rows.push_back(std::move(lent));
    }
    return rows;
}

}  // namespace ropeway::bench
