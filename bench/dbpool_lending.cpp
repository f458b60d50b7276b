// SPDX-License-Identifier: Apache-2.0
//
// The connection pool alone, over a resource that costs nothing: eight of them, and threads that
// acquire one, count in its memory and give it back.
//
//   thread 1 ──acquire──► ┌───────────┐
//            ◄──return─── │  8 slots  │     against a mutex and a condition variable around a stack
//   thread 2 ──acquire──► └───────────┘
//
// The counts in the resources must add up to the cycles, as must the pool's own counters.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/tick_clock.hpp>
#include <ropeway/runtime/resource_pools.hpp>

#include "child.hpp"
#include "dbpool.hpp"
#include "measured.hpp"
#include "mutex_pool.hpp"
#include "stopwatch.hpp"
#include "trivial_resource.hpp"

namespace ropeway::bench {
namespace {

constexpr std::uint32_t slots = 8;
constexpr std::chrono::seconds patient{10};

/// The cycles of each thread begin together.
class gate {
  public:
    explicit gate(unsigned threads) noexcept : missing_(threads) {}
    void pass() noexcept {
        missing_.fetch_sub(1, std::memory_order_acq_rel);
        patience waiting;
        while (missing_.load(std::memory_order_acquire) != 0) {
            waiting.wait();
        }
    }

  private:
    std::atomic<unsigned> missing_;
};

/// What one thread saw.
struct alignas(cache_block) seen {
    double seconds = 0;
    std::uint64_t refused = 0;
    histogram acquire{};
};

struct cycles {
    unsigned threads = 1;
    std::uint64_t each = 0;
    bool timed = false;  ///< times each acquire, which costs two looks at the clock
};

/// `acquire()` gives something that lends a trivial_resource by ->, as long as it lives.
template <class Acquire>
void turn(const cycles& how, gate& start, seen& mine, const Acquire& acquire) {
    start.pass();
    const stopwatch since;
    for (std::uint64_t i = 0; i < how.each; ++i) {
        const std::uint64_t before = how.timed ? tick_clock::now() : 0;
        auto held = acquire();
        if (how.timed) {
            mine.acquire.record(tick_clock::to_ns(tick_clock::now() - before));
        }
        if (!held) {
            ++mine.refused;
            continue;
        }
        ++held->uses;
    }
    mine.seconds = since.seconds();
}

/// @return mean ns of a cycle, or with `timed` the p99.9 of acquire.
template <class Acquire>
measured run_cycles(const cycles& how, histogram* into, const Acquire& acquire) {
    std::vector<seen> all(how.threads);
    gate start{how.threads};
    {
        std::vector<std::jthread> others;
        for (unsigned t = 1; t < how.threads; ++t) {
            others.emplace_back([&, t] { turn(how, start, all[t], acquire); });
        }
        turn(how, start, all[0], acquire);
    }
    measured out;
    histogram together;
    for (const seen& one : all) {
        out.value += one.seconds * 1e9 / static_cast<double>(how.each * how.threads);
        expect(one.refused, 0, "acquires refused", out.faults);
        together.merge(one.acquire);
    }
    if (how.timed) {
        out.value = static_cast<double>(together.percentile(0.999));
    }
    if (into != nullptr) {
        into->merge(together);
    }
    return out;
}

measured run_ours(const cycles& how, histogram* into) {
    const auto pool = pool_of(slots, slots);
    if (const auto failed = pool->start()) {
        return {0, {failed->text()}};
    }
    measured out = run_cycles(how, into, [&pool] { return pool->acquire(patient); });
    const std::uint64_t must = how.each * how.threads;
    const resource_snapshot after = pool->snapshot();
    expect(after.acquired, must, "counter acquired", out.faults);
    expect(after.released, must, "counter released", out.faults);
    expect(pool->times().hold.count(), must, "counted holds", out.faults);
    std::uint64_t uses = 0;
    std::vector<lease<trivial_resource>> held;
    for (std::uint32_t i = 0; i < slots; ++i) {
        acquired<trivial_resource> got = pool->acquire(patient);
        if (!got) {
            out.faults.push_back(got.error().text());
            return out;
        }
        uses += got->uses;
        held.push_back(got.take());
    }
    expect(uses, must, "uses of the resources", out.faults);
    return out;
}

measured run_mutex(const cycles& how) {
    mutex_pool<trivial_resource> pool{slots};
    // As in a program with a pool: not alone in its process, so that no lock is left out.
    std::atomic<bool> over{false};
    const std::jthread other{[&over] { over.wait(false, std::memory_order_acquire); }};
    measured out = run_cycles(how, nullptr, [&pool] { return pool.acquire(patient); });
    over.store(true, std::memory_order_release);
    over.notify_one();
    std::uint64_t uses = 0;
    for (const auto& one : pool.all()) {
        uses += one->uses;
    }
    expect(uses, how.each * how.threads, "uses of the reference's resources", out.faults);
    return out;
}

// --- what the pool says of itself ----------------------------------------------------------------

/// Medians of single calls while another thread acquires and returns. Health is what runtime's
/// health() calls: of a program's pools, here one.
struct told {
    double snapshot_ns = 0;
    double health_ns = 0;
    double health_per_second = 0;
    std::vector<std::string> faults{};
};

template <class Call>
double median_ns(std::size_t calls, histogram& into, const Call& call) {
    std::vector<std::uint64_t> ticks(calls);
    for (std::uint64_t& one : ticks) {
        const std::uint64_t before = tick_clock::now();
        call();
        one = tick_clock::now() - before;
    }
    for (const std::uint64_t one : ticks) {
        into.record(tick_clock::to_ns(one));
    }
    return static_cast<double>(tick_clock::to_ns(median_of(ticks)));
}

told run_told(std::size_t calls, histogram& snapshots, histogram& healths) {
    told out;
    logger log;
    resource_pools pools{log};
    trivial_pool* const pool = &pools.add<trivial_resource>(
        "bench", [] { return std::make_unique<trivial_resource>(); }, params_of(20, slots));
    try {
        pools.start();
    } catch (const pool_start_error& failed) {
        out.faults.emplace_back(failed.what());
        return out;
    }
    std::uint64_t refused = 0;
    std::uint64_t inconsistent = 0;
    std::uint64_t unhealthy = 0;
    {
        const std::jthread load{[&](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                const acquired<trivial_resource> got = pool->acquire(patient);
                refused += got ? 0U : 1U;
            }
        }};
        out.snapshot_ns = median_ns(calls, snapshots, [&] {
            const resource_snapshot now = pool->snapshot();
            inconsistent += now.total == now.idle + now.active && now.total == slots &&
                                    now.acquired >= now.released && now.active <= now.peak_active
                                ? 0U
                                : 1U;
        });
        const stopwatch since;
        out.health_ns = median_ns(calls, healths, [&] {
            const runtime_health now = pools.health();
            unhealthy += now.status == health_status::healthy && now.pools.size() == 1 ? 0U : 1U;
        });
        out.health_per_second = static_cast<double>(calls) / since.seconds();
    }
    expect(refused, 0, "acquires refused beside the snapshots", out.faults);
    expect(inconsistent, 0, "snapshots that contradict themselves", out.faults);
    expect(unhealthy, 0, "healths that were not healthy", out.faults);
    return out;
}

/// Resident memory, measured in a process of its own each time.
double bytes_of(const std::string& what, unsigned size, std::vector<std::string>& faults) {
    const child_result ended = run_child("ropeway-bench-slot-bytes", {what, std::to_string(size)});
    std::istringstream said{ended.output};
    double bytes = 0;
    if (ended.exit_code != 0 || !(said >> bytes)) {
        faults.push_back("ropeway-bench-slot-bytes: exit " + std::to_string(ended.exit_code) +
                         ", " + ended.output);
    }
    return bytes;
}

/// How much more ten pools of 1000 take than ten of 100, per slot, less the resources themselves.
measured run_slot_bytes() {
    constexpr unsigned few = 100;
    constexpr unsigned many = 1000;
    measured out;
    const auto per_slot = [&out](const std::string& what) {
        return (bytes_of(what, many, out.faults) - bytes_of(what, few, out.faults)) /
               (10 * (many - few));
    };
    const double own = per_slot("resources") - sizeof(void*);  // less the pointer to each
    out.value = per_slot("pools") - own;
    if (out.value <= 0) {
        out.faults.emplace_back("more open resources took no more memory: nothing was measured");
    }
    return out;
}

// --- rows ----------------------------------------------------------------------------------------

constexpr row_defaults lending_rows{
    .suite = "dbpool", .metric = "acquire and return", .unit = "ns", .direction = better::lower};
constexpr const char* what_both_do =
    "8 slots, free resource; ours checks the resource, counts, times waits and holds (of short "
    "ones "
    "one in 32), notes site, thread and stack of each lease; the reference only lends, on ";

void add_cycles(std::vector<row>& rows, const plan& how) {
    const std::uint64_t each = 4'000'000 / how.divisor;
    struct width {
        unsigned threads;
        double reach;
    };
    for (const width& now : {width{1, 1.0}, width{2, 0.7}}) {
        const std::string threads = std::to_string(now.threads);
        row made = lending_rows.with(
            {.id = "dbpool.cycle." + threads + ".mutex",
             .what = what_both_do + threads + (now.threads == 1 ? " thread" : " threads"),
             .reference = "mutex, condition variable and stack",
             .reach = now.reach});
        const cycles asked{now.threads, each / now.threads, false};
        measure(
            made, how, [&] { return run_ours(asked, nullptr); }, [&] { return run_mutex(asked); });
        rows.push_back(std::move(made));
    }
    row made = lending_rows.with({.id = "dbpool.cycle.2.p999",
                                  .what = std::string{what_both_do} + "2 threads",
                                  .metric = "p99.9 of acquire",
                                  .unit = "ns",
                                  .reference = "mutex, condition variable and stack",
                                  .direction = better::lower,
                                  .reach = 0.1});
    const cycles asked{2, each / 2, true};
    measure(
        made, how, [&] { return run_ours(asked, &made.times); }, [&] { return run_mutex(asked); });
    rows.push_back(std::move(made));
}

void add_told(std::vector<row>& rows, const plan& how) {
    constexpr const char* beside = "20 slots, 8 open, beside a thread that acquires and returns";
    row snapshot = lending_rows.with({.id = "dbpool.snapshot_ns",
                                      .what = beside,
                                      .metric = "one snapshot, median",
                                      .unit = "ns",
                                      .direction = better::lower,
                                      .reach = 1000,
                                      .absolute = true});
    row health = lending_rows.with({.id = "dbpool.health_ns",
                                    .what = std::string{beside} + "; health() of a runtime's pools",
                                    .metric = "one health(), median",
                                    .unit = "ns",
                                    .direction = better::lower,
                                    .reach = 5000,
                                    .absolute = true});
    row rate = lending_rows.with({.id = "dbpool.health_per_s",
                                  .what = health.what,
                                  .metric = "health() per second of one thread",
                                  .unit = "/s",
                                  .reach = 1000,
                                  .absolute = true});
    for (unsigned round = 0; round < how.rounds; ++round) {
        show_progress(snapshot.id, round, how.rounds);
        const told now = run_told(20'000 / std::min(how.divisor, 4U), snapshot.times, health.times);
        snapshot.values.push_back(now.snapshot_ns);
        health.values.push_back(now.health_ns);
        rate.values.push_back(now.health_per_second);
        snapshot.faults.insert(snapshot.faults.end(), now.faults.begin(), now.faults.end());
    }
    rows.push_back(std::move(snapshot));
    rows.push_back(std::move(health));
    rows.push_back(std::move(rate));
}

}  // namespace

void add_lending_rows(std::vector<row>& rows, const plan& how) {
    add_cycles(rows, how);
    add_told(rows, how);
    row bytes =
        lending_rows.with({.id = "dbpool.slot_bytes",
                           .what = "ten pools of 1000 and of 100 open resources, by resident "
                                   "memory, without the resources",
                           .metric = "bytes per slot",
                           .unit = "B",
                           .direction = better::lower,
                           .reach = 256,
                           .absolute = true});
    if (only_our_code) {
        bytes.skipped = "a sanitizer's allocator takes memory of its own";
    } else {
        measure(bytes, {.rounds = 3}, &run_slot_bytes);
    }
    rows.push_back(std::move(bytes));
}

std::vector<row> run_dbpool(const plan& how) {
    std::vector<row> rows;
    add_lending_rows(rows, how);
    add_server_rows(rows, how);
    return rows;
}

}  // namespace ropeway::bench
