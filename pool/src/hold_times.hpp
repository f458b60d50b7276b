// SPDX-License-Identifier: Apache-2.0
//
// How long leases are held, counted exactly: the first threads of a pool own a set of cells each
// and count without an atomic read-modify-write; the rest share one set. Any thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include <ropeway/pool/histogram.hpp>

namespace ropeway::detail {

/// Counts by bucket, and the smallest and largest value.
class hold_cells {
  public:
    /// By the owner alone.
    void record(std::uint64_t ns) noexcept {
        // relaxed throughout: one writer, and readers want numbers
        auto& count = counts_[histogram::bucket_of(ns)];
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        if (ns < min_.load(std::memory_order_relaxed)) {
            min_.store(ns, std::memory_order_relaxed);
        }
        if (ns > max_.load(std::memory_order_relaxed)) {
            max_.store(ns, std::memory_order_relaxed);
        }
    }
    /// By anybody.
    void record_shared(std::uint64_t ns) noexcept {
        // relaxed throughout: numbers
        counts_[histogram::bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
        std::uint64_t seen = min_.load(std::memory_order_relaxed);
        while (ns < seen && !min_.compare_exchange_weak(seen, ns, std::memory_order_relaxed,
                                                        std::memory_order_relaxed)) {
        }
        seen = max_.load(std::memory_order_relaxed);
        while (ns > seen && !max_.compare_exchange_weak(seen, ns, std::memory_order_relaxed,
                                                        std::memory_order_relaxed)) {
        }
    }
    void add_to(histogram& out) const noexcept {
        const std::uint64_t low = min_.load(std::memory_order_relaxed);   // relaxed: a number
        const std::uint64_t high = max_.load(std::memory_order_relaxed);  // relaxed: a number
        for (std::size_t i = 0; i != histogram::buckets; ++i) {
            // relaxed: a number
            const std::uint64_t n = counts_[i].load(std::memory_order_relaxed);
            if (n != 0) {
                // A value of the bucket; the smallest and largest ones as they were.
                out.record(std::clamp(histogram::end_of(i), low, std::max(low, high)), n);
            }
        }
    }

  private:
    std::array<std::atomic<std::uint64_t>, histogram::buckets> counts_{};
    std::atomic<std::uint64_t> min_{~std::uint64_t{0}};
    std::atomic<std::uint64_t> max_{0};
};

class hold_times {
  public:
    static constexpr std::uint32_t sets = 8;
    static constexpr std::uint32_t shared = sets;
    hold_times() : cells_(std::make_unique<std::array<hold_cells, sets + 1>>()) {}

    /// A set for the calling thread alone, or `shared` if there are no more. Once per thread.
    [[nodiscard]] std::uint32_t adopt() noexcept {
        // relaxed: only the number's uniqueness matters
        std::uint32_t n = next_.load(std::memory_order_relaxed);
        while (n < sets && !next_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed,
                                                        std::memory_order_relaxed)) {
        }
        return n;
    }
    void record(std::uint32_t set, std::uint64_t ns) noexcept {
        if (set < sets) [[likely]] {
            (*cells_)[set].record(ns);
        } else {
            (*cells_)[shared].record_shared(ns);
        }
    }
    [[nodiscard]] histogram sum() const noexcept {
        histogram out;
        for (const hold_cells& each : *cells_) {
            each.add_to(out);
        }
        return out;
    }

  private:
    std::unique_ptr<std::array<hold_cells, sets + 1>> cells_;
    std::atomic<std::uint32_t> next_{0};
};

}  // namespace ropeway::detail
