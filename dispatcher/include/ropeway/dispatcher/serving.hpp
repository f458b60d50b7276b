// SPDX-License-Identifier: Apache-2.0
//
// A worker's side of a ring, without the event type: looking at a cursor, taking a range or kept
// events, ending them, and sizing batches to the time slice. For whoever holds the subscription.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {

/// Positions [first, last) of a ring, taken by a worker.
struct taken_range {
    std::uint64_t cursor = 0;  ///< the word that was looked at, before anything else was
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t lost = 0;  ///< wanted events lost since the last delivery from this publisher
    std::uint64_t conflated = 0;  ///< likewise, replaced by newer ones of their key
    std::uint32_t lag = 0;
    /// Slot of each position, read before the range was claimed: from then on the publisher may
    /// put a spare into a pinned place.
    std::array<std::uint32_t, batch_size> slots;
    /// A bit for each position, from the first on: clear when the publisher's mask says that it is
    /// not for this subscription. Only for one that named instruments; else all are set.
    std::uint64_t wanted;
    /// False: `slots` says nothing of positions whose bit is clear.
    bool has_all_slots;

    [[nodiscard]] bool may_want(std::uint32_t i) const noexcept { return (wanted >> i & 1U) != 0; }
    /// The first position from there on whose bit is set; count() when there is none.
    [[nodiscard]] std::uint32_t next_wanted(std::uint32_t from) const noexcept {
        const std::uint64_t left = from < batch_size ? wanted >> from : 0;
        return left == 0
                   ? count()
                   : std::min(count(), from + static_cast<std::uint32_t>(std::countr_zero(left)));
    }
    [[nodiscard]] std::uint32_t count() const noexcept {
        return static_cast<std::uint32_t>(last - first);
    }
};

/// Committed market events of one publisher that a worker found by one look, and shows to all
/// subscriptions that stand before them. Nobody took them: each moves its own cursor.
struct shared_range {
    publisher_core* from = nullptr;
    const ring* places = nullptr;
    cursor_block* cursors = nullptr;  ///< the ring's, by subscription
    std::uint64_t changes = 0;        ///< engine::changes() before the tail was read
    std::uint64_t first = 0;          ///< position
    std::uint32_t count = 0;
    std::uint32_t lag = 0;  ///< committed behind them
    std::array<const void*, batch_size> events;
    std::array<std::uint64_t, batch_size> sequences;
    // What they are, from `surveyed` on. Only whoever holds a subscription that stands there may
    // look: what lies before it may be overwritten by now.
    std::uint32_t surveyed = batch_size;
    std::uint32_t kinds = 0;                          ///< of any of them, as kind_set::bits()
    std::uint64_t least_version = ~std::uint64_t{0};  ///< of any of them
    std::uint32_t watched_after = batch_size;         ///< where next_watched() was asked last
    std::uint32_t watched = 0;                        ///< and what it said
    // Their masks, turned, once somebody asked.
    bool turned = false;
    std::array<std::uint64_t, max_live_subscriptions> rows;
    // Duplicates that one subscription after the other gets filled anew. The worker's.
    std::uint32_t held = 0;
    [[nodiscard]] slot_ref* duplicates() noexcept {
        return std::launder(reinterpret_cast<slot_ref*>(room.data()));
    }
    [[nodiscard]] const slot_ref* duplicates() const noexcept {
        return std::launder(reinterpret_cast<const slot_ref*>(room.data()));
    }
    /// As bytes, because references would be cleared for each look.
    alignas(slot_ref) std::array<std::byte, batch_size * sizeof(slot_ref)> room;
    void (*give_back)(engine&, shared_range&) noexcept = nullptr;  ///< set by whoever takes some

    /// False: something is to be asked about before the next handler.
    [[nodiscard]] bool unchanged(const engine& owner) const noexcept {
        return owner.changes() == changes;
    }
    /// A bit for each: clear when the publisher's mask says that it is not for that subscription.
    /// Of one that named instruments.
    [[nodiscard]] std::uint64_t wanted_by(std::uint32_t number) noexcept;
    /// The first from there on that is sampled or awaited, or count. For whoever holds a
    /// subscription that stands there or before.
    [[nodiscard]] std::uint32_t next_watched(std::uint32_t begin) noexcept {
        if (begin >= count) {
            return count;
        }
        if (watched_after != begin) {
            watched_after = begin;
            const std::uint64_t sequence = from->watched_from(sequences[begin]);
            watched = static_cast<std::uint32_t>(
                std::lower_bound(sequences.begin() + begin, sequences.begin() + count, sequence) -
                sequences.begin());
        }
        return watched;
    }
};

/// Looks at a cursor; false when it is closed, joining or in a rescue.
[[nodiscard]] bool look_at(const subscription_core& sub, const publisher_core& from, ring_class c,
                           taken_range& out) noexcept;

/// True when events of this ring may wait outside it. After look_at(): what a rescue kept before
/// that place is visible.
[[nodiscard]] bool kept_waits(const subscription_core& sub, const publisher_core& from,
                              ring_class c) noexcept;

/// Takes up to `limit` kept events into the empty inbox; false when there is none to deliver yet.
/// After look_at(), whose place bounds what may be delivered. Says in the context whether another
/// call may find more.
[[nodiscard]] bool take_kept(subscription_core& sub, publisher_core& from, ring_class c,
                             std::uint32_t limit, const taken_range& at,
                             serve_context& context) noexcept;

/// Looks for the first kept event that take_kept() would take. After look_at().
enum class first_kept : std::uint8_t { none, found, undecided };
[[nodiscard]] first_kept look_at_kept(subscription_core& sub, publisher_core& from, ring_class c,
                                      const taken_range& at, engine& owner,
                                      std::uint64_t& sequence) noexcept;

/// Chooses a range of at most `limit` positions from the place that look_at() saw, before the tail
/// and the sequence that the context names. Contended ranges are claimed (pin, then CAS) before
/// this returns, and with `pinned` all are; others keep their place until end_range().
[[nodiscard]] bool take_range(subscription_core& sub, publisher_core& from, ring_class c,
                              std::uint32_t limit, bool pinned, const serve_context& context,
                              taken_range& out) noexcept;

/// Ends a range: takes its pin off, or moves a cursor that kept its place.
void end_range(subscription_core& sub, publisher_core& from, ring_class c, bool pinned,
               std::uint64_t upto) noexcept;

/// Takes what is shown from an offset on, for a cursor that its publisher does not move: the pin is
/// set. False: a turn of its own is needed. end_shown() ends it.
[[nodiscard]] inline bool take_shown(subscription_core& sub, const shared_range& range,
                                     std::uint32_t at) noexcept {
    cursor_block& block = range.cursors[sub.number];
    const std::uint32_t count = range.count - at;
    // As in take_range().
    if (!planted(planted_bug::no_pin)) {
        block.pin.store(pin_word::of(range.first + at, count), std::memory_order_relaxed);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (block.left_behind.load(std::memory_order_relaxed) != cursor_block::kept_up) [[unlikely]] {
        block.pin.store(0, std::memory_order_release);
        return false;
    }
    if (count + range.lag > sub.high_water.get()) [[unlikely]] {
        sub.high_water.set(count + range.lag);
    }
    return true;
}

/// Ends what take_shown() took before an offset; the rest is there for the next look.
inline void end_shown(const subscription_core& sub, const shared_range& range,
                      std::uint32_t upto) noexcept {
    cursor_block& block = range.cursors[sub.number];
    // Release (both): as in end_range().
    block.pin.store(0, std::memory_order_release);
    block.cursor.store(cursor_word::at(range.first + upto), std::memory_order_release);
}

/// No other subscription may see the events of a range that was taken before: none lives, and one
/// that joins starts behind it.
[[nodiscard]] bool alone(const subscription_core& sub, const publisher_core& from) noexcept;

/// After how many handler calls a slice looks at the clock: each when handlers are long.
[[nodiscard]] std::uint32_t calls_between_looks(const subscription_core& sub,
                                                std::uint64_t slice_ticks) noexcept;

/// Counts the calling thread in and out of handlers: publish never waits inside one.
class handler_scope {
  public:
    handler_scope() noexcept { ++handler_depth(); }
    handler_scope(engine& owner, const subscription_core& sub) noexcept : handler_scope() {
        retaining() = {&owner, sub.site};
    }
    handler_scope(const handler_scope&) = delete;
    handler_scope& operator=(const handler_scope&) = delete;
    ~handler_scope() {
        --handler_depth();
        retaining() = before_;
    }

  private:
    retainer before_ = retaining();
};

/// How many events to take so that they fit well into a slice.
[[nodiscard]] std::uint32_t chunk_for(const subscription_core& sub,
                                      std::uint64_t slice_ticks) noexcept;

/// Counts what a subscription is told in stream with the next delivery; modulo 2^64, so that it can
/// be taken back.
void note_told(subscription_core& sub, publisher_core& from, ring_class c, std::uint64_t lost,
               std::uint64_t conflated) noexcept;

/// After `done` events of a batch that does not lie in duplicates: their slots are free again.
void left_batch(subscription_core& sub, inbox& box, ring_class c, std::uint32_t done) noexcept;

/// After a handler that threw; true when that was one too many in a row.
[[nodiscard]] bool note_failure(subscription_core& sub, engine& owner) noexcept;

/// Folds a batch's time into the average of a handler call.
void note_time(subscription_core& sub, std::uint64_t ticks, std::uint32_t calls) noexcept;

}  // namespace ropeway::detail
