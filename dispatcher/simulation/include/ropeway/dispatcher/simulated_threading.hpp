// SPDX-License-Identifier: Apache-2.0
//
// What threading.hpp is made of in a simulation. Every operation on a shared word is a point where
// the scheduler may turn to another simulated thread; the words themselves are plain, since one
// system thread runs them all. Orders of memory are thus all sequentially consistent here: what a
// weaker order would break is not found by simulation.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <utility>

namespace ropeway::detail {

enum class planted_bug : std::uint8_t;

namespace simulated {

/// Points that the running simulated thread passes before the scheduler decides again. Far away
/// while no simulation runs.
inline constexpr std::uint64_t no_scheduler = ~std::uint64_t{0};
inline thread_local constinit std::uint64_t points_left = no_scheduler;

/// The slow half of a point: the scheduler's turn.
void turn() noexcept;

inline void scheduling_point() noexcept {
    if (--points_left == 0) {
        turn();
    }
}

/// Virtual time passes for the calling simulated thread, while others run. Without a simulation:
/// nothing.
void pass(std::chrono::nanoseconds time) noexcept;
/// Of the running simulated thread; 0 for the first one, and outside of a simulation.
[[nodiscard]] std::uint32_t number() noexcept;
[[nodiscard]] std::chrono::nanoseconds now() noexcept;

/// Waits until somebody calls wake_all() for the same address, or until then; false: then came.
bool wait_on(const void* address, std::chrono::nanoseconds until, const char* what) noexcept;
void wake_all(const void* address) noexcept;
inline constexpr std::chrono::nanoseconds for_ever = std::chrono::nanoseconds::max();

inline thread_local constinit planted_bug planted_now{};
[[nodiscard]] inline bool planted(planted_bug which) noexcept { return planted_now == which; }

/// True once in a while: a weak exchange may fail for no reason.
[[nodiscard]] bool spurious() noexcept;

struct steady_clock {
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;
    [[nodiscard]] static time_point now() noexcept {
        return time_point{std::chrono::duration_cast<duration>(simulated::now())};
    }
};

struct tick_clock {
    [[nodiscard]] static std::uint64_t now() noexcept {
        return static_cast<std::uint64_t>(simulated::now().count());
    }
    [[nodiscard]] static std::uint64_t to_ns(std::uint64_t ticks) noexcept { return ticks; }
    [[nodiscard]] static std::uint64_t from_ns(std::uint64_t ns) noexcept { return ns; }
};

/// As std::atomic, with a scheduling point before each operation.
template <class T>
class atomic {
  public:
    static constexpr bool is_always_lock_free = true;

    constexpr atomic() noexcept = default;
    constexpr atomic(T value) noexcept : value_(value) {}  // implicit, as std::atomic's
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    [[nodiscard]] T load(std::memory_order /*order*/) const noexcept {
        scheduling_point();
        return value_;
    }
    void store(T value, std::memory_order /*order*/) noexcept {
        scheduling_point();
        value_ = value;
    }
    T exchange(T value, std::memory_order /*order*/) noexcept {
        scheduling_point();
        return std::exchange(value_, value);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order /*success*/,
                                 std::memory_order /*failure*/) noexcept {
        scheduling_point();
        if (value_ == expected) {
            value_ = desired;
            return true;
        }
        expected = value_;
        return false;
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) noexcept {
        if (spurious()) {
            expected = load(failure);
            return false;
        }
        return compare_exchange_strong(expected, desired, success, failure);
    }
    T fetch_add(T value, std::memory_order /*order*/) noexcept {
        scheduling_point();
        return std::exchange(value_, static_cast<T>(value_ + value));
    }
    T fetch_sub(T value, std::memory_order /*order*/) noexcept {
        scheduling_point();
        return std::exchange(value_, static_cast<T>(value_ - value));
    }
    T fetch_or(T value, std::memory_order /*order*/) noexcept {
        scheduling_point();
        return std::exchange(value_, static_cast<T>(value_ | value));
    }
    T fetch_and(T value, std::memory_order /*order*/) noexcept {
        scheduling_point();
        return std::exchange(value_, static_cast<T>(value_ & value));
    }

  private:
    T value_{};
};

class mutex {
  public:
    void lock() noexcept {
        scheduling_point();
        while (locked_) {
            wait_on(this, for_ever, "a lock");
        }
        locked_ = true;
    }
    [[nodiscard]] bool try_lock() noexcept {
        scheduling_point();
        return !std::exchange(locked_, true);
    }
    void unlock() noexcept {
        locked_ = false;
        wake_all(this);
    }

  private:
    bool locked_ = false;
};

class binary_semaphore {
  public:
    explicit binary_semaphore(std::ptrdiff_t count) noexcept : free_(count != 0) {}
    void release() noexcept {
        scheduling_point();
        free_ = true;
        wake_all(this);
    }
    void acquire() noexcept {
        scheduling_point();
        while (!std::exchange(free_, false)) {
            wait_on(this, for_ever, "a semaphore");
        }
    }
    [[nodiscard]] bool try_acquire_until(steady_clock::time_point until) noexcept {
        scheduling_point();
        while (!std::exchange(free_, false)) {
            if (!wait_on(this, until.time_since_epoch(), "a semaphore")) {
                return std::exchange(free_, false);
            }
        }
        return true;
    }

  private:
    bool free_;
};

/// Starts a simulated thread; returns its number.
std::uint32_t start_thread(std::function<void()> run);
/// Returns when it has ended.
void join(std::uint32_t number) noexcept;

/// As std::thread, but for get_id(): see is_this_thread().
class thread {
  public:
    thread() noexcept = default;
    template <class Run>
    requires std::is_invocable_v<Run&>
    explicit thread(Run&& run) : number_(start_thread(std::forward<Run>(run))) {}
    thread(const thread&) = delete;
    thread& operator=(const thread&) = delete;
    thread(thread&& other) noexcept : number_(std::exchange(other.number_, 0)) {}
    thread& operator=(thread&& other) noexcept {
        number_ = std::exchange(other.number_, 0);
        return *this;
    }
    ~thread() = default;
    [[nodiscard]] bool joinable() const noexcept { return number_ != 0; }
    void join() noexcept { simulated::join(std::exchange(number_, 0)); }
    [[nodiscard]] bool is_this_thread() const noexcept { return joinable() && number_ == number(); }

  private:
    std::uint32_t number_ = 0;  ///< 0: none; the first simulated thread is never one of these
};

}  // namespace simulated
}  // namespace ropeway::detail
