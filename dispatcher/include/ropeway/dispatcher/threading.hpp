// SPDX-License-Identifier: Apache-2.0
//
// What the dispatcher takes from language and system to run on threads: atomics, locks, clocks,
// waits. One seam, with a second form behind it: in a simulation (see simulation.hpp) each of these
// is a point where the scheduler may turn to another simulated thread, and time is virtual.
#pragma once

#include <cstdint>

#include <ropeway/pool/thread_number.hpp>

#if defined(ROPEWAY_SIMULATION)
#include <ropeway/dispatcher/simulated_threading.hpp>
#else
#include <atomic>
#include <chrono>
#include <mutex>
#include <semaphore>
#include <thread>
#endif

namespace ropeway::detail {

/// Bugs that a simulation can plant into the code under test, to show that it would find them: a
/// protocol step each.
enum class planted_bug : std::uint8_t {
    none,
    no_last_look,         ///< a worker leaves without looking once more
    wake_before_tail,     ///< a publish looks for sleepers before its tail is out
    no_pin,               ///< a worker copies from a range that it has not pinned
    claim_by_store,       ///< a worker takes a contended range without asking whether it moved
    pins_overlooked,      ///< the publisher writes into a place that is pinned
    limbo_overlooked,     ///< a slot comes out of limbo while it is pinned
    join_without_look,    ///< a subscription starts where the tail was before it was seen
    old_version,          ///< a handler is held to the version before the one acknowledged
    cell_before_bit,      ///< a worker empties a conflation cell before it clears its bit
    kept_after_ring,      ///< what a rescue kept goes after what is still in the ring
    backlog_drops,        ///< a critical event that finds the backlog full is passed over
    leftovers_forgotten,  ///< who lets go of a subscription says nothing of its inbox
    early_drained,        ///< a drain ends while events wait in an inbox
    newest_decides,       ///< a drain drops an old event that was folded into one behind its cut
    stale_place,          ///< a worker shows events from where a cursor stood before it took it
};

#if defined(ROPEWAY_SIMULATION)

inline constexpr bool is_simulated = true;
struct build_of_simulation {};
using build_tag = build_of_simulation;

template <class T>
using atomic = simulated::atomic<T>;
using simulated::binary_semaphore;
using simulated::mutex;
using simulated::planted;
using simulated::scheduling_point;
using simulated::steady_clock;
using simulated::thread;
using simulated::tick_clock;

/// Of the calling thread, never 0.
[[nodiscard]] inline std::uint32_t caller() noexcept { return simulated::number() + 1; }
[[nodiscard]] inline bool is_this(const thread& one) noexcept { return one.is_this_thread(); }
inline void sleep_for(std::chrono::nanoseconds time) noexcept { simulated::pass(time); }
inline void sleep_until(std::chrono::steady_clock::time_point when) noexcept {
    simulated::pass(when - steady_clock::now());
}
inline void give_up_turn() noexcept { simulated::pass(std::chrono::microseconds{1}); }
/// About 50 ns each.
inline void relax(int times) noexcept { simulated::pass(std::chrono::nanoseconds{50 * times}); }

#else

inline constexpr bool is_simulated = false;
/// In the signature of the engine's constructor: code compiled for one form does not link with the
/// other.
struct build_for_threads {};
using build_tag = build_for_threads;

template <class T>
using atomic = std::atomic<T>;
using std::binary_semaphore;
using std::mutex;
using std::thread;
using std::chrono::steady_clock;

inline void scheduling_point() noexcept {}
[[nodiscard]] constexpr bool planted(planted_bug /*which*/) noexcept { return false; }

/// Of the calling thread, never 0.
[[nodiscard]] inline std::uint32_t caller() noexcept { return std::uint32_t{thread_number()} + 1; }
[[nodiscard]] inline bool is_this(const thread& one) noexcept {
    return std::this_thread::get_id() == one.get_id();
}
inline void sleep_for(std::chrono::nanoseconds time) { std::this_thread::sleep_for(time); }
inline void sleep_until(steady_clock::time_point when) { std::this_thread::sleep_until(when); }
inline void give_up_turn() noexcept { std::this_thread::yield(); }
/// About 50 ns each.
inline void relax(int times) noexcept {
    for (int i = 0; i < times; ++i) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#else
        std::this_thread::yield();
#endif
    }
}

#endif

}  // namespace ropeway::detail
