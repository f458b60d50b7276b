// SPDX-License-Identifier: Apache-2.0
//
// A group of workers as the engine runs it: who counts as awake, how many jobs may run, and what
// each worker is doing. Type-stable: never freed before the engine. Private.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/dispatcher/executor.hpp>
#include <ropeway/dispatcher/params.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/cache_line.hpp>

namespace ropeway::detail {

class engine;

/// {allowed:16, owed:16, running:16}: jobs that may run, that wait for one to end, and that run. An
/// owed job is a worker that counts as awake and has no thread yet.
struct job_word {
    static constexpr std::uint64_t one_running = 1;
    static constexpr std::uint64_t one_owed = std::uint64_t{1} << 16U;
    static constexpr std::uint64_t one_allowed = std::uint64_t{1} << 32U;

    [[nodiscard]] static constexpr unsigned running(std::uint64_t word) noexcept {
        return static_cast<unsigned>(word & 0xFFFFU);
    }
    [[nodiscard]] static constexpr unsigned owed(std::uint64_t word) noexcept {
        return static_cast<unsigned>((word >> 16U) & 0xFFFFU);
    }
    [[nodiscard]] static constexpr unsigned allowed(std::uint64_t word) noexcept {
        return static_cast<unsigned>((word >> 32U) & 0xFFFFU);
    }
};

/// What one worker is doing, for the supervisor. Written by its worker; the supervisor changes only
/// a turn that lasts, by CAS of the whole word.
class alignas(cache_block) worker_seat {
  public:
    enum doing : std::uint64_t {
        nothing = 0,      ///< the seat is free
        looking = 1,      ///< for work
        serving = 2,      ///< a subscription, and counted as awake
        serving_out = 3,  ///< a subscription, and not counted
        written_off = 4,  ///< a subscription, and another worker took its place
    };

    [[nodiscard]] bool take() noexcept {
        std::uint64_t was = word_.load(std::memory_order_relaxed);  // relaxed: the CAS re-checks it
        // Acquire pairs with leave(): the turn goes on from the last one's.
        return what(was) == nothing &&
               word_.compare_exchange_strong(was, of(turn(was), looking), std::memory_order_acquire,
                                             std::memory_order_relaxed);
    }
    void leave() noexcept {
        word_.store(of(turn(word_.load(std::memory_order_relaxed)), nothing),  // relaxed: our own
                    std::memory_order_release);                                // pairs with take()
    }
    void begin(std::uint16_t site, std::uint64_t now, bool counted) noexcept {
        // Relaxed: published by the word.
        site_.store(site, std::memory_order_relaxed);
        since_.store(now, std::memory_order_relaxed);
        const std::uint64_t next = turn(word_.load(std::memory_order_relaxed)) + 1;
        word_.store(of(next, counted ? serving : serving_out),
                    std::memory_order_release);  // pairs with the supervisor's look
    }
    /// The turn lasts, with another subscription.
    void go_on(std::uint16_t site) noexcept {
        site_.store(site, std::memory_order_relaxed);  // relaxed: a name for reports
    }
    /// Ends the turn; what the supervisor left of it.
    [[nodiscard]] doing end() noexcept {
        const std::uint64_t now = turn(word_.load(std::memory_order_relaxed));  // relaxed: our own
        // acq_rel: what the supervisor did when it changed the word is visible, and the reverse.
        return what(word_.exchange(of(now, looking), std::memory_order_acq_rel));
    }

    // The supervisor.
    [[nodiscard]] std::uint64_t word() const noexcept {
        return word_.load(std::memory_order_acquire);  // pairs with begin()
    }
    /// The name of the subscription it serves, interned: a subscription may end before its handler.
    [[nodiscard]] std::uint16_t site() const noexcept {
        return site_.load(std::memory_order_relaxed);  // relaxed: ordered by word()
    }
    [[nodiscard]] std::uint64_t since() const noexcept {
        return since_.load(std::memory_order_relaxed);  // relaxed: ordered by word()
    }
    /// Changes a turn that still lasts. acq_rel: pairs with end().
    [[nodiscard]] bool change(std::uint64_t from, doing to) noexcept {
        return word_.compare_exchange_strong(from, of(turn(from), to), std::memory_order_acq_rel,
                                             std::memory_order_relaxed);
    }
    [[nodiscard]] static doing what(std::uint64_t word) noexcept {
        return static_cast<doing>(word & 7U);
    }
    [[nodiscard]] static std::uint64_t turn(std::uint64_t word) noexcept { return word >> 3U; }

    // The supervisor's own notes.
    std::uint64_t seen_turn = 0;
    bool told_refused = false;
    bool told_stalled = false;
    std::uint16_t told_site = 0;
    std::uint64_t told_since = 0;

  private:
    [[nodiscard]] static std::uint64_t of(std::uint64_t turn, doing what) noexcept {
        return turn << 3U | what;
    }

    atomic<std::uint64_t> word_{0};  ///< {turn:61, doing:3}
    atomic<std::uint64_t> since_{0};
    atomic<std::uint16_t> site_{0};
};

struct worker_group {
    worker_group(engine& of, unsigned index, worker_params with, unsigned workers);

    /// What a job of its executor works on; keeps the engine alive.
    [[nodiscard]] executor::job job();
    /// Takes over parameters; of a vacant group.
    void use(worker_params with);

    [[nodiscard]] bool in_use() const noexcept {
        // Acquire pairs with end_retired() and begin_own().
        return life.load(std::memory_order_acquire) != vacant;
    }

    /// Of a subscription's own thread: vacant before and after, retiring until the supervisor has
    /// seen the thread end. Other groups are active all the time.
    enum life_state : std::uint32_t { vacant = 0, active = 1, retiring = 2 };

    // Constant after construction; of an own thread's, while it is not vacant.
    engine* owner;
    unsigned number;
    bool own = false;
    atomic<std::uint32_t> life{active};
    worker_params params;
    unsigned workers;
    std::uint64_t slice_ticks;
    std::uint64_t linger_ticks;
    std::uint64_t replace_ticks;
    std::uint64_t stall_ticks;
    std::shared_ptr<executor> where;
    unsigned replacements = 0;  ///< what the executor granted at start()
    std::unique_ptr<worker_seat[]> seats;
    unsigned seat_count;

    alignas(cache_block) atomic<std::uint32_t> awake{0};  ///< workers that count
    alignas(cache_block) atomic<std::uint64_t> jobs{0};   ///< job_word
    atomic<std::uint64_t> members{0};                     ///< bits of its subscriptions
    atomic<std::uint64_t> wakes{0};                       ///< jobs asked for
    counter_cell replaced;                                ///< the supervisor's
    counter_cell stalls;                                  ///< the supervisor's
};

}  // namespace ropeway::detail
