// SPDX-License-Identifier: Apache-2.0
//
// How long leases are held: the number of leases is exact, the distribution of short ones is that
// of a sample. The first threads of a pool own a set of cells each and count without an atomic
// read-modify-write; the rest share one set. Any thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/histogram.hpp>

namespace ropeway::detail {

using hold_cells = basic_histogram_cells<std::uint64_t>;

/// Leases are told apart by the pool's slow clock: those that outlast a tick or two are recorded
/// each; of the short ones every `timed_every`th of a thread is timed by the processor's counter
/// (which costs as much as the rest of a cycle), and stands for the others in the sum.
class hold_times {
  public:
    static constexpr std::uint32_t timed_every = 32;
    static constexpr std::uint32_t sets = 8;
    static constexpr std::uint32_t shared = sets;
    hold_times() : sets_(std::make_unique<std::array<set, sets + 1>>()) {}

    /// A set for the calling thread alone, or `shared` if there are no more. Once per thread.
    [[nodiscard]] std::uint32_t adopt() noexcept {
        // relaxed: only the number's uniqueness matters
        std::uint32_t n = next_.load(std::memory_order_relaxed);
        while (n < sets && !next_.compare_exchange_weak(n, n + 1, std::memory_order_relaxed,
                                                        std::memory_order_relaxed)) {
        }
        return n;
    }
    /// A long one.
    void record_long(std::uint32_t to, std::uint64_t ns) noexcept {
        hold_cells& cells = (*sets_)[to].all;
        to < sets ? cells.record(ns) : cells.record_shared(ns);
    }
    /// A short one that was timed.
    void record_timed(std::uint32_t to, std::uint64_t ns) noexcept {
        hold_cells& cells = (*sets_)[to].timed;
        to < sets ? cells.record(ns) : cells.record_shared(ns);
    }
    /// A short one that was not.
    void count_short(std::uint32_t to) noexcept {
        std::atomic<std::uint64_t>& count = (*sets_)[to].untimed;
        if (to < sets) [[likely]] {
            // relaxed: one writer, and readers want a number
            count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        } else {
            count.fetch_add(1, std::memory_order_relaxed);  // relaxed: a number
        }
    }
    /// All leases, each counted once.
    [[nodiscard]] histogram sum() const noexcept {
        histogram all;
        histogram timed;
        std::uint64_t untimed = 0;
        for (const set& each : *sets_) {
            all.merge(each.all.snapshot());
            timed.merge(each.timed.snapshot());
            untimed += each.untimed.load(std::memory_order_relaxed);  // relaxed: a number
        }
        all.merge(timed);
        if (timed.count() == 0) {
            // So far each lease that was timed was a long one: nothing is known of these but that.
            if (untimed != 0) {
                all.record(0, untimed);
            }
            return all;
        }
        // Of a value that is just being recorded the smallest may not be there yet.
        const std::uint64_t least = std::min(timed.min(), timed.max());
        std::uint64_t given = 0;
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i != histogram::buckets; ++i) {
            if (timed.count(i) == 0) {
                continue;
            }
            seen += timed.count(i);
            // Rounded so that all of them together are `untimed`.
            const auto until = static_cast<std::uint64_t>(static_cast<double>(untimed) *
                                                          static_cast<double>(seen) /
                                                          static_cast<double>(timed.count()));
            const std::uint64_t upto = seen == timed.count() ? untimed : std::min(until, untimed);
            if (upto > given) {
                all.record(std::clamp(histogram::end_of(i), least, timed.max()), upto - given);
                given = upto;
            }
        }
        return all;
    }

  private:
    struct set {
        alignas(cache_block) std::atomic<std::uint64_t> untimed{0};
        hold_cells timed{};
        hold_cells all{};
    };
    std::unique_ptr<std::array<set, sets + 1>> sets_;
    std::atomic<std::uint32_t> next_{0};
};

}  // namespace ropeway::detail
