// SPDX-License-Identifier: Apache-2.0
//
// Rate limit per message: at most `burst` records per window and key. A fixed table of words, no
// lock, no allocation; any thread. Time is an argument. Private.
//
// Invariants:
//  1. A bucket's key is written once, from 0, and never changes.
//  2. A bucket's state is one word {window, used}: a decision is one compare-and-swap, so of each
//     window exactly `burst` records pass, and what was refused is told once, by the record that
//     opens the next window.
//  3. When a key finds no bucket of its own it shares the one at its home place: limited with
//     strangers rather than not at all.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ropeway::detail {

class log_rate {
  public:
    struct decision {
        bool pass = false;
        std::uint64_t suppressed = 0;  ///< refused in the window before, when this one opens
    };

    log_rate(std::uint32_t burst, std::chrono::nanoseconds window) noexcept
        : burst_(burst), window_ns_(window.count()) {}

    [[nodiscard]] decision admit(std::string_view key, std::int64_t now_ns) noexcept;

  private:
    struct bucket {
        std::atomic<std::uint64_t> key{0};    ///< hash; 0 = free
        std::atomic<std::uint64_t> state{0};  ///< {window : 32, used : 32}
    };
    static constexpr std::size_t buckets = 1024;
    static constexpr std::size_t probes = 8;
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

    [[nodiscard]] bucket& find(std::uint64_t hash) noexcept;

    std::uint32_t burst_;     ///< constant after construction
    std::int64_t window_ns_;  ///< constant after construction
    std::array<bucket, buckets> table_{};
};

}  // namespace ropeway::detail
