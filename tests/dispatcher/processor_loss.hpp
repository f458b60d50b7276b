// SPDX-License-Identifier: Apache-2.0
//
// When the machine kept a thread from running, so that a test of latencies judges the library and
// not the host: by the kernel's word of each thread that works, and by watchers that sleep on each
// processor, for what a hypervisor takes from a thread that is about to wake. Ownership: what is
// noted belongs to the thread that notes it. Thread safety: read it when those threads are done.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <initializer_list>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "processors.hpp"

namespace ropeway_test {

[[nodiscard]] inline std::int64_t clock_ns(clockid_t which) {
    timespec t{};
    ::clock_gettime(which, &t);
    return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

/// What the calling thread had of its processors until now.
struct processor_time {
    std::int64_t at_ns = 0;      ///< by the steady clock
    std::int64_t ran_ns = 0;     ///< without what a hypervisor took, where it tells
    std::int64_t waited_ns = 0;  ///< ready to run, and did not
    std::int64_t sleeps = 0;     ///< times that it gave its processor up by itself

    [[nodiscard]] static processor_time now() {
        static thread_local const processor_wait wait{};
        rusage used{};
        ::getrusage(RUSAGE_THREAD, &used);
        return {.at_ns = clock_ns(CLOCK_MONOTONIC),
                .ran_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID),
                .waited_ns = wait.total().count(),
                .sleeps = used.ru_nvcsw};
    }
    /// What was taken from the thread between two readings of its own. While it did not sleep that
    /// is all it did not run, also what another thread got when it yielded; else what it waited for
    /// a processor.
    [[nodiscard]] std::int64_t taken_since(const processor_time& before) const {
        return sleeps == before.sleeps ? (at_ns - before.at_ns) - (ran_ns - before.ran_ns)
                                       : waited_ns - before.waited_ns;
    }
};

/// A span of time by the steady clock.
struct lost_span {
    std::int64_t begin_ns = 0;
    std::int64_t end_ns = 0;
};

/// One during which `taken_ns` were lost: what piled up meanwhile takes a while as well, but no
/// longer.
[[nodiscard]] inline lost_span span_of_loss(std::int64_t begin_ns, std::int64_t end_ns,
                                            std::int64_t taken_ns) {
    constexpr std::int64_t most_to_catch_up_ns = 2'000'000;
    return {begin_ns, end_ns + std::min(taken_ns, most_to_catch_up_ns)};
}

/// When the threads that did one thing, one after another, were kept from running.
class processor_losses {
  public:
    processor_losses() = default;
    processor_losses(const processor_losses&) = delete;
    processor_losses& operator=(const processor_losses&) = delete;
    ~processor_losses() = default;
    /// Called by such a thread again and again; it asks the kernel where it last did so longer ago
    /// than a handler takes.
    void look() {
        constexpr std::int64_t unnoticed_ns = 20'000;
        if (clock_ns(CLOCK_MONOTONIC) - looked_at_ns_ < unnoticed_ns) {
            return;
        }
        processor_time& last = last_of_this_thread();
        const processor_time before = last;
        last = processor_time::now();
        // A thread's first reading: what it lost in its life. One older than this object, of
        // another that stood at its address, does as well: the span begins no earlier than where
        // this one looked last, whichever thread that was.
        const std::int64_t taken = before.at_ns != 0 ? last.taken_since(before) : last.waited_ns;
        if (taken >= unnoticed_ns) {
            spans_.push_back(
                span_of_loss(std::max(before.at_ns, looked_at_ns_), last.at_ns, taken));
        }
        looked_at_ns_ = last.at_ns;
    }
    [[nodiscard]] const std::vector<lost_span>& spans() const { return spans_; }

  private:
    /// Threads may take turns: each compares with its own.
    processor_time& last_of_this_thread() const {
        static thread_local std::vector<std::pair<const processor_losses*, processor_time>> mine{};
        for (auto& [whose, last] : mine) {
            if (whose == this) {
                return last;
            }
        }
        return mine.emplace_back(this, processor_time{}).second;
    }

    std::vector<lost_span> spans_{};
    std::int64_t looked_at_ns_ = clock_ns(CLOCK_MONOTONIC);
};

/// When a processor did not run a thread that was due on it: one thread on each, ahead of all
/// others, looks each millisecond until stop(). Notes nothing where the system lets no thread go
/// ahead: it would wait for those that are measured.
class processor_watch {
  public:
    processor_watch() {
        for (const std::size_t processor : processors_of_this_process()) {
            std::vector<lost_span>& mine = each_.emplace_back();
            threads_.emplace_back([processor, &mine](const std::stop_token& stop) {
                stay_on(processor);
                watch(mine, stop);
            });
        }
    }
    processor_watch(const processor_watch&) = delete;
    processor_watch& operator=(const processor_watch&) = delete;
    ~processor_watch() { stop(); }
    void stop() { threads_.clear(); }
    /// Of all processors. Requires stop().
    [[nodiscard]] const std::deque<std::vector<lost_span>>& spans() const { return each_; }

  private:
    static void watch(std::vector<lost_span>& mine, const std::stop_token& stop) {
        constexpr std::int64_t step_ns = 1'000'000;
        constexpr std::int64_t a_timers_ns = 150'000;
        const sched_param ahead{.sched_priority = 2};
        if (::pthread_setschedparam(::pthread_self(), SCHED_FIFO, &ahead) != 0) {
            return;
        }
        std::int64_t before = clock_ns(CLOCK_MONOTONIC);
        while (!stop.stop_requested()) {
            const std::int64_t due = before + step_ns;
            const timespec until{.tv_sec = due / 1'000'000'000, .tv_nsec = due % 1'000'000'000};
            ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
            const std::int64_t now = clock_ns(CLOCK_MONOTONIC);
            if (now - due >= a_timers_ns) {
                mine.push_back(span_of_loss(before, now, now - due));
            }
            before = now;
        }
    }

    std::deque<std::vector<lost_span>> each_{};
    std::vector<std::jthread> threads_{};
};

/// The losses of several together.
class lost_time {
  public:
    lost_time(const processor_watch& processors,
              std::initializer_list<const processor_losses*> threads) {
        for (const auto& one : processors.spans()) {
            spans_.insert(spans_.end(), one.begin(), one.end());
        }
        for (const processor_losses* const one : threads) {
            spans_.insert(spans_.end(), one->spans().begin(), one->spans().end());
        }
        std::sort(spans_.begin(), spans_.end(),
                  [](const lost_span& a, const lost_span& b) { return a.begin_ns < b.begin_ns; });
        // Those that overlap become one: both ends ascend.
        std::size_t kept = 0;
        for (const lost_span& one : spans_) {
            if (kept != 0 && one.begin_ns <= spans_[kept - 1].end_ns) {
                spans_[kept - 1].end_ns = std::max(spans_[kept - 1].end_ns, one.end_ns);
            } else {
                spans_[kept++] = one;
            }
        }
        spans_.resize(kept);
    }
    /// Whether it is half of [begin_ns, end_ns] or more: a delay of which it is less has another
    /// cause.
    [[nodiscard]] bool explains(std::int64_t begin_ns, std::int64_t end_ns) const {
        auto at = std::lower_bound(
            spans_.begin(), spans_.end(), begin_ns,
            [](const lost_span& one, std::int64_t begin) { return one.end_ns < begin; });
        std::int64_t sum = 0;
        for (; at != spans_.end() && at->begin_ns < end_ns; ++at) {
            sum += std::min(at->end_ns, end_ns) - std::max(at->begin_ns, begin_ns);
        }
        return sum * 2 >= end_ns - begin_ns;
    }
    [[nodiscard]] std::chrono::nanoseconds longest() const {
        std::int64_t most = 0;
        for (const lost_span& one : spans_) {
            most = std::max(most, one.end_ns - one.begin_ns);
        }
        return std::chrono::nanoseconds{most};
    }

  private:
    std::vector<lost_span> spans_{};
};

}  // namespace ropeway_test
