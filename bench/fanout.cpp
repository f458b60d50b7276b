// SPDX-License-Identifier: Apache-2.0
//
// Throughput, as many events as the machine passes on:
//
//   ours                                          reference, for instance
//
//                            +-> consumer 1                    +-> ring 1 -> thread 1
//   publisher -> one ring -> worker -> ...        producer  ---+-> ring 2 -> thread 2
//                            +-> consumer N       (copies N x) +-> ring N -> thread N
//
// Ours has on what a release ships with: guard level `guard`, counters, wrapper, both rings,
// several publishers possible; the arena executor and profile `shared` unless the row says
// otherwise.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "open_loop.hpp"
#include "ours.hpp"
#include "publish_one.hpp"
#include "references.hpp"
#include "stopwatch.hpp"
#include "suites.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

constexpr row_defaults fanout_rows{
    .suite = "fanout", .conditions = "; guard, arena", .metric = "throughput", .unit = "Mev/s"};

std::uint64_t events_for(unsigned consumers, const plan& how) {
    return (consumers == 1 ? 6'000'000U : consumers == 3 ? 4'000'000U : 1'500'000U) / how.divisor;
}

design ours(fan how) {
    return [how] { return run_ours(how); };
}
design reference(measured (*run)(const reference_run&), unsigned consumers, std::uint64_t events) {
    return [=] { return run({consumers, events}); };
}

void duplicates_and_in_place(std::vector<row>& rows, const plan& how) {
    struct width {
        unsigned consumers;
        double copied;
        double lent;
    };
    for (const width& now : {width{1, 2.2, 2.5}, width{3, 3.0, 4.5}, width{10, 3.2, 7}}) {
        const std::uint64_t events = events_for(now.consumers, how);
        const design rings = reference(&run_spsc_rings, now.consumers, events);
        const std::string width = "." + std::to_string(now.consumers) + ".spsc";
        row copied = fanout_rows.with({.id = "fanout.duplicate" + width,
                                       .what = "duplicates, block",
                                       .consumers = now.consumers,
                                       .reference = "SPSC ring by value and thread per consumer",
                                       .reach = now.copied});
        measure(copied, how, ours({.consumers = now.consumers, .events = events}), rings);
        rows.push_back(std::move(copied));
        row lent = fanout_rows.with({.id = "fanout.in_place" + width,
                                     .what = "const& in place, block",
                                     .consumers = now.consumers,
                                     .reference = "SPSC ring by value and thread per consumer",
                                     .reach = now.lent});
        measure(lent, how,
                ours({.consumers = now.consumers,
                      .events = events,
                      .delivery = delivery_mode::in_place}),
                rings);
        rows.push_back(std::move(lent));
    }
}

void against_the_limit(std::vector<row>& rows, const plan& how) {
    struct width {
        unsigned consumers;
        std::optional<double> reach;
    };
    for (const width& now : {width{1, {}}, width{3, 0.75}, width{10, 0.7}}) {
        const std::uint64_t events = events_for(now.consumers, how);
        row made =
            fanout_rows.with({.id = "fanout.in_place." + std::to_string(now.consumers) + ".limit",
                              .what = "const& in place, block",
                              .consumers = now.consumers,
                              .reference = "one ring, one worker, handler inlined",
                              .reach = now.reach});
        measure(made, how,
                ours({.consumers = now.consumers,
                      .events = events,
                      .delivery = delivery_mode::in_place}),
                reference(&run_one_ring, now.consumers, events));
        rows.push_back(std::move(made));
    }
}

void lossy(std::vector<row>& rows, const plan& how) {
    for (const unsigned consumers : {3U, 10U}) {
        const std::uint64_t events = events_for(consumers, how);
        row made = fanout_rows.with({.id = "fanout.lossy." + std::to_string(consumers) + ".spsc",
                                     .what = "duplicates, drop_oldest, keeping up",
                                     .consumers = consumers,
                                     .reference = "SPSC ring by value and thread per consumer",
                                     .reach = 2.2});
        measure(made, how,
                ours({.consumers = consumers, .events = events, .policy = overflow::drop_oldest}),
                reference(&run_spsc_rings, consumers, events));
        rows.push_back(std::move(made));
    }
}

/// 50 consumers, each of 100 instruments out of 5000: ns per event.
measured run_selective(std::uint64_t events, bool by_table) {
    constexpr unsigned consumers = 50;
    constexpr std::uint32_t instruments = 5000;
    constexpr std::uint32_t wanted = instruments / consumers;
    struct alignas(cache_block) sums {
        std::uint64_t count = 0;
        std::uint64_t sum = 0;
        std::atomic<std::uint64_t> last{0};
    };
    measured out;
    std::vector<sums> seen(consumers);
    dispatcher<market_event> fan{{.max_subscriptions = consumers}};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < consumers; ++c) {
        std::vector<std::uint32_t> mine(wanted);
        for (std::uint32_t i = 0; i < wanted; ++i) {
            mine[i] = 1 + c + i * consumers;
        }
        const auto take = [&into = seen[c]](const market_event& event) {
            ++into.count;
            into.sum += event.user;
            into.last.store(event.exchange_id + 1, std::memory_order_release);  // for the wait
        };
        const std::string name = "consumer " + std::to_string(c + 1);
        subscription_params params{.delivery = delivery_mode::in_place};
        if (by_table) {
            params.instruments = mine;
            joined.push_back(fan.subscribe(name, overflow::block, std::move(params), take));
        } else {
            // What a user without the table does: every event, looked up in the handler.
            joined.push_back(fan.subscribe(
                name, overflow::block, std::move(params), [take, mine](const market_event& event) {
                    if (std::binary_search(mine.begin(), mine.end(), event.instrument)) {
                        take(event);
                    }
                }));
        }
    }
    publisher<market_event> feed = fan.publisher("feed");
    fan.warm_up();
    fan.start();
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; ++i) {
        const auto write = [i](market_event& event) {
            fill(event, i);
            event.instrument = static_cast<std::uint32_t>(i % instruments) + 1;
        };
        if (!publish_one(feed, i, write, out.faults)) {
            return out;
        }
    }
    patience waiting;
    for (std::uint64_t i = events - consumers; i < events; ++i) {
        const sums& last = seen[i % instruments % consumers];
        while (last.last.load(std::memory_order_acquire) != i + 1) {  // pairs with the handler
            waiting.wait();
        }
    }
    out.value = since.seconds() * 1e9 / static_cast<double>(events);
    static_cast<void>(fan.stop(std::chrono::seconds{5}));
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
    for (const sums& one : seen) {
        count += one.count;
        sum += one.sum;
    }
    expect(count, events, "events handled", out.faults);
    expect(sum, checksum_of(events), "checksum", out.faults);
    return out;
}

void selective(std::vector<row>& rows, const plan& how) {
    const std::uint64_t events = 1'000'000 / how.divisor;
    row made = fanout_rows.with(
        {.id = "fanout.selective.50",
         .what = "100 of 5000 instruments each, in place, block",
         .consumers = 50,
         .metric = "time per event",
         .unit = "ns",
         .reference = "every event to every handler, which looks its instrument up",
         .direction = better::lower,
         .reach = 0.1});
    measure(
        made, how, [=] { return run_selective(events, true); },
        [=] { return run_selective(events, false); });
    rows.push_back(std::move(made));
}

/// The hard limit: the same handlers, called by two threads that do nothing else.
measured run_work_alone(unsigned consumers, std::uint64_t events, std::chrono::nanoseconds work) {
    const std::uint64_t calls = events * consumers / 2;
    std::deque<tally> tallies;
    tallies.emplace_back(calls);
    tallies.emplace_back(calls);
    const stopwatch since;
    {
        std::deque<std::jthread> threads;
        for (unsigned i = 0; i < 2; ++i) {
            threads.emplace_back([&mine = tallies[i], i, calls, work] {
                const pinned_to one{i};
                market_event event;
                for (std::uint64_t call = 0; call < calls; ++call) {
                    fill(event, call);
                    work_for(work);
                    mine.take(event);
                }
            });
        }
    }
    measured out{static_cast<double>(events) / since.seconds() / 1e6, {}};
    for (const tally& one : tallies) {
        one.check("work alone", out.faults);
    }
    return out;
}

void with_work(std::vector<row>& rows, const plan& how) {
    constexpr std::chrono::microseconds work{1};
    for (const unsigned consumers : {3U, 10U}) {
        const std::uint64_t events = (consumers == 3 ? 600'000U : 200'000U) / how.divisor;
        row made = fanout_rows.with(
            {.id = "fanout.1us." + std::to_string(consumers) + ".cores",
             .what = "1 us of work per handler, duplicates, block, profile throughput",
             .consumers = consumers,
             .reference = "two threads that only call the handlers",
             .reach = 0.95});
        measure(made, how,
                ours({.consumers = consumers,
                      .events = events,
                      .handler = work,
                      .params = params_for(profile::throughput)}),
                [=] { return run_work_alone(consumers, events, work); });
        rows.push_back(std::move(made));
    }
}

void on_the_publishing_thread(std::vector<row>& rows, const plan& how) {
    const std::uint64_t events = events_for(10, how);
    row made = fanout_rows.with({.id = "fanout.inline.10.loop",
                                 .what = "inline, duplicates, block",
                                 .consumers = 10,
                                 .reference = "loop over std::function, a 128-byte copy each",
                                 .reach = 0.8});
    measure(made, how,
            ours({.consumers = 10, .events = events, .execution = execution_mode::inline_}),
            reference(&run_copying_loop, 10, events));
    rows.push_back(std::move(made));
}

void several_publishers(std::vector<row>& rows, const plan& how) {
    const std::uint64_t events = events_for(3, how);
    row made =
        fanout_rows.with({.id = "fanout.publishers2.3.one",
                          .what = "two publishers, one worker, duplicates, block; all events",
                          .consumers = 3,
                          .reference = "the same events from one publisher",
                          .reach = 0.8});
    fan two{.consumers = 3, .events = events, .publishers = 2};
    two.params.workers.count = 1;
    fan one = two;
    one.publishers = 1;
    measure(made, how, ours(two), ours(one));
    rows.push_back(std::move(made));
}

/// Shown beside: the other designs of the field, without a reach.
void against_the_field(std::vector<row>& rows, const plan& how) {
    struct design_of_field {
        const char* name;
        const char* what;
        measured (*run)(const reference_run&);
        unsigned slower;  ///< than ours, roughly: so much fewer events
    };
    for (const design_of_field& one : {
             design_of_field{"loop", "loop over std::function, no copy, no isolation",
                             &run_plain_loop, 1},
#if defined(ROPEWAY_BENCH_BOOST)
                 design_of_field{"signals2", "Boost.Signals2", &run_signals2, 2},
#endif
                 design_of_field{"parallel_for", "tbb::parallel_for per event", &run_parallel_for,
                                 20},
                 design_of_field{"task_group", "tbb::task_group per event", &run_task_group, 20},
                 design_of_field{"flow", "tbb::flow::broadcast_node", &run_flow_graph, 40},
                 design_of_field {
                 "moodycamel", "moodycamel queue and thread per consumer, pooled copies",
                     &run_moodycamel, 4
             }
         }) {
        const std::uint64_t events = events_for(3, how);
        row made = fanout_rows.with({.id = std::string{"fanout.duplicate.3."} + one.name,
                                     .what = "duplicates, block",
                                     .consumers = 3,
                                     .reference = one.what});
        plan fewer = how;
        fewer.rounds = std::min(how.rounds, 3U);
        measure(made, fewer, ours({.consumers = 3, .events = events}),
                reference(one.run, 3, events / one.slower));
        rows.push_back(std::move(made));
    }
}

}  // namespace

std::vector<row> run_fanout(const plan& how) {
    std::vector<row> rows;
    duplicates_and_in_place(rows, how);
    against_the_limit(rows, how);
    lossy(rows, how);
    selective(rows, how);
    with_work(rows, how);
    on_the_publishing_thread(rows, how);
    several_publishers(rows, how);
    if (!only_our_code) {
        against_the_field(rows, how);
    }
    return rows;
}

}  // namespace ropeway::bench
