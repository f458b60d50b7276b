// SPDX-License-Identifier: Apache-2.0
//
// The connection pool beside a real server of the bench's own: what a validation costs, how fast
// the minimum stands, what a caller pays who finds nothing open.
#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/pool/resource_time.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "database.hpp"
#include "database_rows.hpp"
#include "dbpool.hpp"
#include "dbpool_faults.hpp"
#include "measured.hpp"
#include "plain_libpq.hpp"
#include "postgres_server.hpp"
#include "stopwatch.hpp"

namespace ropeway::bench {
namespace {

using ropeway_test::postgres_server;
using std::chrono::milliseconds;
constexpr std::chrono::seconds patient{10};

/// Median of single calls, in us.
template <class Call>
measured median_us(std::size_t calls, const Call& call) {
    measured out;
    std::vector<std::uint64_t> ticks(calls);
    std::uint64_t failed = 0;
    for (std::uint64_t& one : ticks) {
        const std::uint64_t before = tick_clock::now();
        failed += call() ? 0U : 1U;
        one = tick_clock::now() - before;
    }
    out.value = static_cast<double>(tick_clock::to_ns(median_of(ticks))) / 1000;
    expect(failed, 0, "calls that failed", out.faults);
    return out;
}

/// A bare round trip as acquire() makes it, on the caller's thread.
bool probe(database_connection& on) {
    resource_time& time = real_resource_time();
    const resource_clock_point until = time.now() + std::chrono::seconds{1};
    resource_step step = on.begin(resource_task::probe);
    while (step.state != step_state::done) {
        if (step.state == step_state::failed) {
            return false;
        }
        const bool reads = step.state != step_state::wants_write;
        const bool writes = step.state != step_state::wants_read;
        const int events = (reads ? POLLIN : 0) | (writes ? POLLOUT : 0);
        if (time.poll(step.fd, static_cast<short>(events), until) == 0) {
            return false;
        }
        step = on.resume();
    }
    return true;
}

void add_validation(std::vector<row>& rows, const plan& how, const postgres_server& server) {
    const auto pool = database_pool_of(server.url_unix(), {.name = "validate", .min_size = 1});
    if (const auto failed = pool->start()) {
        throw std::runtime_error(failed->text());
    }
    acquired<database_connection> held = pool->acquire(patient);
    if (!held) {
        throw std::runtime_error(held.error().text());
    }
    plain_connection plain{server.url_unix()};
    const std::size_t calls = 10'000 / how.divisor;
    const auto select = [&] { return median_us(calls, [&] { return plain.run("SELECT 1"); }); };
    row passive = database_row("dbpool.validate.passive");
    const auto look = [&] {
        // Several for one look at the clock, which costs a tenth of a check.
        constexpr unsigned at_once = 20;
        measured out = median_us(calls / 4, [&] {
            bool usable = true;
            for (unsigned i = 0; i < at_once; ++i) {
                usable = held->check() == resource_health::usable && usable;
            }
            return usable;
        });
        out.value /= at_once;
        return out;
    };
    measure(passive, how, look, select);
    row active = database_row("dbpool.validate.active");
    measure(
        active, how, [&] { return median_us(calls, [&] { return probe(*held); }); }, select);
    rows.push_back(std::move(passive));
    rows.push_back(std::move(active));
}

/// Median of some runs, in ms.
template <class Run>
measured median_ms(unsigned runs, const Run& run) {
    measured out;
    std::vector<double> all;
    for (unsigned i = 0; i < runs; ++i) {
        const measured one = run();
        all.push_back(one.value);
        out.faults.insert(out.faults.end(), one.faults.begin(), one.faults.end());
    }
    out.value = spread_of(std::move(all)).median;
    return out;
}

void add_start(std::vector<row>& rows, const plan& how, const postgres_server& server) {
    const std::string url = server.url_tcp();
    const auto ours = [&url] {
        const stopwatch since;
        const auto pool = database_pool_of(url, {.name = "start", .min_size = 2});
        const auto failed = pool->start();
        measured out{since.seconds() * 1000, {}};
        if (failed) {
            out.faults.push_back(failed->text());
        }
        expect(pool->snapshot().idle, 2, "open connections after start", out.faults);
        return out;
    };
    const auto serial = [&url] {
        const stopwatch since;
        const plain_connection first{url};
        const plain_connection second{url};
        return measured{since.seconds() * 1000, {}};
    };
    row made = database_row("dbpool.start_ms");
    measure(
        made, how, [&] { return median_ms(5, ours); }, [&] { return median_ms(5, serial); });
    rows.push_back(std::move(made));
}

void add_miss(std::vector<row>& rows, const plan& how, const postgres_server& server) {
    const std::uint64_t misses = 400 / std::min(how.divisor, 8U);
    row made = database_row("dbpool.miss_p99_ms");
    measure(made, {.rounds = 1}, [&] {
        measured out;
        const auto pool = database_pool_of(
            server.url_tcp(), {.name = "miss", .min_size = 0, .max_size = 4, .max_uses = 1});
        if (const auto failed = pool->start()) {
            return measured{0, {failed->text()}};
        }
        histogram times;
        for (std::uint64_t i = 0; i < misses; ++i) {
            const std::uint64_t before = tick_clock::now();
            acquired<database_connection> held = pool->acquire(patient);
            times.record(tick_clock::to_ns(tick_clock::now() - before));
            if (!held || run_on(*held, "SELECT 1", patient)) {
                out.faults.push_back(held ? "a query failed" : held.error().text());
                return out;
            }
        }
        expect(pool->snapshot().opened, misses, "connections opened", out.faults);
        out.value = static_cast<double>(times.percentile(0.99)) / 1e6;
        made.times = times;
        return out;
    });
    rows.push_back(std::move(made));
}

}  // namespace

void add_server_rows(std::vector<row>& rows, const plan& how) {
    std::string why = postgres_server::why_unavailable();
    if (why.empty() && only_our_code) {
        why = "under a sanitizer times mean nothing, and the fault suite runs the same";
    }
    if (!why.empty()) {
        std::vector<row> none = unmeasured("dbpool", why);
        std::move(none.begin(), none.end(), std::back_inserter(rows));
        return;
    }
    postgres_server server{{.settings = {{"fsync", "off"}}}};
    add_validation(rows, how, server);
    add_start(rows, how, server);
    add_miss(rows, how, server);
    add_dead_handed_out(rows, how, server);
    add_deadline_overrun(rows, how, server);
    add_recovery(rows, how, server);
}

}  // namespace ropeway::bench
