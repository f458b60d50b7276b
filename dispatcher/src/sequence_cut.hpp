// SPDX-License-Identifier: Apache-2.0
//
// Where a subscription is in a publisher's two rings, over one cut through its tail. Private.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {

/// What of one publisher comes next, among all that was committed when this was made. What is
/// committed behind the cut waits for the next one: an event that we do not see yet could come
/// before one that we do.
class sequence_cut {
  public:
    /// `tail`: one load for both rings.
    sequence_cut(subscription_core& sub, publisher_core& from, std::uint64_t before,
                 std::uint64_t tail) noexcept
        : sub_(&sub), from_(&from), last_(before - 1) {
        for (const ring_class c : {ring_class::market, ring_class::critical}) {
            const std::size_t r = index_of(c);
            // Relaxed: any position of the last 2^31 serves.
            const std::uint64_t near = from.base_[r].load(std::memory_order_relaxed);
            end_ += ends_[r] = tail_word::extend(near, tail_word::count(tail, c));
        }
        end_ = std::min(end_, last_);
    }

    /// The ring whose turn it is and, in the context, the sequence before which its turn ends;
    /// false when there is nothing left, or a rescue is at work.
    [[nodiscard]] bool next(ring_class& c, serve_context& context) const noexcept {
        std::array<std::uint64_t, ring_classes> head{};
        for (const ring_class of : {ring_class::market, ring_class::critical}) {
            if (!first_of(of, head[index_of(of)], *context.owner)) {
                context.more = true;
                return false;
            }
        }
        c = head[0] < head[1] ? ring_class::market : ring_class::critical;
        // The same: a drain's last critical event, and what goes last.
        const std::uint64_t other = head[1 - index_of(c)] + (head[0] == head[1] ? 1 : 0);
        context.before = std::min(other, end_ + 1);
        return head[index_of(c)] <= end_;
    }

    /// Sequence of the first event of a ring, kept ones before; beyond the cut when there is none.
    /// False when it cannot be told now.
    [[nodiscard]] bool first_of(ring_class c, std::uint64_t& sequence,
                                engine& owner) const noexcept {
        sequence = end_ + 1;
        taken_range at;
        if (!look_at(*sub_, *from_, c, at)) {
            return (at.cursor & cursor_word::closed_bit) != 0;
        }
        if (kept_waits(*sub_, *from_, c)) {
            const first_kept kept = look_at_kept(*sub_, *from_, c, at, owner, sequence);
            if (kept != first_kept::none) {
                if (c == ring_class::market) {
                    // A drain's: behind its cut is what stands for an event before it. It goes
                    // last.
                    sequence = std::min(sequence, last_);
                }
                return kept == first_kept::found;
            }
        }
        if (at.first < ends_[index_of(c)]) {
            sequence = from_->sequence_in(c, at.first);
        }
        // Lapped meanwhile? Then the cursor has moved. The fence keeps this look behind those.
        std::atomic_thread_fence(std::memory_order_acquire);
        const cursor_block& block = from_->rings[index_of(c)].cursors[sub_->number];
        return block.cursor.load(std::memory_order_relaxed) == at.cursor;  // relaxed: the fence
    }

  private:
    subscription_core* sub_;
    publisher_core* from_;
    std::uint64_t last_;     ///< sequence: where a drain ends
    std::uint64_t end_ = 0;  ///< the cut
    std::array<std::uint64_t, ring_classes> ends_{};
};

}  // namespace ropeway::detail
