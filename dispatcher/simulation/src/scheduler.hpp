// SPDX-License-Identifier: Apache-2.0
//
// Simulated threads and who of them runs. A point that changes nothing costs a countdown; how long
// the countdown is, who comes next, and who is held up in the middle of something and for how long,
// is drawn from the seed, with odds that differ from seed to seed: some bugs need many short turns,
// others one thread that stands still for long. Private.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/simulation.hpp>

namespace ropeway::detail::simulated {

/// Memory of a stack, with a page before it that nobody may touch.
class stack {
  public:
    stack() noexcept = default;
    explicit stack(std::size_t bytes);
    stack(stack&& other) noexcept;
    stack& operator=(stack&& other) noexcept;
    stack(const stack&) = delete;
    stack& operator=(const stack&) = delete;
    ~stack();
    [[nodiscard]] std::byte* begin() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return bytes_; }
    /// What stands on it is never destroyed: stays mapped, and counts as reachable.
    void leave() noexcept;

  private:
    std::byte* memory_ = nullptr;
    std::size_t bytes_ = 0;
};

/// xorshift64*: small, fast, and the same everywhere.
class random_source {
  public:
    explicit random_source(std::uint64_t seed) noexcept;
    [[nodiscard]] std::uint64_t next() noexcept;
    [[nodiscard]] std::uint64_t below(std::uint64_t bound) noexcept;
    /// below(bound) == 0, for a small bound that is not 0.
    [[nodiscard]] bool one_in(std::uint64_t bound) noexcept;

  private:
    std::uint64_t state_;
};

class scheduler {
  public:
    explicit scheduler(const simulation::params& with);
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;
    ~scheduler();

    /// From outside: until all have ended, or one has failed.
    void run(const std::function<void()>& body);
    [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
    [[nodiscard]] std::uint64_t points() noexcept;
    [[nodiscard]] std::uint64_t switches() const noexcept { return switches_; }
    [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }

    // On a simulated thread.
    void turn() noexcept;
    void sleep(std::chrono::nanoseconds time) noexcept;
    bool wait(const void* address, std::chrono::nanoseconds until, const char* what) noexcept;
    void wake(const void* address) noexcept;
    std::uint32_t start(std::function<void()> run);
    void join(std::uint32_t number) noexcept;
    [[noreturn]] void fail(std::string_view what) noexcept;
    [[nodiscard]] std::chrono::nanoseconds now() const noexcept;
    [[nodiscard]] random_source& choices() noexcept { return choices_; }
    [[nodiscard]] random_source& drawn() noexcept { return drawn_; }
    [[nodiscard]] std::uint32_t number() const noexcept { return running_->number; }
    [[nodiscard]] std::uint32_t& depth() noexcept { return running_->depth; }
    [[nodiscard]] retainer& retains() noexcept { return running_->retains; }
    [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

    /// Of the calling system thread; null: none runs.
    [[nodiscard]] static scheduler* current() noexcept;

  private:
    enum class doing : std::uint8_t { ready, sleeps, waits, ended };
    /// Exceptions in flight, as the C++ runtime keeps them for each thread.
    struct exception_state {
        void* caught = nullptr;
        unsigned uncaught = 0;
    };
    struct simulated_thread {
        std::uint32_t number = 0;
        doing state = doing::ready;
        std::chrono::nanoseconds until{};  ///< sleeps, or waits no longer
        const void* address = nullptr;     ///< waits, and nobody has woken it
        const char* waits_for = "";
        std::function<void()> run{};
        ucontext_t context{};   ///< where it begins; under AddressSanitizer where it goes on
        jmp_buf left{};         ///< where it goes on
        bool has_left = false;  ///< it has begun, and goes on from `left`
        stack on{};
        void* fake_stack = nullptr;  ///< AddressSanitizer's
        std::uint32_t depth = 0;
        retainer retains{};
        exception_state exceptions{};
    };

    static void entry() noexcept;
    void begin_turn() noexcept;
    void pass_points() noexcept;
    void rearm() noexcept;
    /// Who comes next: somebody who can go on, the calling thread included if it can.
    void choose() noexcept;
    void switch_to(simulated_thread& next) noexcept;
    /// The first thing after every switch to a simulated thread.
    void arrived() noexcept;
    [[noreturn]] void leave_for_good() noexcept;
    void leave_all() noexcept;
    [[nodiscard]] std::string who_waits() const;

    std::uint64_t seed_;
    std::uint64_t most_points_;
    std::size_t stack_bytes_;
    random_source choices_;             ///< the scheduler's
    random_source drawn_;               ///< the body's
    std::uint64_t turn_points_ = 8;     ///< points between two choices, on average
    std::uint64_t hold_up_one_in_ = 0;  ///< choices; 0: never
    std::uint64_t hold_up_ns_ = 1000;
    std::uint64_t armed_ = 0;  ///< what points_left was when points_ and now_ were brought up
    std::uint64_t points_ = 0;
    std::uint64_t switches_ = 0;
    std::uint64_t trace_ = 0;
    std::chrono::nanoseconds now_{};
    std::vector<std::unique_ptr<simulated_thread>> threads_;  ///< by number
    std::vector<simulated_thread*> live_;
    simulated_thread* running_ = nullptr;
    simulated_thread* ended_ = nullptr;  ///< its stack is left by the next switch
    ucontext_t outside_{};
    void* outside_fake_stack_ = nullptr;
    const void* outside_bottom_ = nullptr;  ///< for AddressSanitizer, as the next
    std::size_t outside_size_ = 0;
    std::string failure_;
    bool failed_ = false;
};

}  // namespace ropeway::detail::simulated
