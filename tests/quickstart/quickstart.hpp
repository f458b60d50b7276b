// SPDX-License-Identifier: Apache-2.0
//
// What the quickstart scenarios share: times of several tries, printed; pools on the scripted
// server and on a real one. Used on the main thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include <ropeway_test.hpp>

namespace quickstart {

using namespace std::chrono_literals;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;
using fake_pool = ropeway::resource_pool<fake_resource>;

/// Durations of the tries of one thing. Bounds hold for the best of several rounds, since other
/// programs of this machine may take any one of them.
class tries {
  public:
    void add(std::chrono::nanoseconds took) { all_.push_back(took); }
    /// Times one call.
    template <class F>
    void time(F&& what) {
        const auto begun = std::chrono::steady_clock::now();
        std::forward<F>(what)();
        add(std::chrono::steady_clock::now() - begun);
    }
    /// The smallest value that at least `share` of the tries do not exceed.
    [[nodiscard]] std::chrono::nanoseconds percentile(double share) const {
        std::vector<std::chrono::nanoseconds> sorted = all_;
        std::sort(sorted.begin(), sorted.end());
        const auto wanted = share * static_cast<double>(sorted.size());
        auto place = static_cast<std::size_t>(wanted);
        place -= place > 0 && static_cast<double>(place) >= wanted ? 1 : 0;
        return sorted.at(std::min(place, sorted.size() - 1));
    }
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] std::chrono::nanoseconds best() const { return percentile(0.0); }
    /// One line: number, p50, p95, p99, largest, in microseconds.
    void print(const char* what) const {
        const auto us = [this](double share) {
            return static_cast<double>(percentile(share).count()) / 1000.0;
        };
        ropeway_test::say("%s: %zu tries, p50 %.1f us, p95 %.1f us, p99 %.1f us, largest %.1f us\n",
                          what, all_.size(), us(0.5), us(0.95), us(0.99), us(1.0));
    }

  private:
    std::vector<std::chrono::nanoseconds> all_{};
};

/// In instrumented builds what is measured says nothing of the library.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || defined(ROPEWAY_COVERAGE)
inline constexpr int slower = 50;
#else
inline constexpr int slower = 1;
#endif

/// Of `rounds` rounds the one whose `share` is least; all are printed.
template <class F>
[[nodiscard]] std::chrono::nanoseconds best_of(int rounds, double share, const char* what,
                                               F&& round) {
    std::chrono::nanoseconds best = std::chrono::nanoseconds::max();
    for (int i = 0; i < rounds; ++i) {
        const tries one = round();
        one.print(what);
        best = std::min(best, one.percentile(share));
    }
    return best;
}

/// Events of a pool, as its observer was told them; for virtual time, where one thread runs.
struct told {
    ropeway::resource_event_kind kind{};
    std::uint64_t count = 0;
    std::uint64_t limit = 0;
    std::chrono::nanoseconds lasted{};
    std::size_t stack = 0;
    std::string site{};
};
[[nodiscard]] inline ropeway::resource_observer tell_into(std::vector<told>& events) {
    return [&events](const ropeway::resource_event& event) {
        events.push_back({.kind = event.kind,
                          .count = event.count,
                          .limit = event.limit,
                          .lasted = event.lasted,
                          .stack = event.stack_size,
                          .site = std::string{ropeway::site_text(event.site)}});
    };
}
[[nodiscard]] inline std::size_t count_of(const std::vector<told>& events,
                                          ropeway::resource_event_kind kind) {
    return static_cast<std::size_t>(std::count_if(
        events.begin(), events.end(), [kind](const told& one) { return one.kind == kind; }));
}

}  // namespace quickstart
