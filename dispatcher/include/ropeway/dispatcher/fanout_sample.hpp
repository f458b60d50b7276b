// SPDX-License-Identifier: Apache-2.0
//
// One in 64 events is timed from its publish to its last handler. The publisher opens a sample and
// closes it when its place is needed again; the workers whose handlers it reached add to it.
#pragma once

#include <atomic>
#include <cstdint>

#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/cache_line.hpp>

namespace ropeway::detail {

class alignas(cache_block) fanout_sample {
  public:
    static constexpr std::uint64_t every = 64;
    static constexpr std::uint64_t places = 64;  ///< samples open at once, per publisher

    [[nodiscard]] static constexpr bool is_sampled(std::uint64_t sequence) noexcept {
        return sequence % every == 0;
    }
    /// The first sampled sequence that is not lower.
    [[nodiscard]] static constexpr std::uint64_t next_sampled(std::uint64_t sequence) noexcept {
        return (sequence + every - 1) / every * every;
    }

    /// What the workers said since it was opened. Ticks.
    struct result {
        std::uint64_t span = 0;   ///< publish to the end of the last handler
        std::uint64_t work = 0;   ///< all handlers together
        std::uint32_t count = 0;  ///< handlers
    };
    /// The publisher: ends what was open, begins another. A worker that is late by thousands of
    /// events finds another sequence and adds nothing, or adds to the wrong one, once in a while.
    result reopen(std::uint64_t sequence, std::uint64_t now) noexcept {
        result out;
        // Relaxed: our own; acquire pairs with handled().
        const std::uint64_t published = published_.load(std::memory_order_relaxed);
        out.count = count_.load(std::memory_order_acquire);
        out.work = work_.load(std::memory_order_relaxed);
        const std::uint64_t last = last_.load(std::memory_order_relaxed);
        out.span = last > published ? last - published : 0;
        sequence_.store(0, std::memory_order_relaxed);  // relaxed: the release below
        count_.store(0, std::memory_order_relaxed);
        work_.store(0, std::memory_order_relaxed);
        last_.store(0, std::memory_order_relaxed);
        published_.store(now, std::memory_order_relaxed);
        sequence_.store(sequence, std::memory_order_release);  // pairs with published()
        return out;
    }
    /// Ticks; 0: another event's by now.
    [[nodiscard]] std::uint64_t published(std::uint64_t sequence) const noexcept {
        // Acquire pairs with reopen().
        return sequence_.load(std::memory_order_acquire) == sequence
                   ? published_.load(std::memory_order_relaxed)  // relaxed: ordered by the sequence
                   : 0;
    }
    void handled(std::uint64_t sequence, std::uint64_t took, std::uint64_t end) noexcept {
        if (sequence_.load(std::memory_order_acquire) != sequence) {  // as in published()
            return;
        }
        // Relaxed: the count's release orders them.
        work_.fetch_add(took, std::memory_order_relaxed);
        std::uint64_t last = last_.load(std::memory_order_relaxed);
        while (last < end && !last_.compare_exchange_weak(last, end, std::memory_order_relaxed,
                                                          std::memory_order_relaxed)) {
        }
        count_.fetch_add(1, std::memory_order_release);  // pairs with reopen()
    }

  private:
    atomic<std::uint64_t> sequence_{0};
    atomic<std::uint64_t> published_{0};
    atomic<std::uint64_t> work_{0};
    atomic<std::uint64_t> last_{0};
    atomic<std::uint32_t> count_{0};
};

}  // namespace ropeway::detail
