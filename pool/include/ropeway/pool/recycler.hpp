// SPDX-License-Identifier: Apache-2.0
//
// The recycler: the only way by which an event goes back to its pool. Handles return through it by
// themselves, users by recycle(), the dispatcher's workers in bulk, C code through lend() and
// recycle_raw(). It owns no slots: it counts, times one return in 1024, and asks the slab's guard.
// Any thread; an instance must outlive the pools bound to it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include <ropeway/pool/event_traits.hpp>
#include <ropeway/pool/pooled.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slab_run.hpp>
#include <ropeway/pool/slot_pool.hpp>

namespace ropeway {

/// An event beyond a C edge: the pointer to hand over, and the ticket that must come back with it.
template <event_type E>
struct raw_event {
    E* event = nullptr;
    slot_ticket ticket{};
};

/// What a recycler has done, over all pools that were bound to it, past ones included.
struct recycler_stats {
    std::uint64_t recycled = 0;
    std::array<std::uint64_t, max_event_kinds> recycled_by_kind{};
    std::uint64_t merged = 0;
    std::array<std::uint64_t, violation_kinds> violations{};  ///< by violation_kind
    /// Durations of one return in 1024, but for renewed slots: bucket b counts those below 2^b ns.
    std::array<std::uint64_t, duration_buckets> durations{};
};

namespace detail {
/// What a handle points to whose reference names no slot: storage behind a header that says free.
template <event_type E>
struct stand_in {
    slot_header header{};
    alignas(16) std::array<std::byte, sizeof(E)> storage{};
    [[nodiscard]] E* event() noexcept { return reinterpret_cast<E*>(storage.data()); }
};
template <event_type E>
inline constinit stand_in<E> no_event{};
}  // namespace detail

/// The way back.
/// Thread safety: all functions from any thread; a handle from one at a time.
/// Allocation: none, except a thread's first touch of a pool.
class recycler {
  public:
    recycler() noexcept = default;
    recycler(const recycler&) = delete;
    recycler& operator=(const recycler&) = delete;
    ~recycler() = default;

    /// Gives an event back. An empty handle is ignored.
    /// @throws violation_error under policy throw_error if the guard objects.
    template <event_type E>
    void recycle(pooled<E>&& event, site where = site::here()) {
        give_back_or_throw(event, where.id());
    }

    /// Gives back a partial that was merged into another event: as recycle(), counted apart.
    template <event_type E>
    void recycle_merged(pooled<E>&& event, site where = site::here()) {
        if (event) {
            count_merged(*event.pool_);
        }
        give_back_or_throw(event, where.id());
    }

    /// Gives back many events, of one pool or several, at the cost of one bulk put per run of
    /// events of the same pool. Empty handles are skipped; all are empty afterwards.
    /// @throws violation_error under policy throw_error, after all were given back.
    template <event_type E>
    void recycle_many(std::span<pooled<E>> events, site where = site::here()) {
        const std::uint64_t before = violations_of_this_thread();
        violation_policy policy = violation_policy::log_and_drop;
        const site_id id = where.id();
        std::size_t at = 0;
        while (at != events.size()) {
            if (!events[at]) {
                ++at;
                continue;
            }
            slot_pool& pool = *events[at].pool_;
            std::array<slot_ref, magazine_capacity> run;
            std::size_t n = 0;
            while (at != events.size() && n != run.size() && events[at] &&
                   events[at].pool_ == &pool) {
                run[n++] = events[at++].release();
            }
            recycle_n<E>(pool, run.data(), n, id);
            if (pool.storage().policy() == violation_policy::throw_error) {
                policy = violation_policy::throw_error;
            }
        }
        throw_if_new(before, policy);
    }

    /// Turns a handle into a raw pointer for code that cannot hold one. The event stays outstanding
    /// (state lent) until recycle_raw(). An empty handle gives {nullptr, {}}.
    template <event_type E>
    [[nodiscard]] raw_event<E> lend(pooled<E>&& event, site where = site::here()) noexcept {
        if (!event) {
            return {};
        }
        const slot_ticket ticket = event.ticket();
        E* const raw = event.get();
        slot_pool& from = *event.pool_;
        const slot_ref held = event.release();
        const std::uint64_t meta = make_meta(where.id(), thread_number(), coarse_now_ms());
        if (!from.storage().lend(held, meta)) {
            return {};
        }
        return {raw, ticket};
    }

    /// Gives back a lent event. Exact at every guard level: of two calls at once one succeeds.
    /// Violations: double_put, put_after_reuse, foreign_pointer, foreign_pool.
    /// @return true if the event went back. @throws violation_error under policy throw_error.
    template <event_type E>
    bool recycle_raw(event_pool<E>& to, E* event, slot_ticket ticket, site where = site::here());

    /// The owner of a slot that the caller holds, which comes back through this recycler.
    template <event_type E>
    [[nodiscard]] pooled<E> adopt(slot_pool& pool, slot_ref held) noexcept {
        if (held.index >= pool.storage().slots()) [[unlikely]] {
            return {detail::no_event<E>.event(), &pool, held};  // reported when it is given back
        }
        return {static_cast<E*>(pool.payload(held.index)), &pool, held};
    }

    /// Bulk return by workers: never throws. Holder of all `n` slots only.
    template <event_type E>
    void recycle_n(slot_pool& pool, const slot_ref* held, std::size_t n,
                   site_id where = known_site::recycler) noexcept {
        if (n != 0) {
            recycle_one<E>(pool, held[0], where);  // keeps the sampling of durations
        }
        if (n > 1) {
            return_rest<E>(pool, held + 1, n - 1,
                           make_meta(where, thread_number(), coarse_now_ms()));
        }
    }

    /// Ends the lives of slots and begins their next ones for the same holder: what recycle_n() and
    /// get_n() would do after each other, without the way through a magazine. `meta` is of the new
    /// lives; `held` names them afterwards. By workers; never throws.
    /// @return how many were renewed: fewer when the guard objects to the next one, which is not
    /// reported here, and none where slots are looked at one by one (levels above `guard`, types
    /// that are not trivially copyable).
    template <event_type E>
    [[nodiscard]] std::size_t renew_n(slot_pool& pool, std::span<slot_ref> held,
                                      std::uint64_t meta) noexcept {
        const slab_run<E> slots{pool.slab_};
        thread_cache* const cache = pool.this_cache();
        const guard_level level = pool.slab_.level();
        if (!std::is_trivially_copyable_v<E> || level > guard_level::guard || cache == nullptr ||
            !slots.usable()) [[unlikely]] {
            return 0;
        }
        const bool checks = level != guard_level::off;
        std::uint32_t kind_before = 0;
        std::size_t counted = 0;
        std::size_t done = 0;
        for (; done != held.size(); ++done) {
            const std::uint64_t bits = slot_bits(held[done]);
            slot_header& header = slots.header(slot_index(bits));
            // relaxed (all): see slab's invariant 2
            if (slot_index(bits) >= slots.size() ||
                (checks && header.word.load(std::memory_order_relaxed) !=
                               slot_word::of_bits(bits, slot_state::live))) [[unlikely]] {
                break;
            }
            const std::uint32_t kind = event_traits<E>::kind(*slots.payload(slot_index(bits)));
            if (kind != kind_before) {
                cache->recycled[kind_cell(kind_before)].add(done - counted);
                kind_before = kind;
                counted = done;
            }
            const std::uint64_t next = bits + one_generation;
            header.meta.store(meta, std::memory_order_relaxed);
            header.word.store(slot_word::of_bits(next, slot_state::live),
                              std::memory_order_relaxed);
            held[done] = std::bit_cast<slot_ref>(next);
        }
        cache->recycled[kind_cell(kind_before)].add(done - counted);
        return done;
    }

    /// One return by workers: never throws. @return false if the guard objected.
    template <event_type E>
    bool recycle_one(slot_pool& pool, slot_ref held,
                     site_id where = known_site::recycler) noexcept {
        return pool.put_plain<E>(held, where) ||
               return_one<E>(pool, held, make_meta(where, thread_number(), coarse_now_ms()));
    }

    /// Sums over the bound pools; takes the registry's lock.
    [[nodiscard]] recycler_stats stats() const noexcept;

    /// Counts a pool's returns as this recycler's until the pool ends. Done by event_pool; for a
    /// slot_pool of one's own. Not while others use the pool.
    void bind(slot_pool& pool) noexcept;

  private:
    template <event_type E>
    friend class pooled;
    friend class pool_registry;

    template <event_type E>
    static void give_back(E& event, slot_pool& from, slot_ref held, site_id where) noexcept {
        if (!from.template put_plain<E>(event, held, where)) [[unlikely]] {
            give_back_slowly<E>(from, held, where);
        }
    }
    template <event_type E>
    static void give_back_or_throw(pooled<E>& event, site_id where) {
        if (!event) {
            return;
        }
        slot_pool& from = *event.pool_;
        E& payload = *event;
        const slot_ref held = event.release();
        if (!from.template put_plain<E>(payload, held, where)) [[unlikely]] {
            const std::uint64_t before = violations_of_this_thread();
            give_back_slowly<E>(from, held, where);
            throw_if_new(before, from.storage().policy());
        }
    }
    /// What put_plain() did not do.
    template <event_type E>
    [[gnu::noinline]] static void give_back_slowly(slot_pool& from, slot_ref held,
                                                   site_id where) noexcept {
        return_one<E>(from, held, make_meta(where, thread_number(), coarse_now_ms()));
    }

    template <event_type E>
    static bool return_one(slot_pool& pool, slot_ref held, std::uint64_t meta) noexcept {
        thread_cache* const cache = pool.this_cache();
        if (cache == nullptr) [[unlikely]] {
            return return_direct<E>(pool, held, meta);
        }
        if (--cache->until_timed == 0) [[unlikely]] {
            cache->until_timed = timed_every;
            const auto start = std::chrono::steady_clock::now();
            const bool done = return_to<E>(pool, *cache, held, meta);
            note_duration(*cache, std::chrono::steady_clock::now() - start);
            return done;
        }
        return return_to<E>(pool, *cache, held, meta);
    }
    template <event_type E>
    static void return_rest(slot_pool& pool, const slot_ref* held, std::size_t n,
                            std::uint64_t meta) noexcept {
        thread_cache* const cache = pool.this_cache();
        for (std::size_t i = 0; i != n;) {
            if (cache == nullptr) [[unlikely]] {
                return_direct<E>(pool, held[i++], meta);
                continue;
            }
            if constexpr (std::is_trivially_copyable_v<E>) {
                i += return_run<E>(pool, *cache, {held + i, n - i}, meta);
            }
            if (i != n) {
                return_to<E>(pool, *cache, held[i++], meta);
            }
        }
    }
    /// As many returns as the thread's magazine has room for, with what is common to them done
    /// once.
    template <event_type E>
    [[gnu::noinline]] static std::size_t return_run(slot_pool& pool, thread_cache& cache,
                                                    std::span<const slot_ref> held,
                                                    std::uint64_t meta) noexcept {
        magazine& top = *slot_pool::own(cache.current);
        const std::size_t most = std::min<std::size_t>(pool.room(top), held.size());
        const guard_level level = pool.slab_.level();
        const slab_run<E> slots{pool.slab_};
        if (level > guard_level::sampled || most == 0 || !slots.usable()) [[unlikely]] {
            return 0;
        }
        const bool checks = level != guard_level::off;
        const std::uint16_t parker = meta_thread(meta);
        const std::uint64_t step = one_generation + slot_word::make(0, slot_state::free, 0, parker);
        const slot_ref* const refs = held.data();
        std::uint64_t* const entries = top.entries.data() + top.size();
        std::uint32_t kind_before = 0;
        std::size_t counted = 0;
        std::size_t done = 0;
        for (; done != most; ++done) {
            const std::uint64_t bits = slot_bits(refs[done]);
            const std::uint64_t life = bits & generation_bits;
            if (slot_index(bits) >= slots.size()) [[unlikely]] {
                break;
            }
            slot_header& header = slots.header(slot_index(bits));
            // relaxed (all): see slab's invariant 2; a sampled slot carries a flag, so that its
            // word is not this one
            if (checks && header.word.load(std::memory_order_relaxed) !=
                              slot_word::of_bits(life, slot_state::live)) [[unlikely]] {
                break;
            }
            const std::uint32_t kind = event_traits<E>::kind(*slots.payload(slot_index(bits)));
            if (kind != kind_before) [[unlikely]] {
                cache.recycled[kind_cell(kind_before)].add(done - counted);
                kind_before = kind;
                counted = done;
            }
            header.meta.store(meta, std::memory_order_relaxed);
            header.word.store(life + step, std::memory_order_relaxed);
            entries[done] = bits + one_generation;
        }
        std::fill_n(top.parkers.data() + top.size(), done, parker);
        cache.recycled[kind_cell(kind_before)].add(done - counted);
        top.set_size(top.size() + static_cast<std::uint32_t>(done));
        return done;
    }
    template <event_type E>
    static bool return_to(slot_pool& pool, thread_cache& cache, slot_ref held,
                          std::uint64_t meta) noexcept {
        std::uint32_t kind = 0;
        if (!pool.slab_.release<E>(held, meta, kind)) [[unlikely]] {
            return false;
        }
        cache.recycled[kind_cell(kind)].add(1);
        pool.push(cache, slab::after_check_in(held), meta_thread(meta));
        return true;
    }
    template <event_type E>
    static bool return_direct(slot_pool& pool, slot_ref held, std::uint64_t meta) noexcept {
        std::uint32_t kind = 0;
        if (!pool.slab_.release<E>(held, meta, kind)) {
            return false;
        }
        count_direct(pool, kind);
        pool.push_direct(slab::after_check_in(held), meta_thread(meta));
        return true;
    }
    static void count_merged(slot_pool& pool) noexcept;
    static void count_direct(slot_pool& pool, std::uint32_t kind) noexcept;
    static void note_duration(thread_cache& cache, std::chrono::nanoseconds took) noexcept;
    static bool return_raw(slot_pool& pool, const void* event, slot_ticket ticket,
                           std::uint64_t meta) noexcept;

    recycler_stats past_{};  ///< of pools that ended; guarded by the registry's lock
};

/// Creates the process-wide recycler. @return false if it existed already: a no-op then. Any
/// thread.
bool init_default_recycler() noexcept;

/// The process-wide recycler, which every event_pool built without one uses (and then creates).
/// @throws std::logic_error before init_default_recycler().
[[nodiscard]] recycler& default_recycler();

template <event_type E>
[[gnu::always_inline]] inline pooled<E>::~pooled() {
    if (event_ != nullptr) {
        recycler::give_back<E>(*event_, *pool_, std::bit_cast<slot_ref>(slot_),
                               known_site::destructor);
    }
}

template <event_type E>
[[gnu::always_inline]] inline void pooled<E>::reset() noexcept {
    if (event_ != nullptr) {
        E& event = *event_;
        recycler::give_back<E>(event, *pool_, release(), known_site::destructor);
    }
}

template <event_type E>
slot_ticket pooled<E>::ticket() const noexcept {
    return {slot().index, slot().generation, pool_->number()};
}

}  // namespace ropeway
