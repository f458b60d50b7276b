// SPDX-License-Identifier: Apache-2.0
//
// event_pool<E>: the typed face of a slot_pool. Owned by the program; handles may outlive it (their
// storage is then kept, and reported as a leak). Any thread may get.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <ropeway/pool/market_event.hpp>
#include <ropeway/pool/pooled.hpp>
#include <ropeway/pool/recycler.hpp>
#include <ropeway/pool/slot_pool.hpp>

namespace ropeway {

/// How to build an event_pool.
struct pool_params {
    /// Named in reports; the first 31 bytes are kept.
    std::string name = "events";
    /// Capacity, 1 to 2^31; default 1024. Count what is held at once at the most, times three, plus
    /// 128 per thread that gives back.
    std::uint32_t slots = 1024;
    /// Default `guard`. Changed at run time by set_guard().
    guard_level guard = guard_level::guard;
    /// Must outlive the pool. Default nullptr: mmap_memory().
    memory_source* memory = nullptr;
    memory_params prepare{};
    /// What follows a violation. Default log_and_drop: the program goes on.
    violation_policy policy = violation_policy::log_and_drop;
    /// What get() does when no slot is free. Default fail: an empty handle.
    on_exhausted exhausted = on_exhausted::fail;
    /// For `grow`: the bound on slots. Default 0: no growth.
    std::uint32_t max_slots = 0;
    /// For `block`: how long get() waits. Default 10 ms.
    std::chrono::nanoseconds block_deadline = std::chrono::milliseconds{10};
    /// For `callback`: true = try again. Must not throw.
    bool (*callback)(slot_pool&, void* context) noexcept = nullptr;
    void* callback_context = nullptr;
    /// Entries of each of a thread's two magazines, 1 to 64; 0: slots / 16, at most 64.
    std::uint32_t magazine_entries = 0;
    /// Threads that may have magazines at once. Default 64.
    std::uint32_t max_threads = 64;
    /// At `full`: returns a slot waits before reuse, 0 to 64. Default 8.
    std::uint32_t quarantine = 8;
    /// Where events go back through; must outlive the pool and its handles. Default nullptr: the
    /// process-wide one, created if need be.
    recycler* back = nullptr;
};

namespace detail {
/// The untyped part of building an event_pool.
[[nodiscard]] slot_pool_params to_slot_pool_params(const pool_params& params, slab_ops ops,
                                                   std::size_t bytes);
[[nodiscard]] recycler& recycler_for(const pool_params& params);
}  // namespace detail

/// A pool of events of type E.
/// Thread safety: every function from any thread; the destructor when no thread is inside.
/// Allocation: constructor; a thread's first touch; reports.
template <event_type E>
class event_pool {
  public:
    /// @throws std::invalid_argument with the bad value and the remedy; memory_error.
    explicit event_pool(const pool_params& params = {})
        : back_(&detail::recycler_for(params)),
          slots_(std::make_unique<slot_pool>(
              detail::to_slot_pool_params(params, slab_ops::of<E>(), slot_bytes<E>))) {
        back_->bind(*slots_);
    }
    event_pool(const event_pool&) = delete;
    event_pool& operator=(const event_pool&) = delete;
    /// Reports what is still out (violation leak, per site), and then keeps the storage for it.
    ~event_pool() { slot_pool::retire(std::move(slots_)); }

    /// A default event. @return an empty handle if the pool is exhausted (see pool_params).
    [[nodiscard]] pooled<E> get(site where = site::here()) noexcept {
        pooled<E> event = get_for_overwrite(where);
        if constexpr (std::is_trivially_copyable_v<E>) {
            if (event) {
                std::construct_at(event.get());
            }
        }
        return event;
    }
    /// As get(), but with unspecified content (a type that is not trivially copyable: as reset()
    /// left it). For callers that write every field.
    [[nodiscard]] pooled<E> get_for_overwrite(site where = site::here()) noexcept {
        const site_id id = where.id();
        slot_pool& from = *slots_;
        slot_ref slot;
        slot_header* header = nullptr;
        if (from.template get_plain<slot_bytes<E>>(id, header, slot)) [[likely]] {
            return {std::launder(reinterpret_cast<E*>(header + 1)), &from, slot};
        }
        const taken other = take_slowly(from, id);
        return {other.event, &from, other.slot};
    }

    /// The event of a ticket if it is still the same one; else nullptr and violation stale_read.
    /// What it points to is valid only while its holder keeps it.
    /// @throws violation_error under policy throw_error.
    [[nodiscard]] const E* peek(slot_ticket ticket, site where = site::here()) {
        slab& storage = slots_->storage();
        const slot_ref slot{ticket.index, ticket.generation};
        if (ticket.pool == storage.number() && storage.is_current(slot)) [[likely]] {
            return static_cast<const E*>(storage.payload(slot.index));
        }
        const std::uint64_t before = violations_of_this_thread();
        const std::uint64_t meta = make_meta(where.id(), thread_number(), coarse_now_ms());
        if (ticket.pool == storage.number()) {
            storage.report_stale_read(slot, meta);
        } else {
            storage.report_foreign(violation_kind::foreign_pool, slot, meta);
        }
        throw_if_new(before, storage.policy());
        return nullptr;
    }

    [[nodiscard]] slot_pool& slots() noexcept { return *slots_; }
    [[nodiscard]] const slot_pool& slots() const noexcept { return *slots_; }
    [[nodiscard]] recycler& back() noexcept { return *back_; }
    /// Changes the guard level while others get and put. @return false: no memory for its tables.
    bool set_guard(guard_level level) noexcept { return slots_->set_guard(level); }
    [[nodiscard]] pool_stats stats() const noexcept { return slots_->stats(); }
    /// Who holds what, by site. At any time; allocates.
    [[nodiscard]] ropeway::leak_report leak_report() const { return slots_->leaks(); }
    [[nodiscard]] ropeway::memory_report memory_report() const noexcept { return slots_->memory(); }

  private:
    /// What fits in two registers: a handle would go through memory.
    struct taken {
        E* event = nullptr;
        slot_ref slot{};
    };
    [[nodiscard, gnu::noinline]] static taken take_slowly(slot_pool& from, site_id where) noexcept {
        slot_ref slot;
        slot_header* header = nullptr;
        if (from.at_sampled() && from.template get_unsampled<slot_bytes<E>>(where, header, slot)) {
            return {std::launder(reinterpret_cast<E*>(header + 1)), slot};
        }
        if (!from.get(slot, make_meta(where, thread_number(), coarse_now_ms()))) {
            return {};
        }
        return {static_cast<E*>(from.payload(slot.index)), slot};
    }

    recycler* back_;                    ///< constant after construction
    std::unique_ptr<slot_pool> slots_;  ///< constant after construction
};

template <event_type E>
bool recycler::recycle_raw(event_pool<E>& to, E* event, slot_ticket ticket, site where) {
    const std::uint64_t before = violations_of_this_thread();
    const std::uint64_t meta = make_meta(where.id(), thread_number(), coarse_now_ms());
    const bool done = return_raw(to.slots(), event, ticket, meta);
    throw_if_new(before, to.slots().storage().policy());
    return done;
}

extern template class event_pool<market_event>;

}  // namespace ropeway
