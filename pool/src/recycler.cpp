// SPDX-License-Identifier: Apache-2.0
//
// The recycler's rare parts: the process-wide instance, sums, and the checks at the C edge.
#include <ropeway/pool/recycler.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <memory>
#include <new>
#include <stdexcept>

#include "pool_registry.hpp"

namespace ropeway {

namespace {

/// Storage of the process-wide instance; never destroyed, since handles in static objects may
/// return through it after everything else.
struct default_instance {
    alignas(recycler) std::byte storage[sizeof(recycler)];
    std::atomic<int> stage{0};  ///< 0 none, 1 being made, 2 made
};
constinit default_instance process_recycler{};

}  // namespace

bool init_default_recycler() noexcept {
    int none = 0;
    // acq_rel: the winner makes it; relaxed on failure: the loop below acquires
    if (process_recycler.stage.compare_exchange_strong(none, 1, std::memory_order_acq_rel,
                                                       std::memory_order_relaxed)) {
        std::construct_at(reinterpret_cast<recycler*>(process_recycler.storage));
        process_recycler.stage.store(2, std::memory_order_release);  // pairs with the loads below
        return true;
    }
    while (process_recycler.stage.load(std::memory_order_acquire) != 2) {  // made by another thread
        spin_pause();
    }
    return false;
}

recycler& default_recycler() {
    // acquire: pairs with init_default_recycler's release
    if (process_recycler.stage.load(std::memory_order_acquire) != 2) {
        throw std::logic_error(
            "the default recycler was used before it was made. Call "
            "ropeway::init_default_recycler() first, or build an event_pool, which does.");
    }
    return *std::launder(reinterpret_cast<recycler*>(process_recycler.storage));
}

recycler_stats recycler::stats() const noexcept { return pool_registry::instance().stats(*this); }

void recycler::bind(slot_pool& pool) noexcept { pool_registry::instance().bind(pool, *this); }

void recycler::count_merged(slot_pool& pool) noexcept {
    if (thread_cache* const cache = pool.this_cache()) {
        cache->merged.add(1);
    }
}

void recycler::count_direct(slot_pool& pool, std::uint32_t kind) noexcept {
    pool.direct_recycled_[kind_cell(kind)].fetch_add(1, std::memory_order_relaxed);  // a count
}

void recycler::note_duration(thread_cache& cache, std::chrono::nanoseconds took) noexcept {
    const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(took.count(), 0));
    const auto bucket = static_cast<std::size_t>(std::bit_width(ns));
    cache.durations[std::min(bucket, duration_buckets - 1)].add(1);
}

bool recycler::return_raw(slot_pool& pool, const void* event, slot_ticket ticket,
                          std::uint64_t meta) noexcept {
    slab& storage = pool.storage();
    const slot_ref held{ticket.index, ticket.generation};
    std::uint32_t index = 0;
    if (ticket.pool != pool.number()) {
        storage.report_foreign(violation_kind::foreign_pool, held, meta);
        return false;
    }
    // At `degenerate` a life's payload is an allocation of its own, gone after the first return:
    // then the ticket alone says what the pointer was.
    const bool known = storage.find(event, index) && index == ticket.index;
    if (!known && (ticket.index >= storage.slots() || storage.is_current(held) ||
                   !storage.had_own_allocations())) {
        const bool other = pool_registry::instance().owned_by_other(event, pool);
        storage.report_foreign(
            other ? violation_kind::foreign_pool : violation_kind::foreign_pointer, held, meta);
        return false;
    }
    std::uint32_t kind = 0;
    if (!storage.give_back_lent(held, meta, kind)) {
        return false;
    }
    const slot_ref entry = slab::after_check_in(held);
    if (thread_cache* const cache = pool.this_cache()) {
        cache->recycled[kind_cell(kind)].add(1);
        pool.push(*cache, entry, meta_thread(meta));
    } else {
        count_direct(pool, kind);
        pool.push_direct(entry, meta_thread(meta));
    }
    return true;
}

}  // namespace ropeway
