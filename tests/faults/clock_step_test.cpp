// SPDX-License-Identifier: Apache-2.0
//
// Injection 14: the wall clock is stepped. No right to set a clock is needed: this program's own
// clock_gettime() stands before the C library's and steps the realtime clock; the monotonic one,
// which an administrator cannot step either, passes through.
#include "fault_test.hpp"

#include <cerrno>
#include <ctime>

#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

using namespace ropeway_test;

namespace {

// Seconds that the wall clock is off by. Relaxed: nothing else is published with it.
std::atomic<std::int64_t> step_seconds{0};
std::atomic<std::int64_t> asked{0};

int wall_clock(timespec* to, clockid_t clock) {
    const auto failed = ::syscall(SYS_clock_gettime, clock, to);
    const bool wall =
        clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    if (failed == 0 && wall) {
        asked.fetch_add(1, std::memory_order_relaxed);
        to->tv_sec += step_seconds.load(std::memory_order_relaxed);
    }
    return static_cast<int>(failed);
}

// The deadline of what is under way while the clock is stepped: long enough to see it begin.
constexpr auto limit = 300ms;

/// Makes `call` on a thread of its own and steps the clock once `waits` has seen it wait; checks
/// that it came true, neither before its deadline nor late.
template <class Call, class Waits>
void stepped_during(std::int64_t step, Call call, Waits waits) {
    bool came_true = false;
    std::chrono::nanoseconds lasted{};
    std::chrono::nanoseconds late{};
    std::thread caller{[&] {
        late = overrun(limit, [&] {
            const auto begun = steady::now();
            came_true = call();
            lasted = steady::now() - begun;
        });
    }};
    const bool seen = waits();
    // Relaxed: as where it is read.
    step_seconds.fetch_add(step, std::memory_order_relaxed);
    caller.join();
    CHECK(seen);
    CHECK(came_true);
    CHECK(lasted >= limit);
    CHECK(late <= allowed_overrun);
}

}  // namespace

extern "C" {
int clock_gettime(clockid_t clock, timespec* to) noexcept { return wall_clock(to, clock); }
int gettimeofday(timeval* to, void*) noexcept {
    timespec now{};
    const int failed = wall_clock(&now, CLOCK_REALTIME);
    *to = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return failed;
}
time_t time(time_t* to) noexcept {
    timespec now{};
    wall_clock(&now, CLOCK_REALTIME);
    if (to != nullptr) {
        *to = now.tv_sec;
    }
    return now.tv_sec;
}
}

TEST_CASE("the wall clock that this program's libraries see can be stepped") {
    const auto before = std::chrono::system_clock::now();
    step_seconds.store(3600, std::memory_order_relaxed);
    CHECK(std::chrono::system_clock::now() - before >= 3600s);
    step_seconds.store(0, std::memory_order_relaxed);
    CHECK(std::chrono::system_clock::now() - before < 3600s);
    CHECK(asked.load(std::memory_order_relaxed) >= 3);
}

TEST_CASE("a step of the wall clock moves no deadline, no wait, no age and no retry") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp(), .min_size = 1, .max_size = 1}};
    ride.start();
    for (const std::int64_t step : {86'400, -86'400, 7, -7}) {
        INFO("a step of " << step << " s");
        // While a lease is held past a waiter's deadline ...
        auto held = ride->acquire(1s);
        REQUIRE(held);
        stepped_during(
            step, [&] { return !ride->acquire(limit); },
            [&] { return wait_until([&] { return ride->snapshot().waiting == 1; }); });
        // ... while a statement runs to its deadline ...
        const int backend = held->backend_pid();
        stepped_during(
            step,
            [&] {
                return held->exec("select pg_sleep(5)", limit).error().kind ==
                       resource_error_kind::timeout;
            },
            [&] { return server.wait_runs(backend, "SELECT"); });
        held.held().reset();
        // ... and while connections are made anew.
        CHECK(answers(ride.pool(), 10s));
        const auto now = ride->snapshot();
        CHECK(now.age < 1min);
        CHECK(now.longest_wait_60s < 10s);
        CHECK(now.leaks == 0);
        CHECK(now.closed[static_cast<std::size_t>(close_reason::age)] == 0);
        CHECK(now.closed[static_cast<std::size_t>(close_reason::idle)] == 0);
    }
    step_seconds.store(0, std::memory_order_relaxed);
    CHECK(ride.wait_idle(1));
    ride.end_without_leak(server);
}
