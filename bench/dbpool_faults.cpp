// SPDX-License-Identifier: Apache-2.0
//
// The connection pool while its server misbehaves: sessions killed at random, servers that do not
// answer, and a server that goes and comes back. Each run counts what it did to the server, and
// what the pool noticed: a fault that was not met proves nothing.
#include "dbpool_faults.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "database.hpp"
#include "database_rows.hpp"
#include "fault_proxy.hpp"
#include "jitter.hpp"
#include "measured.hpp"
#include "plain_libpq.hpp"

namespace ropeway::bench {
namespace {

using ropeway_test::fault_proxy;
using ropeway_test::postgres_server;
using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr std::chrono::seconds patient{10};

double ms_since(clock::time_point then) {
    return std::chrono::duration<double, std::milli>(clock::now() - then).count();
}

std::uint64_t closed_for(const database_pool& pool, close_reason why) {
    return pool.snapshot().closed[static_cast<std::size_t>(why)];
}

// --- dead connections ----------------------------------------------------------------------------

/// One of the pool's connections, seen from beside the pool.
struct watched {
    int process = 0;
    int socket = -1;  ///< a duplicate of ours: it tells when the end has arrived
};

/// Waits until the other end's end is at our socket.
bool end_arrived(int socket) {
    pollfd one{socket, POLLRDHUP, 0};
    return ::poll(&one, 1, 5000) == 1 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/// Acquires all connections at once and uses each; @return how many were dead.
std::uint64_t use_all(database_pool& pool, std::vector<watched>& all,
                      std::vector<std::string>& faults) {
    std::uint64_t dead = 0;
    std::vector<lease<database_connection>> held;
    for (watched& one : all) {
        acquired<database_connection> got = pool.acquire(patient);
        if (!got) {
            faults.push_back(got.error().text());
            return dead;
        }
        dead += run_on(*got, "SELECT 1", patient) ? 1U : 0U;
        one.process = got->backend_pid();
        ::close(std::exchange(one.socket, ::fcntl(got->idle_fd(), F_DUPFD_CLOEXEC, 0)));
        held.push_back(got.take());
    }
    return dead;
}

measured run_kills(const postgres_server& server, std::uint64_t kills) {
    constexpr std::uint32_t width = 4;
    measured out;
    const auto pool = database_pool_of(server.url_unix(),
                                       {.name = "kills", .min_size = width, .max_size = width});
    if (const auto failed = pool->start()) {
        return {0, {failed->text()}};
    }
    std::vector<watched> all(width);
    std::minstd_rand random{20261121};
    std::uint64_t dead = use_all(*pool, all, out.faults);
    for (std::uint64_t i = 0; i < kills && out.faults.empty(); ++i) {
        const watched& victim = all[random() % width];
        server.signal_backend(victim.process, SIGTERM);  // as pg_terminate_backend does
        if (!end_arrived(victim.socket)) {
            out.faults.emplace_back("a terminated session did not end within 5 s");
            break;
        }
        dead += use_all(*pool, all, out.faults);
    }
    for (const watched& one : all) {
        ::close(one.socket);
    }
    out.value = static_cast<double>(dead);
    const std::uint64_t noticed = closed_for(*pool, close_reason::failed_check) +
                                  closed_for(*pool, close_reason::failed_probe) +
                                  closed_for(*pool, close_reason::broken);
    expect(noticed, kills, "terminated sessions that the pool noticed", out.faults);
    return out;
}

// --- deadlines -----------------------------------------------------------------------------------

constexpr milliseconds deadline{20};

/// How far beyond its deadline each call ended, in ms.
struct overruns {
    std::vector<double> beyond{};
    std::vector<std::string> faults{};

    template <class Call>
    void take(const char* what, const Call& call) {
        const clock::time_point begin = clock::now();
        const bool ended_in_error = call();
        const double late = ms_since(begin) - static_cast<double>(deadline.count());
        beyond.push_back(std::max(late, 0.0));
        // One that fails at once, or succeeds, did not meet the silence it was to meet.
        if (!ended_in_error || late < -2.0) {
            faults.push_back(std::string{what} + (ended_in_error ? ": ended early" : ": answered"));
        }
    }
};

resource_pool_params probing(const char* name) {
    return {.name = name,
            .min_size = 0,
            .max_size = 1,
            .probe_timeout = milliseconds{1000},
            .validate = validation::always,
            .quarantine = {.failures = 0}};
}

bool query_fails(lease<database_connection>& on) {
    return static_cast<bool>(run_on(*on, "SELECT 1", deadline));
}

void with_stopped_backend(const postgres_server& server, std::size_t samples, overruns& out) {
    const auto pool = database_pool_of(server.url_unix(), probing("stopped"));
    if (const auto failed = pool->start()) {
        out.faults.push_back(failed->text());
        return;
    }
    for (std::size_t i = 0; i < samples && out.faults.empty(); ++i) {
        acquired<database_connection> held = pool->acquire(patient);
        if (!held) {
            out.faults.push_back(held.error().text());
            return;
        }
        const int process = held->backend_pid();
        lease<database_connection> mine = held.take();
        if (i % 2 == 0) {
            server.signal_backend(process, SIGSTOP);
            out.take("query, stopped backend", [&] { return query_fails(mine); });
            mine.reset();
        } else {
            mine.reset();
            server.signal_backend(process, SIGSTOP);
            out.take("acquire, stopped backend", [&] { return !pool->acquire(deadline); });
        }
        server.signal_backend(process, SIGCONT);
    }
}

void with_black_hole(const postgres_server& server, std::size_t samples, overruns& out) {
    fault_proxy proxy{server.port()};
    const auto pool = database_pool_of(server.url_tcp(proxy.port()), probing("black hole"));
    if (const auto failed = pool->start()) {
        out.faults.push_back(failed->text());
        return;
    }
    for (std::size_t i = 0; i < samples && out.faults.empty(); ++i) {
        acquired<database_connection> held = pool->acquire(patient);
        if (!held) {
            out.faults.push_back(held.error().text());
            return;
        }
        lease<database_connection> mine = held.take();
        switch (i % 3) {
            case 0:
                proxy.set({.black_hole = true});
                out.take("query, black hole", [&] { return query_fails(mine); });
                break;
            case 1:
                mine.reset();
                proxy.set({.black_hole = true});
                out.take("acquire, black hole", [&] { return !pool->acquire(deadline); });
                break;
            default:
                mine.doom();
                mine.reset();
                proxy.set({.black_hole = true});
                out.take("connect, black hole", [&] { return !pool->acquire(deadline); });
        }
        mine.reset();
        // What was swallowed does not come back: the pool is to see the end, not its own timeout.
        proxy.heal();
        proxy.cut(ropeway_test::cut_kind::rst);
    }
}

// --- recovery ------------------------------------------------------------------------------------

/// When the server there first takes sessions again.
clock::time_point when_back(const std::string& url) {
    const clock::time_point give_up = clock::now() + std::chrono::seconds{20};
    while (!accepts_sessions(url) && clock::now() < give_up) {
        std::this_thread::sleep_for(milliseconds{1});
    }
    return clock::now();
}

measured run_recovery(postgres_server& server) {
    measured out;
    const std::string url = server.url_tcp();
    const auto pool = database_pool_of(url, {.name = "recovery", .min_size = 2, .max_size = 4});
    if (const auto failed = pool->start()) {
        return {0, {failed->text()}};
    }
    server.stop(ropeway_test::stop_mode::immediate);
    clock::time_point served{};
    clock::time_point back{};
    std::string failure;
    {
        const std::jthread caller{[&] {
            acquired<database_connection> got = pool->acquire(std::chrono::seconds{30});
            served = clock::now();
            if (!got) {
                failure = got.error().text();
            } else if (run_on(*got, "SELECT 1", patient)) {
                failure = "the connection after the restart was dead";
            }
        }};
        const std::jthread watcher{[&] { back = when_back(url); }};
        // Down for a while, so that the quick tries are over and the schedule counts.
        std::this_thread::sleep_for(milliseconds{400});
        server.start();
    }
    if (!failure.empty()) {
        out.faults.push_back(std::move(failure));
    }
    out.value = std::max(0.0, std::chrono::duration<double, std::milli>(served - back).count());
    return out;
}

}  // namespace

void add_dead_handed_out(std::vector<row>& rows, const plan& how, const postgres_server& server) {
    row made = database_row("dbpool.dead_handed_out");
    measure(made, {.rounds = 1}, [&] { return run_kills(server, 1000 / how.divisor); });
    rows.push_back(std::move(made));
}

void add_deadline_overrun(std::vector<row>& rows, const plan& how, const postgres_server& server) {
    row made = database_row("dbpool.deadline_overrun_ms");
    measure(made, {.rounds = 1}, [&] {
        const std::size_t samples = 200 / std::min(how.divisor, 4U);
        overruns all;
        jitter_watch host;
        with_stopped_backend(server, samples / 2, all);
        with_black_hole(server, samples / 2, all);
        const double jitter_ms = host.p99_ms();
        std::sort(all.beyond.begin(), all.beyond.end());
        const double p99 =
            all.beyond.empty() ? 0 : all.beyond[(all.beyond.size() * 99 + 99) / 100 - 1];
        for (const double late : all.beyond) {
            made.times.record(static_cast<std::uint64_t>(late * 1e6));
        }
        made.what += "; here " + std::to_string(jitter_ms) + " ms";
        return measured{std::max(0.0, p99 - jitter_ms), std::move(all.faults)};
    });
    rows.push_back(std::move(made));
}

void add_recovery(std::vector<row>& rows, const plan& how, postgres_server& server) {
    row made = database_row("dbpool.recovery_ms");
    measure(made, {.rounds = std::max(3U, 20 / how.divisor)}, [&] { return run_recovery(server); });
    rows.push_back(std::move(made));
}

}  // namespace ropeway::bench
