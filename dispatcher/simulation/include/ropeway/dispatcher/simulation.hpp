// SPDX-License-Identifier: Apache-2.0
//
// Simulation: the dispatcher and its users' handlers on one system thread, under a virtual clock,
// with every choice of the scheduler drawn from a seed. The same seed runs the same way again.
//
//     const auto found = ropeway::simulation::explore({.seeds = 1000}, [] {
//         ropeway::dispatcher<my_event> d;
//         ...                                    // the code under test, handlers included
//         ropeway::simulation::check(got == sent, "every event arrives");
//     });
//     if (!found) { std::cerr << found.text() << '\n'; }
//
// A program links ropeway::simulation in place of ropeway::core, and includes the same headers.
// Inside of a body dispatchers, publishers and executors work as documented; their threads are
// simulated ones, and so are those made here. Between two scheduling points (each access to a word
// that the dispatcher shares, each function of this file that says so) nothing else runs. Code of
// users has such points where it calls point() or pass(); what blocks the system's thread (a lock
// held across a point, a wait for another thread) blocks all of them.
//
// What it does not find: what only a weaker order of memory would show. Those who need that run
// the same code on threads, under ThreadSanitizer.
//
// Thread safety: a simulation belongs to the system thread that runs it; several may run at once,
// on a thread each. Allocation: stacks, kept for the next run. Errors: a failed check, an exception
// that leaves the body, a deadlock (nobody can go on) and a run that does not end are results.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <ropeway/dispatcher/threading.hpp>

namespace ropeway::simulation {

struct params {
    std::uint64_t seed = 1;
    /// Scheduling points after which a run counts as one that never ends.
    std::uint64_t most_points = 100'000'000;
    /// Of each simulated thread; a multiple of 4096.
    std::size_t stack_bytes = std::size_t{256} * 1024;
};

/// How a run, or the last run of an exploration, went.
struct result {
    bool passed = false;
    std::uint64_t seed = 0;
    std::string failure{};                 ///< of a run that did not pass
    std::uint64_t runs = 0;                ///< seeds tried
    std::uint64_t points = 0;              ///< in all of them, as the next
    std::uint64_t switches = 0;            ///< from one simulated thread to another
    std::chrono::nanoseconds virtually{};  ///< time that passed
    std::uint64_t trace = 0;               ///< of the last run: a hash over every switch

    [[nodiscard]] explicit operator bool() const noexcept { return passed; }
    /// One line: what happened, the seed, and how to run it again.
    [[nodiscard]] std::string text() const;
};

/// Runs `body` as the first simulated thread; returns when it and all threads that it left have
/// ended, or when something failed. After a failure the stacks of that run stay as they are: what
/// stood on them is not destroyed. Throws std::logic_error inside of a simulation.
[[nodiscard]] result run(const params& with, const std::function<void()>& body);

struct exploration {
    std::uint64_t first_seed = 1;
    std::uint64_t seeds = 1000;
    std::uint64_t most_points = 100'000'000;
    std::size_t stack_bytes = std::size_t{256} * 1024;
};
/// run() for each seed in turn, until one fails. The environment variable ROPEWAY_SEED, "17" or
/// "1..100000", takes the place of the seeds given. Throws std::invalid_argument for another text.
[[nodiscard]] result explore(const exploration& with, const std::function<void()>& body);

// Inside of a body, on any of its simulated threads.

/// Another thread may run here.
using detail::simulated::scheduling_point;
inline void point() noexcept { scheduling_point(); }
/// The calling thread is busy, or asleep, for so long; others run meanwhile. A scheduling point.
void pass(std::chrono::nanoseconds time) noexcept;
/// Since the run began.
[[nodiscard]] std::chrono::nanoseconds now() noexcept;
/// Passes time until `done()`, which is asked again after each microsecond, or longer the longer it
/// takes; false: `most` has passed before.
[[nodiscard]] bool eventually(const std::function<bool()>& done,
                              std::chrono::nanoseconds most = std::chrono::seconds{1});
/// Drawn from the run's seed: 0 to below - 1.
[[nodiscard]] std::uint64_t random(std::uint64_t below) noexcept;
[[nodiscard]] std::uint64_t seed() noexcept;
/// Ends the run as failed. The first failure counts.
[[noreturn]] void fail(std::string_view what) noexcept;
inline void check(bool holds, std::string_view what) noexcept {
    if (!holds) {
        fail(what);
    }
}
/// A simulated thread; join it before it is destroyed, or move from it. An exception that leaves
/// its function fails the run.
using detail::simulated::thread;

// For tests of the simulation itself.

/// Plants a bug into the dispatcher of the calling system thread; `none` takes it out again.
void plant(detail::planted_bug which) noexcept;

}  // namespace ropeway::simulation
