// SPDX-License-Identifier: Apache-2.0
//
// What a publisher's rescue keeps for one subscription that fell a ring behind: critical events in
// a bounded backlog, and the latest event of every conflation key. One store per (subscription,
// publisher). Owned by the publisher, made when a subscription joins.
//
// Writers: the ring's own publisher, under the rescue bit of the cursor. Reader: the worker that
// holds the subscription. Events lie in slots of the dispatcher's pool of kept events.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/dispatcher/ring.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/slot.hpp>

namespace ropeway::detail {

class engine;
struct subscription_core;

/// An event out of its ring.
struct kept_event {
    slot_ref slot{};
    std::uint64_t sequence = 0;
    std::uint64_t oldest = 0;  ///< sequence of the first one folded into it; conflated events only
    std::uint64_t position = 0;  ///< in its ring; conflated events only
    std::uint32_t key = 0;       ///< cell of its conflation key; conflated events only
};

/// Critical events in order. One producer, one consumer.
class backlog {
  public:
    /// `capacity`: a power of two.
    explicit backlog(std::uint32_t capacity)
        : mask_(capacity - 1), places_(std::make_unique<kept_event[]>(capacity)) {}

    /// False: full.
    [[nodiscard]] bool push(const kept_event& event) noexcept {
        const std::uint64_t at = back_.load(std::memory_order_relaxed);  // relaxed: our own
        if (at - front_.load(std::memory_order_acquire) > mask_) {       // pairs with pop()
            return false;
        }
        places_[at & mask_] = event;
        back_.store(at + 1, std::memory_order_release);  // pairs with empty(): the place is filled
        return true;
    }
    [[nodiscard]] bool full() const noexcept { return size() > mask_; }
    [[nodiscard]] bool empty() const noexcept {
        return front_.load(std::memory_order_relaxed) ==  // relaxed: the consumer's own
               back_.load(std::memory_order_acquire);     // pairs with push()
    }
    /// The oldest. Not of an empty one.
    [[nodiscard]] const kept_event& front() const noexcept {
        return places_[front_.load(std::memory_order_relaxed) & mask_];  // relaxed: our own
    }
    void pop() noexcept {
        // Release pairs with push(): our copy of the place is over.
        front_.store(front_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    /// From any thread: a number.
    [[nodiscard]] std::uint64_t size() const noexcept {
        // Acquire on both: never more than there ever were.
        const std::uint64_t front = front_.load(std::memory_order_acquire);
        return back_.load(std::memory_order_acquire) - front;
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

  private:
    std::uint64_t mask_;
    std::unique_ptr<kept_event[]> places_;
    alignas(cache_block) atomic<std::uint64_t> front_{0};
    alignas(cache_block) atomic<std::uint64_t> back_{0};
};

/// One cell per conflation key, each empty or with the latest event of its key. The publisher folds
/// a newer event into a cell's slot; whoever exchanged a cell for empty owns its slot.
class conflation_table {
  public:
    explicit conflation_table(std::uint32_t keys);

    // The publisher.
    static constexpr std::uint32_t no_cell = ~std::uint32_t{0};
    /// The cell of a key, given one at its first event; no_cell when all are given away.
    [[nodiscard]] std::uint32_t cell_of(std::uint64_t key) noexcept;
    /// Takes what is in a cell; 0: nothing.
    [[nodiscard]] std::uint64_t take(std::uint32_t cell) noexcept {
        // acq_rel: whoever gets it sees the slot as its last writer left it.
        return cells_[cell].exchange(0, std::memory_order_acq_rel);
    }
    /// Leaves an event in a cell that we have taken empty.
    void keep(std::uint32_t cell, std::uint64_t position, std::uint32_t slot) noexcept {
        // Release pairs with take(): the slot's content is visible.
        cells_[cell].store(of(position, slot), std::memory_order_release);
        dirty_[cell / 64].fetch_or(std::uint64_t{1} << (cell % 64), std::memory_order_release);
    }

    // The worker.
    /// Takes every cell that was filled since the last call, and tells `got(cell, content)`.
    template <class Got>
    void take_all(Got&& got) noexcept {
        for (std::uint32_t word = 0; word < words_; ++word) {
            if (dirty_[word].load(std::memory_order_relaxed) == 0) {  // relaxed: the exchange tells
                continue;
            }
            // acq_rel: the bit first, then the cell: one filled in between sets the bit again.
            std::uint64_t bits = planted(planted_bug::cell_before_bit)
                                     ? dirty_[word].load(std::memory_order_acquire)
                                     : dirty_[word].exchange(0, std::memory_order_acq_rel);
            for (; bits != 0; bits &= bits - 1) {
                const auto cell = word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(bits));
                if (const std::uint64_t content = take(cell); content != 0) {
                    got(cell, content);
                }
            }
            if (planted(planted_bug::cell_before_bit)) {
                dirty_[word].store(0, std::memory_order_release);
            }
        }
    }

    /// {position:40, slot + 1:24}
    [[nodiscard]] static constexpr std::uint64_t of(std::uint64_t position,
                                                    std::uint32_t slot) noexcept {
        return position << 24U | (slot + 1);
    }
    [[nodiscard]] static constexpr std::uint32_t slot(std::uint64_t content) noexcept {
        return static_cast<std::uint32_t>(content & 0xFFFFFFU) - 1;
    }
    /// The full position, given one less than 2^39 away.
    [[nodiscard]] static constexpr std::uint64_t position(std::uint64_t content,
                                                          std::uint64_t near) noexcept {
        const std::uint64_t low = content >> 24U;
        const auto ahead = static_cast<std::int64_t>((low - near) << 24U) >> 24U;
        return near + static_cast<std::uint64_t>(ahead);
    }
    [[nodiscard]] std::uint32_t keys() const noexcept { return keys_; }
    [[nodiscard]] std::size_t bytes() const noexcept;

  private:
    std::uint32_t keys_;
    std::uint32_t words_;
    std::uint32_t used_ = 0;
    std::vector<std::uint64_t> hashed_keys_;   ///< the publisher's, as the next
    std::vector<std::uint32_t> hashed_cells_;  ///< cell + 1; 0 = free
    std::unique_ptr<atomic<std::uint64_t>[]> cells_;
    std::unique_ptr<atomic<std::uint64_t>[]> dirty_;
};

/// See the file's head.
struct rescue_store {
    explicit rescue_store(std::uint32_t backlog_capacity) : critical(backlog_capacity) {}

    backlog critical;
    std::unique_ptr<conflation_table> table{};  ///< null unless the subscription conflates

    // The publisher's counts.
    counter_cell folded;      ///< events that a newer one of their key replaced
    counter_cell no_cell;     ///< lost: more keys than the table has cells
    counter_cell no_slot;     ///< lost: the pool of kept events was empty
    counter_cell backlogged;  ///< critical events that went through the backlog
    counter_cell high_water;  ///< most of them at once
    std::array<counter_cell, max_event_kinds> folded_by_kind{};

    // Whoever holds the subscription: conflated events out of their cells, those before `ready` in
    // order and all before the cursor that was looked at.
    std::vector<kept_event> taken{};
    std::size_t head = 0;
    std::size_t ready = 0;
    std::uint64_t told_folded = 0;  ///< in stream
    counter_cell folded_late;       ///< folded by the worker, beside `folded`
    std::array<counter_cell, max_event_kinds> folded_late_by_kind{};

    /// Once every event ready before is delivered, clears the block's flag and takes what the cells
    /// hold; events at or behind `cursor`, which a rescue is still walking over, wait for the next
    /// call. Recycles those that stand for none with a sequence before `end`, where a drain ends.
    void gather(cursor_block& block, std::uint64_t cursor, std::uint64_t end,
                const subscription_core& sub, engine& owner) noexcept;
    /// The same for the backlog: clears the flag, and recycles those from `end` on.
    void gather_critical(cursor_block& block, std::uint64_t end, const subscription_core& sub,
                         engine& owner) noexcept;
    /// The flag first, then the store: what is kept after this sets it again.
    static void clear(cursor_block& block) noexcept {
        // acq_rel: pairs with rescue(), and our look at the store stays behind it.
        static_cast<void>(block.kept.exchange(0, std::memory_order_acq_rel));
    }
    /// True when events out of their cells, or in the backlog, wait for the worker.
    [[nodiscard]] bool left(ring_class c) const noexcept {
        return c == ring_class::critical ? !critical.empty() : head != taken.size();
    }
    /// Sequence of the first of them; 0 = none.
    [[nodiscard]] std::uint64_t first_left(ring_class c) const noexcept {
        if (!left(c)) {
            return 0;
        }
        return c == ring_class::critical ? critical.front().sequence : taken[head].sequence;
    }
    /// Recycles all conflated events, whose publisher keeps no more; how many stand for one with a
    /// sequence before `end`. Counts those by kind, too, unless `missed` is null.
    using missed_counts = std::array<counter_cell, max_event_kinds>;
    std::uint64_t discard_conflated(std::uint64_t end, const subscription_core& sub, engine& owner,
                                    missed_counts* missed = nullptr) noexcept;
    /// Before a subscription joins.
    void begin(std::uint32_t conflation_keys);
    /// For one that begins to conflate; keeps the one it has. Before its publisher knows.
    void make_table(std::uint32_t conflation_keys);
    [[nodiscard]] std::size_t bytes() const noexcept {
        return sizeof(rescue_store) + critical.capacity() * sizeof(kept_event) +
               (table == nullptr ? 0 : table->bytes() + table->keys() * sizeof(kept_event));
    }

  private:
    void take_from_cells(std::uint64_t cursor, const subscription_core& sub,
                         engine& owner) noexcept;
    void drop_behind(std::uint64_t end, const subscription_core& sub, engine& owner) noexcept;
};

}  // namespace ropeway::detail
