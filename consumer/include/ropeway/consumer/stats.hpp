// SPDX-License-Identifier: Apache-2.0
//
// What a wrapped consumer counts. Cells have one writer (whoever serves the consumer) and any
// number of readers; a snapshot is a plain copy. No allocation, no lock.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ropeway/pool/event_kind.hpp>

namespace ropeway {

/// A counter with one writer at a time: a plain add, no lock prefix.
class counter_cell {
  public:
    void add(std::uint64_t n) noexcept {
        // Relaxed: one writer at a time (handed over with the consumer's ownership), and readers
        // want a number, not an order.
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    }
    void set(std::uint64_t n) noexcept {
        value_.store(n, std::memory_order_relaxed);  // relaxed: see add()
    }
    [[nodiscard]] std::uint64_t get() const noexcept {
        return value_.load(std::memory_order_relaxed);  // relaxed: see add()
    }

  private:
    std::atomic<std::uint64_t> value_{0};
};

using kind_counts = std::array<std::uint64_t, max_event_kinds>;

/// Index of a kind in kind_counts: unknown kinds share the last place.
[[nodiscard]] constexpr std::size_t kind_index(std::uint32_t kind) noexcept {
    return kind < max_event_kinds ? kind : max_event_kinds - 1;
}

/// A snapshot of one consumer.
struct consumer_stats {
    std::uint64_t done = 0;            ///< handler returned
    std::uint64_t filtered = 0;        ///< stale market data: handler not called
    std::uint64_t failed = 0;          ///< handler threw
    kind_counts done_by_kind{};        ///< `done`, by kind
    kind_counts filtered_by_kind{};    ///< `filtered`, by kind
    kind_counts failed_by_kind{};      ///< `failed`, by kind
    std::uint64_t sampled = 0;         ///< handler calls whose time was taken (1 in 64)
    std::uint64_t sampled_ns = 0;      ///< their total, nanoseconds
    std::uint64_t sampled_max_ns = 0;  ///< the longest of them
    std::uint64_t hooks_failed = 0;    ///< on_batch_end, on_idle or on_timer threw
    std::uint64_t min_version = 0;     ///< market data below it is stale for this consumer
};

/// The cells behind consumer_stats.
struct consumer_cells {
    std::array<counter_cell, max_event_kinds> done;
    std::array<counter_cell, max_event_kinds> filtered;
    std::array<counter_cell, max_event_kinds> failed;
    counter_cell sampled;
    counter_cell sampled_ns;
    counter_cell hooks_failed;
    std::atomic<std::uint64_t> sampled_max_ns{0};

    void clear() noexcept {
        for (std::size_t k = 0; k < max_event_kinds; ++k) {
            done[k].set(0);
            filtered[k].set(0);
            failed[k].set(0);
        }
        sampled.set(0);
        sampled_ns.set(0);
        hooks_failed.set(0);
        sampled_max_ns.store(0, std::memory_order_relaxed);  // relaxed: as in sample()
    }
    void sample(std::uint64_t ns) noexcept {
        sampled.add(1);
        sampled_ns.add(ns);
        // Relaxed on both: one writer at a time, readers want a number only.
        if (ns > sampled_max_ns.load(std::memory_order_relaxed)) {
            sampled_max_ns.store(ns, std::memory_order_relaxed);
        }
    }
    [[nodiscard]] consumer_stats snapshot() const noexcept {
        consumer_stats out;
        for (std::size_t k = 0; k < max_event_kinds; ++k) {
            out.done += out.done_by_kind[k] = done[k].get();
            out.filtered += out.filtered_by_kind[k] = filtered[k].get();
            out.failed += out.failed_by_kind[k] = failed[k].get();
        }
        out.sampled = sampled.get();
        out.sampled_ns = sampled_ns.get();
        out.hooks_failed = hooks_failed.get();
        out.sampled_max_ns = sampled_max_ns.load(std::memory_order_relaxed);  // relaxed: a number
        return out;
    }
};

}  // namespace ropeway
