// SPDX-License-Identifier: Apache-2.0
//
// What the dispatcher's tests share: parameters that fit the build, counters that threads wait on,
// and a collector of violations. Header only; each type says who may use it from where.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <thread>
#include <utility>

#include <ropeway/dispatcher/dispatcher.hpp>

#include <ropeway_test.hpp>

namespace ropeway_test {

using namespace std::chrono_literals;

#if defined(__SANITIZE_THREAD__)
inline constexpr bool under_tsan = true;
#else
inline constexpr bool under_tsan = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool under_asan = true;
#else
inline constexpr bool under_asan = false;
#endif
inline constexpr bool sanitized = under_tsan || under_asan;
#if defined(ROPEWAY_COVERAGE)
inline constexpr bool instrumented = true;
#else
/// What is measured here says nothing of the library: counts are checked, times are not.
inline constexpr bool instrumented = sanitized;
#endif

/// A count for stress loops: a tenth of it in sanitizer builds.
[[nodiscard]] constexpr std::uint64_t scaled(std::uint64_t count) noexcept {
    return sanitized ? count / 10 : count;
}

/// Parameters of a small dispatcher, whose workers run in the arena or on own threads.
/// ThreadSanitizer does not see into oneTBB, so there they always run on own threads.
[[nodiscard]] inline ropeway::dispatcher_params small_dispatcher(unsigned workers = 2,
                                                                 bool own_threads = under_tsan) {
    ropeway::dispatcher_params params;
    params.name = "test";
    params.workers.count = workers;
    params.max_subscriptions = 16;
    if (own_threads) {
        params.workers.where = ropeway::make_thread_executor();
    }
    return params;
}

/// Rings of `capacity` places each; `publish` gives up after a long while only.
[[nodiscard]] inline ropeway::publisher_params rings_of(std::uint32_t capacity) {
    ropeway::publisher_params params;
    params.market_capacity = capacity;
    params.critical_capacity = capacity;
    params.deadline = 60s;
    return params;
}

/// Waits until `condition()` holds; false when that took longer than any healthy run does.
template <class Condition>
[[nodiscard]] bool eventually(Condition&& condition, std::chrono::seconds limit = 30s) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

/// A count that workers raise and the main thread waits for. What was done before add() is visible
/// after reached().
class tally {
  public:
    void add(std::uint64_t n = 1) noexcept { count_.fetch_add(n, std::memory_order_release); }
    [[nodiscard]] std::uint64_t get() const noexcept {
        return count_.load(std::memory_order_acquire);
    }
    [[nodiscard]] bool reached(std::uint64_t n) const {
        return eventually([&] { return get() >= n; });
    }

  private:
    std::atomic<std::uint64_t> count_{0};
};

/// Holds whoever passes until it is opened; once per life.
class gate {
  public:
    void pass() noexcept {
        entered_.add();
        open_.wait(false, std::memory_order_acquire);
    }
    void open() noexcept {
        open_.store(true, std::memory_order_release);
        open_.notify_all();
    }
    /// True when somebody stands in it.
    [[nodiscard]] bool held() const { return entered_.reached(1); }

  private:
    tally entered_;
    std::atomic<bool> open_{false};
};

/// Claims, fills and publishes one event.
template <class Publisher>
[[nodiscard]] ropeway::publish_result send(Publisher& to, ropeway::event_kind kind,
                                           std::uint64_t user = 0, std::uint32_t instrument = 0) {
    auto event = to.claim();
    if (!event) {
        return {};
    }
    event->kind = kind;
    event->user = user;
    event->instrument = instrument;
    return to.publish(std::move(event));
}

/// Collects violations while it lives. One at a time; main thread. The handler's context is static,
/// because another thread may still be in the handler when this ends.
class violations {
  public:
    violations() {
        for (auto& count : state().counts) {
            count.store(0, std::memory_order_relaxed);
        }
        ropeway::set_violation_handler(
            [](const ropeway::violation& what, void*) noexcept {
                state().offset.store(what.offset, std::memory_order_relaxed);
                state().counts[static_cast<std::size_t>(what.kind)].fetch_add(
                    1, std::memory_order_release);
            },
            nullptr);
    }
    violations(const violations&) = delete;
    violations& operator=(const violations&) = delete;
    ~violations() { ropeway::set_violation_handler(nullptr, nullptr); }

    [[nodiscard]] std::uint64_t of(ropeway::violation_kind kind) const noexcept {
        return state().counts[static_cast<std::size_t>(kind)].load(std::memory_order_acquire);
    }
    [[nodiscard]] std::uint64_t all() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& count : state().counts) {
            sum += count.load(std::memory_order_acquire);
        }
        return sum;
    }
    /// Of the latest one.
    [[nodiscard]] std::size_t offset() const noexcept {
        return state().offset.load(std::memory_order_relaxed);
    }

  private:
    struct counts_by_kind {
        std::array<std::atomic<std::uint64_t>, ropeway::violation_kinds> counts{};
        std::atomic<std::size_t> offset{0};
    };
    static counts_by_kind& state() noexcept {
        static counts_by_kind all;
        return all;
    }
};

/// Threads of this process.
[[nodiscard]] inline std::size_t thread_count() {
    if (under_tsan) {
        std::thread{[] {}}.join();  // ThreadSanitizer's own thread comes with the first
    }
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator{"/proc/self/task"}, {}));
}

}  // namespace ropeway_test
