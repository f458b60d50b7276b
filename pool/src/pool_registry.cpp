// SPDX-License-Identifier: Apache-2.0
//
// The registry, and the thread-local object whose destructor tells it that a thread ends.
#include "pool_registry.hpp"

#include <algorithm>

namespace ropeway {

namespace {

std::uint64_t next_thread_token() noexcept {
    static constinit std::atomic<std::uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);  // relaxed: only its uniqueness matters
}

thread_local constinit bool this_thread_ended = false;

/// Made at a thread's first touch of any pool; destroyed when the thread ends.
struct thread_end {
    std::uint64_t token = next_thread_token();
    thread_end() = default;
    thread_end(const thread_end&) = delete;
    thread_end& operator=(const thread_end&) = delete;
    ~thread_end() {
        // Later destructors of this thread still get and put, through the depot.
        this_thread_ended = true;
        detail::this_thread_caches.pools.fill(0);
        pool_registry::instance().thread_ends(token);
    }
};

}  // namespace

pool_registry& pool_registry::instance() noexcept {
    // Never destroyed: threads may end after the program's static objects.
    static pool_registry* const registry = std::make_unique<pool_registry>().release();
    return *registry;
}

void pool_registry::add(slot_pool& pool) {
    const std::lock_guard guard{lock_};
    pools_.push_back({&pool, nullptr});
}

void pool_registry::remove(slot_pool& pool) noexcept {
    const std::lock_guard guard{lock_};
    const auto at =
        std::find_if(pools_.begin(), pools_.end(), [&](const entry& e) { return e.pool == &pool; });
    if (at != pools_.end()) {
        if (at->back != nullptr) {
            sum(*at, at->back->past_);
        }
        pools_.erase(at);
    }
}

void pool_registry::bind(slot_pool& pool, recycler& to) noexcept {
    const std::lock_guard guard{lock_};
    for (entry& e : pools_) {
        if (e.pool == &pool) {
            e.back = &to;
        }
    }
}

void pool_registry::keep(std::unique_ptr<slot_pool> pool) noexcept {
    const std::lock_guard guard{lock_};
    kept_.push_back(std::move(pool));
}

thread_cache* pool_registry::attach(slot_pool& pool) noexcept {
    if (this_thread_ended) {
        return nullptr;
    }
    static thread_local thread_end end;
    const std::lock_guard guard{lock_};
    return pool.adopt_cache(end.token);
}

void pool_registry::thread_ends(std::uint64_t thread) noexcept {
    const std::lock_guard guard{lock_};
    for (const entry& e : pools_) {
        for (std::uint32_t i = 0; i != e.pool->params_.max_threads; ++i) {
            // acquire: pairs with adopt_cache's release
            thread_cache* const cache = e.pool->caches_[i].load(std::memory_order_acquire);
            if (cache != nullptr && cache->owner == thread) {
                e.pool->release_cache(*cache);
                cache->owner = 0;
            }
        }
    }
}

void pool_registry::sum(const entry& of, recycler_stats& into) noexcept {
    const pool_stats stats = of.pool->stats();
    into.recycled += stats.recycled;
    into.merged += stats.merged;
    for (std::size_t kind = 0; kind != max_event_kinds; ++kind) {
        into.recycled_by_kind[kind] += stats.recycled_by_kind[kind];
    }
    for (std::size_t kind = 0; kind != violation_kinds; ++kind) {
        into.violations[kind] += of.pool->storage().violations()[static_cast<violation_kind>(kind)];
    }
    for (std::uint32_t i = 0; i != of.pool->params_.max_threads; ++i) {
        // acquire: pairs with adopt_cache's release
        const thread_cache* const cache = of.pool->caches_[i].load(std::memory_order_acquire);
        for (std::size_t b = 0; cache != nullptr && b != duration_buckets; ++b) {
            into.durations[b] += cache->durations[b].get();
        }
    }
}

recycler_stats pool_registry::stats(const recycler& of) noexcept {
    const std::lock_guard guard{lock_};
    recycler_stats total = of.past_;
    for (const entry& e : pools_) {
        if (e.back == &of) {
            sum(e, total);
        }
    }
    return total;
}

bool pool_registry::owned_by_other(const void* payload, const slot_pool& but) noexcept {
    const std::lock_guard guard{lock_};
    return std::any_of(pools_.begin(), pools_.end(), [&](const entry& e) {
        std::uint32_t index = 0;
        return e.pool != &but && e.pool->storage().find(payload, index);
    });
}

void pool_registry::name_holder(slot_pool& pool, std::uint16_t site, std::string_view holder) {
    const std::lock_guard guard{lock_};
    for (auto& [known, name] : pool.holders_) {
        if (known == site) {
            name = holder;
            return;
        }
    }
    pool.holders_.emplace_back(site, holder);
}

std::string pool_registry::holder(const slot_pool& pool, std::uint16_t site) {
    const std::lock_guard guard{lock_};
    for (const auto& [known, name] : pool.holders_) {
        if (known == site) {
            return name;
        }
    }
    return {};
}

}  // namespace ropeway
