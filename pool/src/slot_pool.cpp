// SPDX-License-Identifier: Apache-2.0
//
// A pool's slow paths between a thread's magazines and the depot: once per 64 slots, at `full`, and
// when slots run short.
#include <ropeway/pool/slot_pool.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <sched.h>

#include <ropeway/pool/site.hpp>

#include "pool_registry.hpp"

namespace ropeway {

namespace {

slot_pool_params checked(slot_pool_params params) {
    const std::string name = "pool \"" + params.storage.name + "\": ";
    const std::uint32_t slots = params.storage.slots;
    if (params.magazine_entries > magazine_capacity) {
        throw std::invalid_argument(name + "magazine_entries is " +
                                    std::to_string(params.magazine_entries) +
                                    ". Give 1 to 64, or 0 for slots / 16.");
    }
    if (params.quarantine > max_quarantine) {
        throw std::invalid_argument(name + "quarantine is " + std::to_string(params.quarantine) +
                                    ". Give 0 to 64.");
    }
    if (params.max_threads == 0 || params.max_threads > 4096) {
        throw std::invalid_argument(name + "max_threads is " + std::to_string(params.max_threads) +
                                    ". Give 1 to 4096.");
    }
    if (params.block_deadline.count() < 0) {
        throw std::invalid_argument(name + "block_deadline is " +
                                    std::to_string(params.block_deadline.count()) +
                                    " ns. Give 0 or more.");
    }
    if (params.exhausted == on_exhausted::callback && params.callback == nullptr) {
        throw std::invalid_argument(name + "policy callback without a callback. Set `callback`.");
    }
    if (params.exhausted == on_exhausted::grow && params.max_slots <= slots) {
        throw std::invalid_argument(name + "policy grow with max_slots " +
                                    std::to_string(params.max_slots) + " and slots " +
                                    std::to_string(slots) + ". Give a larger max_slots.");
    }
    params.max_slots = std::max(params.max_slots, slots);
    if (params.magazine_entries == 0) {
        params.magazine_entries = std::clamp(slots / 16, std::uint32_t{1}, magazine_capacity);
    }
    params.storage.meta = meta_use::site;
    return params;
}

/// The slab has room for growth, so only the first slots may be touched now.
slab_params reserve(const slot_pool_params& params) {
    slab_params storage = params.storage;
    storage.prepared_slots = storage.slots;
    storage.slots = params.max_slots;
    return storage;
}

/// Enough that a thread which must get rid of a full magazine always finds one with room: all slots
/// fill max_slots / entries of them, threads keep two each, and a few are in passing.
std::uint32_t shells_for(const slot_pool_params& params) noexcept {
    return params.max_slots / params.magazine_entries + 2 * params.max_threads + 64;
}

/// Waits a little longer each time: a pause, then another thread's turn.
void back_off(std::uint32_t& tries) noexcept {
    if (++tries % 64 == 0) {
        sched_yield();
    } else {
        spin_pause();
    }
}

}  // namespace

slot_pool::slot_pool(slot_pool_params params)
    : slot_pool(checked(std::move(params)), checked_tag{}) {}

slot_pool::slot_pool(slot_pool_params params, checked_tag)
    : slab_(reserve(params)),
      magazine_entries_(params.magazine_entries),
      params_(std::move(params)),
      shells_(shells_for(params_)),
      magazines_(std::make_unique<magazine[]>(shells_)),
      caches_(std::make_unique<std::atomic<thread_cache*>[]>(params_.max_threads)),
      full_(shells_),
      hollow_(shells_),
      capacity_(params_.storage.slots) {
    for (std::uint32_t i = 0; i != shells_; ++i) {
        static_cast<void>(hollow_.push(i));  // cannot fail: the ring has room for all of them
    }
    pool_registry::instance().add(*this);
}

slot_pool::~slot_pool() {
    pool_registry::instance().remove(*this);
    if (params_.report_leaks && !orphaned_) {
        report_leaks();
    }
    for (std::uint32_t i = 0; i != params_.max_threads; ++i) {
        // acquire: pairs with adopt_cache's release
        std::unique_ptr<thread_cache>{caches_[i].load(std::memory_order_acquire)}.reset();
    }
}

thread_cache* slot_pool::attach() noexcept {
    detail::cache_links& links = detail::this_thread_caches;
    const std::uint32_t at = slab_.number_ % detail::cache_links::size;
    // The last of all numbers would look like something else in a key: no links for them.
    if (links.refusals[at] == slab_.number_ || slab_.number_ >= slab::no_number) {
        return nullptr;
    }
    thread_cache* const cache = pool_registry::instance().attach(*this);
    if (cache == nullptr) {
        links.refusals[at] = slab_.number_;
        return nullptr;
    }
    links.pools[at] = slab_.number_;
    links.caches[at] = cache;
    return cache;
}

thread_cache* slot_pool::adopt_cache(std::uint64_t owner) noexcept {
    std::atomic<thread_cache*>* free = nullptr;
    for (std::uint32_t i = 0; i != params_.max_threads; ++i) {
        // acquire: pairs with the release below
        thread_cache* const cache = caches_[i].load(std::memory_order_acquire);
        if (cache != nullptr && cache->owner == owner) {
            return cache;  // its link was displaced by that of another pool
        }
        if (free == nullptr && (cache == nullptr || cache->owner == 0)) {
            free = &caches_[i];
        }
    }
    if (free == nullptr) {
        return nullptr;
    }
    thread_cache* cache = free->load(std::memory_order_acquire);  // as above
    if (cache == nullptr) {
        try {
            cache = std::make_unique<thread_cache>().release();
        } catch (const std::bad_alloc&) {
            return nullptr;
        }
    }
    cache->thread = thread_number();
    cache->stamp = make_meta(0, cache->thread, 0);
    cache->put_step = one_generation + slot_word::make(0, slot_state::free, 0, cache->thread);
    cache->most = magazine_entries_;
    cache->owner = owner;
    equip(*cache);
    free->store(cache, std::memory_order_release);  // pairs with the acquire loads of reports
    return cache;
}

void slot_pool::equip(thread_cache& cache) noexcept {
    for (std::atomic<magazine*>* which : {&cache.current, &cache.previous}) {
        magazine* const shell = take_shell();
        cache.net_in.add(shell->size());
        which->store(shell, std::memory_order_release);  // pairs with parked(): the shell's count
    }
}

std::uint32_t slot_pool::shell_number(const magazine& shell) const noexcept {
    return static_cast<std::uint32_t>(&shell - magazines_.get());
}

magazine* slot_pool::take_shell() noexcept {
    for (std::uint32_t tries = 0;; back_off(tries)) {
        if (const std::uint32_t n = hollow_.pop(); n != index_ring::empty) {
            return &magazines_[n];
        }
        // All shells hold entries: some of them few (shells_for), since threads leave such behind.
        const std::uint32_t n = full_.pop();
        if (n == index_ring::empty) {
            continue;
        }
        magazine& shell = magazines_[n];
        if (shell.size() < magazine_entries_) {
            // relaxed: a count
            depot_slots_.fetch_sub(shell.size(), std::memory_order_relaxed);
            return &shell;
        }
        static_cast<void>(full_.push(n));  // cannot fail: the ring has room for all shells
    }
}

void slot_pool::store_shell(magazine& shell) noexcept {
    const std::uint32_t size = shell.size();
    if (size == 0) {
        static_cast<void>(hollow_.push(shell_number(shell)));  // cannot fail, as above
        return;
    }
    depot_slots_.fetch_add(size, std::memory_order_relaxed);  // relaxed: a count
    static_cast<void>(full_.push(shell_number(shell)));       // cannot fail, as above
}

magazine* slot_pool::take_full() noexcept {
    const std::uint32_t n = full_.pop();
    if (n == index_ring::empty) {
        return nullptr;
    }
    magazine& shell = magazines_[n];
    depot_slots_.fetch_sub(shell.size(), std::memory_order_relaxed);  // relaxed: a count
    shell.mark_travelled();
    for (std::uint32_t i = 0, at = shell.size(); i != prefetch_distance && at != 0; ++i) {
        prefetch_for_write(&slab_.header(shell.entry(--at).index));
    }
    return &shell;
}

std::uint32_t slot_pool::carve(magazine& into, std::uint32_t most) noexcept {
    // relaxed (all): fresh slots carry nothing to be seen, and the CAS makes them ours alone
    std::uint32_t first = fresh_.load(std::memory_order_relaxed);
    std::uint32_t n = 0;
    do {
        const std::uint32_t end = capacity_.load(std::memory_order_relaxed);
        n = first < end ? std::min(most, end - first) : 0;
        if (n == 0) {
            return 0;
        }
    } while (!fresh_.compare_exchange_weak(first, first + n, std::memory_order_relaxed,
                                           std::memory_order_relaxed));
    const std::uint32_t base = into.size();
    for (std::uint32_t i = 0; i != n; ++i) {
        into.set_entry(base + i, slab_.never_used(first + n - 1 - i), 0);  // lowest on top
    }
    into.set_size(base + n);
    return n;
}

bool slot_pool::load(thread_cache& cache, std::atomic<magazine*>& which) noexcept {
    magazine* const before = own(which);
    if (magazine* const shell = take_full()) {
        which.store(shell, std::memory_order_release);  // pairs with parked(): the shell's count
        store_shell(*before);
        cache.net_in.add(shell->size());
    } else {
        const std::uint32_t n = carve(*before, magazine_entries_);
        cache.net_in.add(n);
        if (n == 0) {
            return false;
        }
    }
    note_high_water();
    return true;
}

bool slot_pool::refill(thread_cache& cache) noexcept {
    magazine* const empty = own(cache.current);
    magazine* const other = own(cache.previous);
    if (other->size() != 0) {
        cache.current.store(other, std::memory_order_release);  // pairs with parked()
        cache.previous.store(empty, std::memory_order_release);
        return true;
    }
    // relaxed: the quarantine is this thread's
    const bool quarantined = cache.waiting.load(std::memory_order_relaxed) != 0;
    if (quarantined && !quarantines(slab_.mode())) {  // the level may be seen at the next refill
        leave_quarantine(cache, 0);
        return true;
    }
    if (load(cache, cache.current)) {
        return true;
    }
    if (quarantined) {  // better a short quarantine than no slot
        leave_quarantine(cache, cache.waiting.load(std::memory_order_relaxed) - 1);  // as above
        return true;
    }
    return false;
}

std::size_t slot_pool::ensure_slow(thread_cache& cache, std::size_t n) noexcept {
    if (own(cache.current)->size() == 0 && !refill(cache)) {
        return 0;
    }
    std::size_t have = std::size_t{own(cache.current)->size()} + own(cache.previous)->size();
    if (have < n && own(cache.previous)->size() == 0 && load(cache, cache.previous)) {
        have = std::size_t{own(cache.current)->size()} + own(cache.previous)->size();
    }
    return std::min(n, have);
}

void slot_pool::insert(thread_cache& cache, slot_ref entry, std::uint16_t parker) noexcept {
    magazine* top = own(cache.current);
    if (top->size() == magazine_entries_) {
        magazine* other = own(cache.previous);
        if (other->size() == magazine_entries_) {
            cache.net_in.add(std::uint64_t{0} - other->size());
            store_shell(*other);
            other = take_shell();
            cache.net_in.add(other->size());
        }
        cache.previous.store(top, std::memory_order_release);  // pairs with parked()
        cache.current.store(other, std::memory_order_release);
        top = other;
    }
    const std::uint32_t n = top->size();
    top->set_entry(n, entry, parker);
    top->set_size(n + 1);
}

void slot_pool::push_slow(thread_cache& cache, slot_ref entry, std::uint16_t parker) noexcept {
    const std::uint64_t mode = slab_.mode();
    if (quarantines(mode) && params_.quarantine != 0) {
        quarantine(cache, entry, parker);
    } else {
        leave_quarantine(cache, 0);
        insert(cache, entry, parker);
    }
    if ((mode & slab::someone_waits) != 0 && own(cache.current)->size() != 0) {
        hand_over(cache, cache.current);
    }
}

void slot_pool::quarantine(thread_cache& cache, slot_ref entry, std::uint16_t parker) noexcept {
    leave_quarantine(cache, params_.quarantine - 1);
    const std::uint32_t n = cache.waiting.load(std::memory_order_relaxed);  // this thread's own
    const std::uint32_t at = (cache.oldest + n) % max_quarantine;
    cache.quarantine[at] = entry;
    cache.quarantine_parkers[at] = parker;
    cache.waiting.store(n + 1, std::memory_order_relaxed);  // relaxed: read by reports only
}

void slot_pool::leave_quarantine(thread_cache& cache, std::uint32_t keep) noexcept {
    std::uint32_t n = cache.waiting.load(std::memory_order_relaxed);  // this thread's own
    while (n > keep) {
        const std::uint32_t at = cache.oldest;
        cache.oldest = (at + 1) % max_quarantine;
        cache.waiting.store(--n, std::memory_order_relaxed);  // relaxed: read by reports only
        insert(cache, cache.quarantine[at], cache.quarantine_parkers[at]);
    }
}

void slot_pool::hand_over(thread_cache& cache, std::atomic<magazine*>& which) noexcept {
    magazine* const shell = own(which);
    cache.net_in.add(std::uint64_t{0} - shell->size());
    store_shell(*shell);
    magazine* const fresh = take_shell();
    cache.net_in.add(fresh->size());
    which.store(fresh, std::memory_order_release);  // pairs with parked(): the shell's count
}

void slot_pool::release_cache(thread_cache& cache) noexcept {
    const std::uint32_t waiting = cache.waiting.load(std::memory_order_relaxed);  // own
    for (std::uint32_t i = 0; i != waiting; ++i) {
        // A finding retires the slot; its entry is dropped at the next hand-out.
        slab_.verify(cache.quarantine[(cache.oldest + i) % max_quarantine]);
    }
    leave_quarantine(cache, 0);
    magazine* const a = own(cache.current);
    magazine* const b = own(cache.previous);
    cache.net_in.add(std::uint64_t{0} - a->size() - b->size());
    // One magazine rather than two, where they fit: threads that come and go would fill the depot
    // with scraps.
    while (a->size() < magazine_entries_ && b->size() != 0) {
        const std::uint32_t from = b->size() - 1;
        const std::uint32_t to = a->size();
        a->set_entry(to, b->entry(from), b->parkers[from]);
        b->set_size(from);
        a->set_size(to + 1);
    }
    // release (both): pairs with parked()
    cache.current.store(nullptr, std::memory_order_release);
    cache.previous.store(nullptr, std::memory_order_release);
    store_shell(*a);
    store_shell(*b);
}

void slot_pool::flush_thread() noexcept {
    thread_cache* const cache = this_cache();
    if (cache == nullptr) {
        return;
    }
    release_cache(*cache);
    equip(*cache);
}

bool slot_pool::forget_retired(slot_ref entry) noexcept {
    // The generation moves on, so that a second entry of the slot is only a refused one.
    std::uint64_t retired = slot_word::make(entry.generation, slot_state::retired);
    const std::uint64_t gone = slot_word::make(entry.generation + 1, slot_state::retired);
    // relaxed (all): only the account depends on it
    if (!slab_.header(entry.index)
             .word.compare_exchange_strong(retired, gone, std::memory_order_relaxed,
                                           std::memory_order_relaxed)) {
        return false;
    }
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return true;
}

void slot_pool::drop(thread_cache& cache, slot_ref entry) noexcept {
    cache.refused.add(1);
    // A retired slot leaves the account. A second entry for a slot was put once too often, which
    // its removal from the magazine sets right.
    if (forget_retired(entry)) {
        cache.net_in.add(std::uint64_t{0} - 1);
    }
}

bool slot_pool::set_guard(guard_level level) noexcept { return slab_.set_level(level); }

void slot_pool::note_high_water() noexcept {
    // relaxed (all): a number for reports; the depot's counts are a moment apart
    const std::int64_t out = std::int64_t{fresh_.load(std::memory_order_relaxed)} -
                             depot_slots_.load(std::memory_order_relaxed);
    std::int64_t most = high_water_.load(std::memory_order_relaxed);
    while (out > most && !high_water_.compare_exchange_weak(most, out, std::memory_order_relaxed,
                                                            std::memory_order_relaxed)) {
    }
}

}  // namespace ropeway
