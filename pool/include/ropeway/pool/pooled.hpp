// SPDX-License-Identifier: Apache-2.0
//
// pooled<E>: the owner of one event. Move-only; its destructor gives the event back through its
// pool's recycler. Used by one thread at a time; may be moved to another.
#pragma once

#include <utility>

#include <ropeway/pool/event_traits.hpp>
#include <ropeway/pool/slot.hpp>

namespace ropeway {

class slot_pool;
class recycler;

template <event_type E>
class event_pool;

namespace detail {
/// Where a handle's event came from.
struct pooled_origin {
    slot_pool* pool = nullptr;
    recycler* back = nullptr;
    slot_ref slot{};
};
}  // namespace detail

/// A handle to an event of a pool; empty after a failed get, a move or a return.
/// Ownership: the event until it is returned, lent or destroyed with the handle.
/// Allocation: none.
template <event_type E>
class [[nodiscard]] pooled {
  public:
    pooled() noexcept = default;
    pooled(pooled&& other) noexcept
        : event_(std::exchange(other.event_, nullptr)), origin_(other.origin_) {}
    pooled& operator=(pooled&& other) noexcept {
        if (this != &other) {
            reset();
            event_ = std::exchange(other.event_, nullptr);
            origin_ = other.origin_;
        }
        return *this;
    }
    pooled(const pooled&) = delete;
    pooled& operator=(const pooled&) = delete;
    ~pooled() { reset(); }

    /// Gives the event back now, through the recycler. Never throws; a misuse is only reported.
    void reset() noexcept;

    [[nodiscard]] explicit operator bool() const noexcept { return event_ != nullptr; }
    [[nodiscard]] E* get() const noexcept { return event_; }
    [[nodiscard]] E& operator*() const noexcept { return *event_; }
    [[nodiscard]] E* operator->() const noexcept { return event_; }

    /// What to keep to ask event_pool::peek() later. Requires a non-empty handle.
    [[nodiscard]] slot_ticket ticket() const noexcept;
    [[nodiscard]] slot_ref slot() const noexcept { return origin_.slot; }

  private:
    friend class recycler;
    friend class event_pool<E>;

    pooled(E* event, detail::pooled_origin origin) noexcept : event_(event), origin_(origin) {}
    /// Gives up the event without returning it.
    detail::pooled_origin let_go() noexcept {
        event_ = nullptr;
        return origin_;
    }

    E* event_ = nullptr;
    detail::pooled_origin origin_{};
};

}  // namespace ropeway

#include <ropeway/pool/recycler.hpp>  // the destructor's way back
