// SPDX-License-Identifier: Apache-2.0
//
// Nanoseconds in log-linear buckets: 32 to each power of two, so a percentile is at most 3.2 % too
// high. Fixed memory, no allocation; one writer; merged when the writers have ended.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ropeway::soak {

class latency_histogram {
  public:
    void record(std::uint64_t ns) noexcept {
        ++buckets_[index(ns)];
        ++count_;
        max_ = std::max(max_, ns);
    }
    void merge(const latency_histogram& other) noexcept {
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            buckets_[i] += other.buckets_[i];
        }
        count_ += other.count_;
        max_ = std::max(max_, other.max_);
    }
    /// The smallest bucket end below which at least `share` (0..1) of the values lie; 0 if empty.
    [[nodiscard]] std::uint64_t percentile(double share) const noexcept {
        const double wanted = share * static_cast<double>(count_);
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            sum += buckets_[i];
            if (sum != 0 && static_cast<double>(sum) >= wanted) {
                return std::min(upper(i), max_);
            }
        }
        return max_;
    }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }

  private:
    static constexpr unsigned sub_bits = 5;
    static constexpr std::uint64_t sub_buckets = std::uint64_t{1} << sub_bits;

    [[nodiscard]] static std::size_t index(std::uint64_t ns) noexcept {
        if (ns < sub_buckets) {
            return static_cast<std::size_t>(ns);
        }
        const auto shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - sub_bits;
        return static_cast<std::size_t>((std::uint64_t{shift} << sub_bits) + (ns >> shift));
    }
    /// The largest value of a bucket.
    [[nodiscard]] static std::uint64_t upper(std::size_t i) noexcept {
        if (i < 2 * sub_buckets) {
            return i;
        }
        const std::uint64_t shift = (i >> sub_bits) - 1;
        const std::uint64_t top = (i & (sub_buckets - 1)) + sub_buckets;
        return (top << shift) + ((std::uint64_t{1} << shift) - 1);
    }

    std::array<std::uint64_t, (64 - sub_bits + 1) * sub_buckets> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace ropeway::soak
