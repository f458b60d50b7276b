// SPDX-License-Identifier: Apache-2.0
//
// How bursty a stream of stamps is: the largest number of events in any window of 1 ms and of 1 s.
// A tool for tests, reports and sizing; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace ropeway {

/// Sliding windows over receive stamps that do not fall.
///
/// Thread safety: none. Allocation: with the busiest second, up to 8 bytes x max_stamps.
class burst_meter {
  public:
    /// @param max_stamps bound of what is kept of one second; peaks above it read as it.
    explicit burst_meter(std::size_t max_stamps = std::size_t{1} << 20) noexcept
        : max_stamps_(max_stamps) {}

    void add(std::int64_t receive_ns);

    [[nodiscard]] std::uint64_t peak_in_1ms() const noexcept { return peak_ms_; }
    [[nodiscard]] std::uint64_t peak_in_1s() const noexcept { return peak_s_; }
    [[nodiscard]] std::uint64_t events() const noexcept { return events_; }
    /// From the first stamp to the latest.
    [[nodiscard]] std::int64_t span_ns() const noexcept { return last_ - first_; }

  private:
    std::size_t max_stamps_;
    std::deque<std::int64_t> second_;  ///< stamps of the latest second
    std::size_t ms_begin_ = 0;         ///< index in second_ of the first stamp of the latest 1 ms
    std::uint64_t events_ = 0;
    std::uint64_t peak_ms_ = 0;
    std::uint64_t peak_s_ = 0;
    std::int64_t first_ = 0;
    std::int64_t last_ = 0;
};

}  // namespace ropeway
