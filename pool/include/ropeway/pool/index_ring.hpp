// SPDX-License-Identifier: Apache-2.0
//
// A bounded FIFO of small numbers for any number of producers and consumers, lock-free: a thread
// that stops in the middle of an operation keeps nobody else from finishing theirs. Owned by a
// depot. Allocates in its constructor only.
//
// Invariants
//  1. A cell is {lap, value}; {l, empty} waits for the push of lap l, {l, v} for its pop, which
//     leaves {l + 1, empty}.
//  2. Position p is pushed (popped) by the CAS on cell p % size with lap p / size; tail and head
//     only follow, moved by whoever sees that the cell is ahead of them.
//  3. {lap(p), empty} with p read from tail before implies tail == p: nobody pushes out of order.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <ropeway/pool/cache_line.hpp>

namespace ropeway {

class index_ring {
  public:
    static constexpr std::uint32_t empty = 0xFFFF'FFFF;

    /// A ring for `capacity` numbers, rounded up to a power of two.
    explicit index_ring(std::size_t capacity)
        : mask_(std::bit_ceil(capacity) - 1),
          shift_(static_cast<unsigned>(std::countr_zero(mask_ + 1))),
          cells_(std::make_unique<std::atomic<std::uint64_t>[]>(mask_ + 1)) {
        for (std::size_t i = 0; i <= mask_; ++i) {
            cells_[i].store(pack(0, empty), std::memory_order_relaxed);  // not yet shared
        }
    }

    /// Any thread. @return false if the ring is full.
    [[nodiscard]] bool push(std::uint32_t value) noexcept {
        // acquire: pairs with the release of whoever moved tail, so that the cell's lap is current
        std::uint64_t at = tail_.load(std::memory_order_acquire);
        for (;;) {
            std::atomic<std::uint64_t>& cell = cells_[at & mask_];
            // acquire: pairs with pop's CAS (the place is free) or push's CAS (help it)
            std::uint64_t seen = cell.load(std::memory_order_acquire);
            const auto ahead = static_cast<std::int32_t>(lap(seen) - lap_of(at));
            if (ahead == 0 && value_in(seen) == empty) {
                // release: pairs with pop's load: what `value` stands for becomes visible
                if (cell.compare_exchange_strong(seen, pack(lap_of(at), value),
                                                 std::memory_order_release,
                                                 std::memory_order_relaxed)) {
                    follow(tail_, at);
                    return true;
                }
            } else if (ahead < 0) {
                return false;
            } else {
                follow(tail_, at);
            }
            at = tail_.load(std::memory_order_acquire);  // as above
        }
    }

    /// Any thread. @return the oldest number, or `empty`.
    [[nodiscard]] std::uint32_t pop() noexcept {
        // acquire: pairs with the release of whoever moved head, so that the cell's lap is current
        std::uint64_t at = head_.load(std::memory_order_acquire);
        for (;;) {
            std::atomic<std::uint64_t>& cell = cells_[at & mask_];
            // acquire: pairs with push's CAS: what the value stands for is visible
            std::uint64_t seen = cell.load(std::memory_order_acquire);
            const auto ahead = static_cast<std::int32_t>(lap(seen) - lap_of(at));
            if (ahead == 0 && value_in(seen) != empty) {
                const std::uint32_t value = value_in(seen);
                // acq_rel: release pairs with the push of the next lap: the place is free
                if (cell.compare_exchange_strong(seen, pack(lap_of(at) + 1, empty),
                                                 std::memory_order_acq_rel,
                                                 std::memory_order_relaxed)) {
                    follow(head_, at);
                    return value;
                }
            } else if (ahead <= 0) {
                return empty;
            } else {
                follow(head_, at);
            }
            at = head_.load(std::memory_order_acquire);  // as above
        }
    }

    /// Numbers in the ring, exact while nobody pushes or pops.
    [[nodiscard]] std::size_t approx_size() const noexcept {
        // relaxed (both): a number for a report
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        return tail > head ? static_cast<std::size_t>(tail - head) : 0;
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

  private:
    [[nodiscard]] static constexpr std::uint64_t pack(std::uint32_t l, std::uint32_t v) noexcept {
        return (std::uint64_t{l} << 32) | v;
    }
    [[nodiscard]] static constexpr std::uint32_t lap(std::uint64_t cell) noexcept {
        return static_cast<std::uint32_t>(cell >> 32);
    }
    [[nodiscard]] static constexpr std::uint32_t value_in(std::uint64_t cell) noexcept {
        return static_cast<std::uint32_t>(cell);
    }
    [[nodiscard]] std::uint32_t lap_of(std::uint64_t position) const noexcept {
        return static_cast<std::uint32_t>(position >> shift_);
    }
    static void follow(std::atomic<std::uint64_t>& end, std::uint64_t from) noexcept {
        // release: pairs with the acquire loads of tail and head above; failing means that somebody
        // else moved it, which is as good (relaxed: it is read again)
        end.compare_exchange_strong(from, from + 1, std::memory_order_release,
                                    std::memory_order_relaxed);
    }

    const std::size_t mask_;
    const unsigned shift_;
    const std::unique_ptr<std::atomic<std::uint64_t>[]> cells_;
    alignas(cache_block) std::atomic<std::uint64_t> tail_{0};  ///< producers
    alignas(cache_block) std::atomic<std::uint64_t> head_{0};  ///< consumers
};

}  // namespace ropeway
