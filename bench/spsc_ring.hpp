// SPDX-License-Identifier: Apache-2.0
//
// The reference ring: one producer, one consumer, elements by value. Each side keeps a copy of the
// other's index and looks at the shared one only when the copy says full or empty; the indices and
// their copies stand in blocks of their own. Owned by the benchmark that makes it.
//
// Invariants
//  1. Only the producer writes tail_, only the consumer head_; both only grow.
//  2. tail_ - head_ <= Capacity: a place is written again only after its element was released.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <ropeway/pool/cache_line.hpp>

namespace ropeway::bench {

template <class T, std::size_t Capacity>
class spsc_ring {
    static_assert((Capacity & (Capacity - 1)) == 0, "a mask instead of a division");

  public:
    /// Producer: the next free place, or null when the ring is full.
    [[nodiscard]] T* try_reserve() noexcept {
        if (tail_here_ - head_seen_ == Capacity) {
            // Acquire pairs with release(): the consumer is done with the place.
            head_seen_ = head_.load(std::memory_order_acquire);
            if (tail_here_ - head_seen_ == Capacity) {
                return nullptr;
            }
        }
        return &places_[tail_here_ & (Capacity - 1)];
    }
    /// Producer: shows the reserved place, filled meanwhile.
    void commit() noexcept {
        // Release pairs with front(): the element is visible.
        tail_.store(++tail_here_, std::memory_order_release);
    }

    /// Consumer: the oldest element, or null when the ring is empty.
    [[nodiscard]] T* front() noexcept {
        if (head_here_ == tail_seen_) {
            // Acquire pairs with commit(): the elements before the tail are visible.
            tail_seen_ = tail_.load(std::memory_order_acquire);
            if (head_here_ == tail_seen_) {
                return nullptr;
            }
        }
        return &places_[head_here_ & (Capacity - 1)];
    }
    /// Consumer: gives the place of front() back.
    void release() noexcept {
        // Release pairs with try_reserve(): our reads of the element are over.
        head_.store(++head_here_, std::memory_order_release);
    }

  private:
    // Shared, written by the producer.
    alignas(cache_block) std::atomic<std::uint64_t> tail_{0};
    // Shared, written by the consumer.
    alignas(cache_block) std::atomic<std::uint64_t> head_{0};
    // Private to the producer.
    alignas(cache_block) std::uint64_t tail_here_ = 0;
    std::uint64_t head_seen_ = 0;
    // Private to the consumer.
    alignas(cache_block) std::uint64_t head_here_ = 0;
    std::uint64_t tail_seen_ = 0;

    alignas(cache_block) std::array<T, Capacity> places_{};
};

}  // namespace ropeway::bench
