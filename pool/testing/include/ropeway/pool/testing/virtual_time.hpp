// SPDX-License-Identifier: Apache-2.0
//
// virtual_time: a clock that stands still until a test moves it. Pools that use it have no thread
// of their own, sleep nowhere, and do the same thing in every run. A whole test:
//
//     TEST_CASE("a connection is replaced after an hour") {
//         ropeway::testing::virtual_time time;
//         ropeway::testing::fake_server server{time};
//         ropeway::resource_pool<ropeway::testing::fake_resource> pool{
//             server.maker(), {.min_size = 1, .max_age = 1h, .time = &time}};
//         REQUIRE_FALSE(pool.start().has_value());
//         const std::uint64_t first = pool.acquire()->number();
//         time.advance(61min);
//         REQUIRE(pool.acquire()->number() != first);
//         CHECK(server.counts().opened == 2);
//         CHECK(pool.shutdown(1s).clean());
//         CHECK(server.misuses().empty());
//     }
//
// How waiting works. The thread that owns the clock drives everything: while it waits (in
// acquire(), start(), shutdown()) or advances, the turns of the pools' loops run on it at their due
// times, in order. To have several callers wait at once, begin each with call(): it runs on a
// thread of its own, but only one thread runs at any time; the others stand until the driver hands
// them their turn, in the order in which they began to wait. So a test is deterministic, and no
// lock or sleep is needed in it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include <ropeway/pool/resource_time.hpp>

namespace ropeway::testing {

namespace detail {
struct caller_job;
struct caller_thread;
}  // namespace detail

class virtual_time;

/// What call() began. Ownership: refers to the virtual_time, which must outlive it. Copyable. To be
/// used on the driving thread.
class virtual_caller {
  public:
    virtual_caller() noexcept = default;
    /// True once its work returned or threw.
    [[nodiscard]] bool ended() const noexcept;
    /// Moves time on until it ended. @throws what the work threw.
    void finish();

  private:
    friend class virtual_time;
    virtual_caller(virtual_time& time, std::shared_ptr<detail::caller_job> job) noexcept
        : time_(&time), job_(std::move(job)) {}
    virtual_time* time_ = nullptr;
    std::shared_ptr<detail::caller_job> job_{};
};

/// Ownership: a test's; outlives the pools that use it. Thread safety: now() and wake() from any
/// thread; everything else from the driving thread or from within a caller.
class virtual_time final : public resource_time {
  public:
    explicit virtual_time(resource_clock_point now = resource_clock_point{
                              std::chrono::hours{1}}) noexcept;
    /// Moves time on until every caller ended.
    ~virtual_time() override;
    virtual_time(const virtual_time&) = delete;
    virtual_time& operator=(const virtual_time&) = delete;

    /// Moves time by `by`, stopping at everything that becomes due on the way. In a caller: waits
    /// that long.
    void advance(std::chrono::nanoseconds by);
    /// As advance(), to a point; does nothing but settle() where that is past.
    void advance_to(resource_clock_point when);
    /// Runs what is due at this instant until nothing is, also what that makes due.
    void settle();
    /// Moves to the next due time and settles. @return false if nothing is due, ever.
    bool step();
    /// Runs `work` as a caller that may wait. Returns when it waits or ended; called from within a
    /// caller, at once.
    virtual_caller call(std::function<void()> work);

    /// Turns of loops so far.
    [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }
    /// Times that `turns_at_once` rounds at one instant came to no rest: a loop that is due again
    /// and again. The clock was then moved, by a millisecond the first time and twice as far each
    /// further time. A right program has none.
    [[nodiscard]] std::uint64_t runaways() const noexcept { return runaways_; }
    /// Waits within a turn: on real time they would stand the I/O thread still. Each returned at
    /// once.
    [[nodiscard]] std::uint64_t waits_in_turns() const noexcept { return waits_in_turns_; }
    static constexpr std::uint64_t turns_at_once = 10'000;

    // resource_time
    [[nodiscard]] resource_clock_point now() noexcept override;
    void start(resource_loop& loop, std::string_view name) override;
    void stop(resource_loop& loop) noexcept override;
    void wake(resource_loop& loop) noexcept override;
    /// A wait without end that nothing can end terminates the program: it would hang for ever.
    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
              resource_clock_point until) noexcept override;
    void notify(std::atomic<std::uint32_t>& word) noexcept override;
    /// Real descriptors are looked at, never waited for: time moves on instead.
    short poll(int fd, short events, resource_clock_point until) noexcept override;

  private:
    friend class virtual_caller;
    struct loop_entry {
        resource_loop* loop = nullptr;
        bool woken = true;
        resource_clock_point next{};
        std::span<pollfd> fds{};
    };
    /// What somebody waits for.
    struct wish {
        std::atomic<std::uint32_t>* word = nullptr;
        std::uint32_t expected = 0;
        int fd = -1;
        short events = 0;
        short revents = 0;
        resource_clock_point until{};
    };
    friend struct detail::caller_job;

    [[nodiscard]] bool is_met(wish& what) noexcept;
    short wait_for(wish what) noexcept;
    void drive_until(wish& what) noexcept;
    bool round();
    bool run_due_loops();
    bool run_ready_callers();
    [[nodiscard]] static bool poll_now(loop_entry& entry) noexcept;
    [[nodiscard]] resource_clock_point next_due() noexcept;
    void move_to(resource_clock_point when) noexcept;
    void hand_to(detail::caller_thread& thread);
    void give_work(const std::shared_ptr<detail::caller_job>& job);
    void run_caller(detail::caller_thread& thread);
    void finish(const std::shared_ptr<detail::caller_job>& job);

    std::atomic<std::int64_t> now_ns_;  ///< since the clock's origin
    /// Guards `loops_` against wake() from threads that are not callers.
    std::mutex loops_lock_{};
    std::vector<std::unique_ptr<loop_entry>> loops_{};
    std::vector<std::unique_ptr<detail::caller_thread>> threads_{};
    std::vector<detail::caller_thread*> idle_{};
    std::vector<std::shared_ptr<detail::caller_job>> running_{};  ///< in order of their waits
    std::atomic<std::uint32_t> driver_turn_{0};
    bool in_turn_ = false;
    std::uint64_t rounds_here_ = 0;  ///< at this instant
    std::uint64_t turns_ = 0;
    std::uint64_t runaways_ = 0;
    std::uint64_t waits_in_turns_ = 0;
};

}  // namespace ropeway::testing
