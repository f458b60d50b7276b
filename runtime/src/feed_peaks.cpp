// SPDX-License-Identifier: Apache-2.0
//
// Sliding windows of 1 ms and 1 s over one queue of stamps.
#include <ropeway/runtime/feed_peaks.hpp>

#include <algorithm>

namespace ropeway {

void burst_meter::add(std::int64_t receive_ns) {
    constexpr std::int64_t one_ms = 1'000'000;
    constexpr std::int64_t one_second = 1'000'000'000;
    if (events_ == 0) {
        first_ = receive_ns;
    }
    last_ = receive_ns;
    ++events_;
    second_.push_back(receive_ns);
    while (second_.front() <= receive_ns - one_second || second_.size() > max_stamps_) {
        second_.pop_front();
        ms_begin_ -= ms_begin_ > 0 ? 1U : 0U;
        if (second_.empty()) {
            return;
        }
    }
    while (second_[ms_begin_] <= receive_ns - one_ms) {
        ++ms_begin_;
    }
    peak_s_ = std::max<std::uint64_t>(peak_s_, second_.size());
    peak_ms_ = std::max<std::uint64_t>(peak_ms_, second_.size() - ms_begin_);
}

}  // namespace ropeway
