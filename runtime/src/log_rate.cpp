// SPDX-License-Identifier: Apache-2.0
#include "log_rate.hpp"

#include <limits>

namespace ropeway::detail {
namespace {

/// FNV-1a; never 0, which marks a free bucket.
std::uint64_t hash_of(std::string_view key) noexcept {
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : key) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    }
    return hash == 0 ? 1 : hash;
}

}  // namespace

log_rate::bucket& log_rate::find(std::uint64_t hash) noexcept {
    const std::size_t home = static_cast<std::size_t>(hash ^ (hash >> 32)) % buckets;
    for (std::size_t i = 0; i < probes; ++i) {
        bucket& at = table_[(home + i) % buckets];
        // Relaxed: the key guards nothing but itself.
        std::uint64_t key = at.key.load(std::memory_order_relaxed);
        // Relaxed on both: as above; whoever loses sees the winner's key in `key`.
        if (key == 0 && at.key.compare_exchange_strong(key, hash, std::memory_order_relaxed,
                                                       std::memory_order_relaxed)) {
            return at;
        }
        if (key == hash) {
            return at;
        }
    }
    return table_[home];
}

log_rate::decision log_rate::admit(std::string_view key, std::int64_t now_ns) noexcept {
    const auto window = static_cast<std::uint32_t>(now_ns / window_ns_);
    std::atomic<std::uint64_t>& state = find(hash_of(key)).state;
    std::uint64_t old = state.load(std::memory_order_relaxed);  // the swap below re-checks it
    for (;;) {
        const auto used = static_cast<std::uint32_t>(old);
        const auto ahead =
            static_cast<std::int32_t>(window - static_cast<std::uint32_t>(old >> 32));
        // A thread that read the clock just before the window turned counts in the new one; a
        // clock that was set back further opens a window.
        const bool same = ahead == 0 || ahead == -1;
        decision result{true, 0};
        std::uint64_t next = (std::uint64_t{window} << 32) | 1;
        if (same) {
            result.pass = used < burst_;
            next = used == std::numeric_limits<std::uint32_t>::max() ? old : old + 1;
        } else if (used > burst_) {
            result.suppressed = used - burst_;
        }
        // Relaxed on both: the word is all that is shared (invariant 2).
        if (state.compare_exchange_weak(old, next, std::memory_order_relaxed,
                                        std::memory_order_relaxed)) {
            return result;
        }
    }
}

}  // namespace ropeway::detail
