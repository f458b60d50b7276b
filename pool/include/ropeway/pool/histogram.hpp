// SPDX-License-Identifier: Apache-2.0
//
// Distributions of nanoseconds in log-linear buckets: 16 to each power of two, so that a percentile
// is at most 6.3 % too high. Fixed size, no allocation. `histogram` is a plain value;
// `histogram_cells` is what one writer at a time fills while any number of threads read.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ropeway {

class histogram {
  public:
    static constexpr unsigned sub_bits = 4;
    static constexpr std::uint64_t sub_buckets = std::uint64_t{1} << sub_bits;
    static constexpr std::size_t buckets = (64 - sub_bits + 1) * sub_buckets;

    void record(std::uint64_t ns, std::uint64_t times = 1) noexcept {
        add(bucket_of(ns), times, ns, ns);
    }
    void merge(const histogram& other) noexcept {
        for (std::size_t i = 0; i < buckets; ++i) {
            counts_[i] += other.counts_[i];
        }
        count_ += other.count_;
        min_ = std::min(min_, other.min_);
        max_ = std::max(max_, other.max_);
    }
    /// The smallest bucket end below which at least `share` (0..1) of the values lie; 0 if empty.
    [[nodiscard]] std::uint64_t percentile(double share) const noexcept {
        const double wanted = share * static_cast<double>(count_);
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < buckets; ++i) {
            sum += counts_[i];
            if (sum != 0 && static_cast<double>(sum) >= wanted) {
                return std::min(end_of(i), max_);
            }
        }
        return max_;
    }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t count(std::size_t bucket) const noexcept { return counts_[bucket]; }
    /// From the middles of the buckets: at most 3.2 % off; 0 if empty.
    [[nodiscard]] double mean() const noexcept {
        double sum = 0;
        for (std::size_t i = 0; i < buckets; ++i) {
            const std::uint64_t low = i == 0 ? 0 : end_of(i - 1) + 1;
            sum += static_cast<double>(counts_[i]) *
                   (static_cast<double>(low) + static_cast<double>(end_of(i))) / 2;
        }
        return count_ == 0 ? 0 : sum / static_cast<double>(count_);
    }
    /// 0 if empty.
    [[nodiscard]] std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }

    [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
        if (ns < sub_buckets) {
            return static_cast<std::size_t>(ns);
        }
        const auto shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - sub_bits;
        return static_cast<std::size_t>((std::uint64_t{shift} << sub_bits) + (ns >> shift));
    }
    /// The largest value of a bucket.
    [[nodiscard]] static constexpr std::uint64_t end_of(std::size_t bucket) noexcept {
        if (bucket < 2 * sub_buckets) {
            return bucket;
        }
        const std::uint64_t shift = (bucket >> sub_bits) - 1;
        const std::uint64_t base = (bucket & (sub_buckets - 1)) + sub_buckets;
        return ((base + 1) << shift) - 1;
    }

  private:
    template <class Count>
    friend class basic_histogram_cells;

    void add(std::size_t bucket, std::uint64_t n, std::uint64_t low, std::uint64_t high) noexcept {
        counts_[bucket] += n;
        count_ += n;
        min_ = std::min(min_, low);
        max_ = std::max(max_, high);
    }

    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t count_ = 0;
    std::uint64_t min_ = ~std::uint64_t{0};
    std::uint64_t max_ = 0;
};

/// `Count` bounds what one bucket can hold.
template <class Count>
class basic_histogram_cells {
  public:
    // Relaxed throughout: one writer at a time, handed over with what it measures, and readers want
    // numbers.
    void record(std::uint64_t ns) noexcept {
        std::atomic<Count>& count = counts_[histogram::bucket_of(ns)];
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        if (ns < min_.load(std::memory_order_relaxed)) {
            min_.store(ns, std::memory_order_relaxed);
        }
        if (ns > max_.load(std::memory_order_relaxed)) {
            max_.store(ns, std::memory_order_relaxed);
        }
    }
    /// As record(), by any number of threads at once.
    void record_shared(std::uint64_t ns) noexcept {
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
    [[nodiscard]] std::uint64_t count(std::size_t bucket) const noexcept {
        return counts_[bucket].load(std::memory_order_relaxed);
    }
    void clear() noexcept {
        for (auto& count : counts_) {
            count.store(0, std::memory_order_relaxed);
        }
        min_.store(~std::uint64_t{0}, std::memory_order_relaxed);
        max_.store(0, std::memory_order_relaxed);
    }
    [[nodiscard]] histogram snapshot() const noexcept {
        histogram out;
        const std::uint64_t low = min_.load(std::memory_order_relaxed);
        const std::uint64_t high = max_.load(std::memory_order_relaxed);
        for (std::size_t i = 0; i < histogram::buckets; ++i) {
            if (const Count n = counts_[i].load(std::memory_order_relaxed); n != 0) {
                out.add(i, n, low, high);
            }
        }
        return out;
    }

  private:
    std::array<std::atomic<Count>, histogram::buckets> counts_{};
    std::atomic<std::uint64_t> min_{~std::uint64_t{0}};
    std::atomic<std::uint64_t> max_{0};
};
using histogram_cells = basic_histogram_cells<std::uint32_t>;

}  // namespace ropeway
