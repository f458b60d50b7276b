// SPDX-License-Identifier: Apache-2.0
//
// The limit's ring: one producer, one worker that shows every element in place to all consumers
// before it lets the place go. Each side keeps a copy of the other's index; indices and copies
// stand in blocks of their own. Owned by the benchmark that makes it.
//
// Invariants
//  1. Only the producer writes tail_, only the worker head_; both only grow.
//  2. tail_ - head_ <= Capacity: a place is written again only after every consumer has seen it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/market_event.hpp>

namespace ropeway::bench {

template <std::size_t Capacity>
class one_ring {
    static_assert((Capacity & (Capacity - 1)) == 0, "a mask instead of a division");

  public:
    /// Producer: the next free place, or null when the ring is full.
    [[nodiscard]] market_event* try_reserve() noexcept {
        if (tail_here_ - head_seen_ == Capacity) {
            // Acquire pairs with release(): the consumers are done with the place.
            head_seen_ = head_.load(std::memory_order_acquire);
            if (tail_here_ - head_seen_ == Capacity) {
                return nullptr;
            }
        }
        return &places_[tail_here_ & (Capacity - 1)].event;
    }
    void commit() noexcept {
        // Release pairs with end(): the element is visible.
        tail_.store(++tail_here_, std::memory_order_release);
    }

    /// Worker: elements [begin(), end()) are to be shown.
    [[nodiscard]] std::uint64_t begin() const noexcept { return head_here_; }
    [[nodiscard]] std::uint64_t end() const noexcept {
        return tail_.load(std::memory_order_acquire);  // pairs with commit()
    }
    [[nodiscard]] const market_event& at(std::uint64_t position) const noexcept {
        return places_[position & (Capacity - 1)].event;
    }
    /// Worker: everything before `upto` was shown to everybody.
    void release(std::uint64_t upto) noexcept {
        head_here_ = upto;
        // Release pairs with try_reserve(): our reads of the elements are over.
        head_.store(upto, std::memory_order_release);
    }

  private:
    struct alignas(cache_block) place {
        market_event event;
    };
    static_assert(sizeof(place) == cache_block);

    alignas(cache_block) std::atomic<std::uint64_t> tail_{0};  // shared, the producer's
    alignas(cache_block) std::atomic<std::uint64_t> head_{0};  // shared, the worker's
    alignas(cache_block) std::uint64_t tail_here_ = 0;         // the producer's own
    std::uint64_t head_seen_ = 0;
    alignas(cache_block) std::uint64_t head_here_ = 0;  // the worker's own
    alignas(cache_block) std::array<place, Capacity> places_{};
};

}  // namespace ropeway::bench
