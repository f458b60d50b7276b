// SPDX-License-Identifier: Apache-2.0
//
// pooled<E>: the owner of one event. Move-only; its destructor gives the event back through its
// pool's recycler. Used by one thread at a time; may be moved to another.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include <ropeway/pool/event_traits.hpp>
#include <ropeway/pool/slot.hpp>

namespace ropeway {

class slot_pool;
class recycler;

template <event_type E>
class event_pool;

/// A handle to an event of a pool; empty after a failed get, a move or a return.
/// Ownership: the event until it is returned, lent or destroyed with the handle.
/// Allocation: none.
template <event_type E>
class [[nodiscard]] pooled {
  public:
    pooled() noexcept = default;
    pooled(pooled&& other) noexcept { take(other); }
    pooled& operator=(pooled&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    pooled(const pooled&) = delete;
    pooled& operator=(const pooled&) = delete;
    ~pooled();

    /// Gives the event back now, through the recycler. Never throws; a misuse is only reported.
    void reset() noexcept;

    [[nodiscard]] explicit operator bool() const noexcept { return event_ != nullptr; }
    [[nodiscard]] E* get() const noexcept { return event_; }
    [[nodiscard]] E& operator*() const noexcept { return *event_; }
    [[nodiscard]] E* operator->() const noexcept { return event_; }

    /// What to keep to ask event_pool::peek() later. Requires a non-empty handle.
    [[nodiscard]] slot_ticket ticket() const noexcept;
    /// Of an empty handle {}.
    [[nodiscard]] slot_ref slot() const noexcept {
        return event_ != nullptr ? std::bit_cast<slot_ref>(slot_) : slot_ref{};
    }
    /// Gives up the event without returning it: it is whoever's recycler::adopt() takes the
    /// reference, on any thread that synchronises with this one. Eight bytes for a queue of one's
    /// own, where a handle is 24 that its taker must write, too. Requires a non-empty handle.
    [[nodiscard]] slot_ref release() noexcept {
        event_ = nullptr;
        return std::bit_cast<slot_ref>(slot_);
    }

  private:
    friend class recycler;
    friend class event_pool<E>;

    pooled(E* event, slot_pool* pool, slot_ref slot) noexcept
        : event_(event), pool_(pool), slot_(slot_bits(slot)) {}
    /// Becomes the owner in place of `other`. Requires an empty handle.
    void take(pooled& other) noexcept {
        event_ = std::exchange(other.event_, nullptr);
        pool_ = other.pool_;
        slot_ = other.slot_;
    }

    E* event_ = nullptr;
    // Where it came from; without meaning while empty. Not all zeros, because an array of handles
    // is then made by plain stores, where zeros would be a string instruction's (about 0.5 ns
    // each).
    slot_pool* pool_ = nullptr;
    std::uint64_t slot_ = ~std::uint64_t{0};  ///< slot_bits()
};

}  // namespace ropeway

#include <ropeway/pool/recycler.hpp>  // the destructor's way back
