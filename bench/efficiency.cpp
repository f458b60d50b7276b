// SPDX-License-Identifier: Apache-2.0
//
// What the machine gets for its trouble: how parallel sleeping handlers run, and what an event
// costs in steady state beside time: allocations, system calls, instructions.
#include <chrono>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "child.hpp"
#include "ours.hpp"
#include "stopwatch.hpp"
#include "suites.hpp"

namespace ropeway::bench {
namespace {

/// Ten handlers that sleep for 10 ms, on ten workers: the share of the time in which all ten slept.
measured run_sleeping(std::uint64_t events) {
    constexpr unsigned consumers = 10;
    static constexpr std::chrono::milliseconds nap{10};
    measured out;
    std::vector<std::uint64_t> handled(consumers);
    dispatcher_params params;
    params.workers.count = consumers;
    params.workers.where = make_thread_executor();
    params.workers.wait = wait_strategy::park;
    dispatcher<market_event> fan{std::move(params)};
    std::vector<subscription> joined;
    for (unsigned c = 0; c < consumers; ++c) {
        joined.push_back(fan.subscribe("consumer " + std::to_string(c + 1), overflow::block, {},
                                       [&mine = handled[c]](const market_event&) {
                                           std::this_thread::sleep_for(nap);
                                           ++mine;
                                       }));
    }
    publisher<market_event> feed = fan.publisher("feed");
    fan.start();
    double spent = 0;
    for (std::uint64_t i = 0; i < events; ++i) {
        claimed<market_event> event = feed.claim();
        if (!event) {
            out.faults.push_back("claim " + std::to_string(i) + " found no slot");
            break;
        }
        const stopwatch since;
        if (!feed.publish_and_wait(std::move(event)).complete) {
            out.faults.push_back("publish " + std::to_string(i) + " was not handled by all");
        }
        spent += since.seconds();
    }
    out.value = std::chrono::duration<double>(nap).count() * static_cast<double>(events) / spent;
    if (!fan.stop(std::chrono::seconds{5}).clean()) {
        out.faults.emplace_back("stop was not clean");
    }
    for (const std::uint64_t n : handled) {
        expect(n, events, "events handled", out.faults);
    }
    return out;
}

struct counts {
    measured allocations;
    measured system_calls;
};

/// Per event, after a warm-up, profile `latency`: the whole program's allocations, the publishing
/// thread's system calls. In a program of its own, whose malloc counts.
counts run_steady(std::uint64_t events) {
    counts out;
    const child_result ended = run_child("ropeway-bench-steady", {std::to_string(events)});
    std::istringstream said{ended.output};
    if (ended.exit_code != 0 || !(said >> out.allocations.value >> out.system_calls.value)) {
        out.allocations.faults.push_back("ropeway-bench-steady: exit " +
                                         std::to_string(ended.exit_code) + ", " + ended.output);
    }
    return out;
}

/// Per event, of the code that publishes it and of the turns that show it to three consumers; not
/// of a worker that looks for work. What callgrind counts inside these functions.
measured run_instructions(const std::string& valgrind, std::uint64_t events) {
    const child_result ended =
        run_child(valgrind, {"--tool=callgrind", "--callgrind-out-file=/dev/null",
                             "--toggle-collect=ropeway::bench::publish_burst(*",
                             "--toggle-collect=ropeway::detail::engine::serve_together(*",
                             "--toggle-collect=ropeway::detail::engine::serve(*",
                             path_of("ropeway-bench-instructions"), std::to_string(events)});
    measured out;
    const std::string before = "Collected : ";
    const std::size_t at = ended.output.find(before);
    std::istringstream said{at == std::string::npos ? "" : ended.output.substr(at + before.size())};
    std::uint64_t instructions = 0;
    if (ended.exit_code != 0 || !(said >> instructions) || instructions == 0) {
        out.faults.push_back("ropeway-bench-instructions under valgrind: exit " +
                             std::to_string(ended.exit_code) + ", " + ended.output);
    }
    out.value = static_cast<double>(instructions) / static_cast<double>(events);
    return out;
}

constexpr row_defaults efficiency_rows{.suite = "efficiency", .conditions = "; guard, threads"};
constexpr row_defaults steady_rows{.suite = "efficiency",
                                   .conditions = "1M ev/s after warm-up; guard, profile latency"};
constexpr row_defaults counted_rows{.suite = "efficiency",
                                    .conditions = "duplicates, block, by callgrind; guard, arena"};

void add(row& to, const measured& one) {
    to.values.push_back(one.value);
    to.faults.insert(to.faults.end(), one.faults.begin(), one.faults.end());
}

}  // namespace

std::vector<row> run_efficiency(const plan& how) {
    std::vector<row> rows;
    row sleeping = efficiency_rows.with({.id = "efficiency.sleep.10",
                                         .what = "ten handlers that sleep 10 ms",
                                         .consumers = 10,
                                         .metric = "parallel efficiency",
                                         .reach = 0.9});
    measure(sleeping, how, [&] { return run_sleeping(20 / std::min(how.divisor, 4U)); });
    rows.push_back(std::move(sleeping));
    if (only_our_code) {
        return rows;  // a sanitizer makes calls of its own
    }
    row allocated = steady_rows.with({.id = "steady.allocations",
                                      .consumers = 1,
                                      .metric = "allocations per event",
                                      .direction = better::lower,
                                      .reach = 0,
                                      .absolute = true});
    row called = steady_rows.with({.id = "steady.syscalls",
                                   .consumers = 1,
                                   .metric = "system calls per event",
                                   .direction = better::lower,
                                   .reach = 0,
                                   .absolute = true});
    for (unsigned round = 0; round < how.rounds; ++round) {
        show_progress(allocated.id, round, how.rounds);
        const counts now = run_steady(200'000 / how.divisor);
        add(allocated, now.allocations);
        add(called, now.system_calls);
    }
    rows.push_back(std::move(allocated));
    rows.push_back(std::move(called));
    row counted = counted_rows.with({.id = "steady.instructions.3",
                                     .consumers = 3,
                                     .metric = "instructions per event",
                                     .direction = better::lower});
    if (const std::string valgrind = find_in_path("valgrind"); valgrind.empty()) {
        counted.skipped = "valgrind is not installed";
    } else {
        measure(counted, {.rounds = std::min(how.rounds, 3U)},
                [&] { return run_instructions(valgrind, 102'400 / how.divisor); });
    }
    rows.push_back(std::move(counted));
    return rows;
}

}  // namespace ropeway::bench
