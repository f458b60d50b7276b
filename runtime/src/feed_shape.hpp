// SPDX-License-Identifier: Apache-2.0
//
// Private: the numbers that make generated bursts look like recorded ones. Constants and pure
// integer functions, so that a seed gives the same feed on every machine.
//
// The model, fitted to statistics of two recordings (60 s of MIAX options, 345 s of a Binance
// future): a second has an activity a; each of its milliseconds is busy with probability p * a and
// then holds size * a messages. a * a is thus the second's rate over the mean rate. In both
// recordings the busiest second (5.6 and 9 times the mean) has about sqrt(5.6) and sqrt(9) times
// as many busy milliseconds, and as much larger ones, which is why one factor serves both. Sizes
// and activities are drawn from tables of quantiles, since no textbook tail fitted both ends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <ropeway/runtime/feed_generated.hpp>

namespace ropeway {

/// One point of a table: below `part` (of 65536 equal parts) values are up to `value`.
struct quantile {
    std::uint32_t part = 0;
    std::uint32_t value = 0;
};

/// The value at `part`, between the points on a straight line.
[[nodiscard]] constexpr std::uint32_t value_at(std::span<const quantile> table,
                                               std::uint32_t part) noexcept {
    for (std::size_t i = 1; i < table.size(); ++i) {
        const auto& low = table[i - 1];
        const auto& high = table[i];
        if (part < high.part) {
            const auto rise = std::uint64_t{high.value - low.value} * (part - low.part);
            return low.value + static_cast<std::uint32_t>(rise / (high.part - low.part));
        }
    }
    return table.back().value;
}

/// Quantiles in thousandths of a percent, for tables that people can read.
[[nodiscard]] constexpr quantile at(std::uint32_t hundred_thousandths,
                                    std::uint32_t value) noexcept {
    return {static_cast<std::uint32_t>(std::uint64_t{hundred_thousandths} * 65536 / 100'000),
            value};
}

struct shape_numbers {
    std::span<const quantile> activity;      ///< of a second, thousandths
    std::span<const quantile> size;          ///< of a busy millisecond, thousandths of a message
    std::uint32_t busy_per_million = 0;      ///< milliseconds that are busy at activity 1
    std::uint32_t largest = 0;               ///< messages in an ordinary busy millisecond
    std::uint32_t peak = 0;                  ///< messages of the one peak burst, within 1 ms
    std::uint32_t peak_first_second = 0;     ///< the second in which it comes first
    std::uint32_t peak_every_seconds = 0;    ///< and then again
    std::uint32_t same_stamp_per_mille = 0;  ///< messages that share the stamp of the one before
};

inline constexpr std::array miax_activity{at(0, 440),       at(10'000, 540),  at(25'000, 690),
                                          at(50'000, 845),  at(75'000, 1080), at(90'000, 1420),
                                          at(95'000, 1800), at(98'000, 2000), at(100'000, 2450)};
inline constexpr std::array miax_size{at(0, 1000),        at(25'000, 1000),   at(45'000, 1450),
                                      at(60'000, 2500),   at(70'000, 3600),   at(80'000, 5500),
                                      at(90'000, 10500),  at(95'000, 18500),  at(98'000, 31000),
                                      at(99'000, 41000),  at(99'500, 57000),  at(99'800, 80000),
                                      at(99'900, 105000), at(99'990, 220000), at(100'000, 312000)};
inline constexpr std::array binance_activity{
    at(0, 300),       at(10'000, 580),  at(25'000, 680),  at(50'000, 850),  at(75'000, 1090),
    at(90'000, 1370), at(95'000, 1580), at(98'000, 1900), at(99'000, 2300), at(100'000, 3050)};
inline constexpr std::array binance_size{
    at(0, 1000),       at(55'000, 1000),  at(68'000, 1500),   at(80'000, 2200),  at(90'000, 3800),
    at(95'000, 7000),  at(98'000, 12500), at(99'000, 18000),  at(99'500, 27000), at(99'800, 46000),
    at(99'900, 58000), at(99'990, 90000), at(100'000, 130000)};

/// A peak burst is a rare event in the recordings (one in 60 s and in 345 s); here it comes early
/// and on time, so that a run of 20 s has one.
[[nodiscard]] constexpr shape_numbers numbers_of(burst_shape shape) noexcept {
    if (shape == burst_shape::binance_futures) {
        return {binance_activity, binance_size, 118'000, 130, 180, 5, 60, 0};
    }
    return {miax_activity, miax_size, 170'000, 312, 420, 5, 60, 600};
}

/// splitmix64 (Steele, Lea, Flood 2014): any seed will do, the same numbers everywhere.
class feed_random {
  public:
    explicit constexpr feed_random(std::uint64_t seed) noexcept : state_(seed) {}
    constexpr std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15U;
        std::uint64_t z = state_;
        z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
        z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
        return z ^ (z >> 31U);
    }
    /// Below `bound`, which is at least 1.
    constexpr std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>(((next() >> 32U) * bound) >> 32U);
    }

  private:
    std::uint64_t state_;
};

}  // namespace ropeway
