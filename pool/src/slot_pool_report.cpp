// SPDX-License-Identifier: Apache-2.0
//
// What a pool says of itself: sums over its threads' caches, and a scan of its slots for leaks.
#include <algorithm>
#include <string>
#include <utility>

#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slot_pool.hpp>

#include "pool_registry.hpp"

namespace ropeway {

namespace {

constexpr std::size_t max_leak_reports = 16;

std::size_t not_negative(std::int64_t n) noexcept {
    return n > 0 ? static_cast<std::size_t>(n) : 0;
}

std::size_t held_by(const thread_cache& cache) noexcept {
    std::size_t n = cache.waiting.load(std::memory_order_relaxed);  // relaxed: a number
    for (const std::atomic<magazine*>* which : {&cache.current, &cache.previous}) {
        // acquire: pairs with the owner's store; the shell's count is visible
        const magazine* const shell = which->load(std::memory_order_acquire);
        n += shell != nullptr ? shell->size() : 0;
    }
    return n;
}

}  // namespace

std::size_t slot_pool::parked() const noexcept {
    std::size_t n = 0;
    for (std::uint32_t i = 0; i != params_.max_threads; ++i) {
        // acquire: pairs with adopt_cache's release
        const thread_cache* const cache = caches_[i].load(std::memory_order_acquire);
        n += cache != nullptr ? held_by(*cache) : 0;
    }
    return n;
}

std::size_t slot_pool::outstanding() const noexcept {
    std::int64_t n = direct_net_.load(std::memory_order_relaxed);  // relaxed: a number
    for (std::uint32_t i = 0; i != params_.max_threads; ++i) {
        // acquire: pairs with adopt_cache's release
        const thread_cache* const cache = caches_[i].load(std::memory_order_acquire);
        if (cache != nullptr) {
            n += static_cast<std::int64_t>(cache->net_in.get() - held_by(*cache));
        }
    }
    return not_negative(n);
}

std::size_t slot_pool::available() const noexcept {
    // relaxed (all): numbers of slightly different moments
    const std::uint32_t fresh = fresh_.load(std::memory_order_relaxed);
    return not_negative(depot_slots_.load(std::memory_order_relaxed)) + (capacity() - fresh);
}

std::size_t slot_pool::high_water_mark() const noexcept {
    return not_negative(high_water_.load(std::memory_order_relaxed));  // relaxed: a number
}

pool_stats slot_pool::stats() const noexcept {
    pool_stats out;
    out.capacity = capacity();
    out.outstanding = outstanding();
    out.parked = parked();
    out.available = available();
    out.retired = slab_.retired();
    out.high_water_mark = high_water_mark();
    // relaxed (all below): numbers
    out.exhausted = exhausted_.load(std::memory_order_relaxed);
    out.grown = grown_.load(std::memory_order_relaxed);
    out.refused = direct_refused_.load(std::memory_order_relaxed);
    for (std::size_t kind = 0; kind != max_event_kinds; ++kind) {
        out.recycled_by_kind[kind] = direct_recycled_[kind].load(std::memory_order_relaxed);
    }
    for (std::uint32_t i = 0; i != params_.max_threads; ++i) {
        // acquire: pairs with adopt_cache's release
        const thread_cache* const cache = caches_[i].load(std::memory_order_acquire);
        if (cache == nullptr) {
            continue;
        }
        out.refused += cache->refused.get();
        out.merged += cache->merged.get();
        for (std::size_t kind = 0; kind != max_event_kinds; ++kind) {
            out.recycled_by_kind[kind] += cache->recycled[kind].get();
        }
    }
    for (const std::uint64_t n : out.recycled_by_kind) {
        out.recycled += n;
    }
    return out;
}

memory_report slot_pool::memory() const noexcept {
    memory_report out;
    out.slot_bytes = slab_.slot_memory_bytes();
    out.guard_bytes = slab_.guard_memory_bytes();
    out.magazine_bytes = sizeof(slot_pool) + shells_ * sizeof(magazine) +
                         params_.max_threads * sizeof(std::atomic<thread_cache*>) +
                         (full_.capacity() + hollow_.capacity()) * sizeof(std::uint64_t);
    for (std::uint32_t i = 0; i != params_.max_threads; ++i) {
        // acquire: pairs with adopt_cache's release
        out.magazine_bytes +=
            caches_[i].load(std::memory_order_acquire) != nullptr ? sizeof(thread_cache) : 0;
    }
    return out;
}

leak_report slot_pool::leaks() const {
    leak_report report;
    report.pool = name();
    const std::uint32_t now_ms = advance_coarse_clock();
    const std::uint32_t used = std::min(fresh_.load(std::memory_order_relaxed), slab_.slots());
    for (std::uint32_t i = 0; i != used; ++i) {
        const slot_header& h = slab_.header(i);
        // relaxed (both): a look at slots that others hold
        const slot_state state = slot_word::state(h.word.load(std::memory_order_relaxed));
        const std::uint64_t meta = h.meta.load(std::memory_order_relaxed);
        if (state != slot_state::live && state != slot_state::lent) {
            continue;
        }
        ++report.outstanding;
        auto at = std::find_if(report.sites.begin(), report.sites.end(),
                               [&](const leak_site& s) { return s.site == meta_site(meta); });
        if (at == report.sites.end()) {
            at = report.sites.insert(at, leak_site{});
            at->site = meta_site(meta);
        }
        ++at->count;
        at->lent |= state == slot_state::lent;
        const std::uint32_t age = coarse_age_ms(now_ms, meta_ms(meta));
        if (at->count == 1 || age > at->oldest_ms) {
            at->oldest_ms = age;
            at->oldest_slot = i;
            at->thread_number = meta_thread(meta);
            std::uint32_t kind = 0;
            at->trace = {};
            static_cast<void>(slab_.glimpse(i, kind, at->trace));
        }
    }
    std::stable_sort(report.sites.begin(), report.sites.end(),
                     [](const leak_site& a, const leak_site& b) { return a.count > b.count; });
    for (leak_site& at : report.sites) {
        at.where = site_text(at.site);
        at.thread = thread_text(at.thread_number);
        at.holder = pool_registry::instance().holder(*this, at.site);
    }
    return report;
}

void slot_pool::name_holder(std::uint16_t site, std::string_view holder) {
    pool_registry::instance().name_holder(*this, site, holder);
}

void slot_pool::report_leaks() noexcept {
    if (outstanding() == 0) {
        return;
    }
    try {
        const leak_report report = leaks();
        for (std::size_t i = 0; i != std::min(report.sites.size(), max_leak_reports); ++i) {
            const leak_site& at = report.sites[i];
            slab_.report_leak(at.oldest_slot, at.count);
        }
    } catch (const std::bad_alloc&) {
        slab_.report_leak(0, outstanding());  // without the sites
    }
}

void slot_pool::retire(std::unique_ptr<slot_pool> pool) noexcept {
    if (pool == nullptr || pool->outstanding() == 0) {
        return;
    }
    if (pool->params_.report_leaks) {
        pool->report_leaks();
    }
    pool->orphaned_ = true;
    pool_registry::instance().keep(std::move(pool));
}

std::string to_string(const leak_report& report) {
    std::string text = "pool \"" + report.pool + "\": " + std::to_string(report.outstanding) +
                       " slot(s) outstanding";
    for (const leak_site& at : report.sites) {
        text += "\n  " + std::to_string(at.count) + " from " + at.where;
        text += at.holder.empty() ? "" : " (" + at.holder + ")";
        text += at.lent ? ", lent as raw pointers" : "";
        text += "; the oldest for " + std::to_string(at.oldest_ms) + " ms, by " + at.thread;
        if (at.trace != trace_id{}) {
            constexpr char digits[] = "0123456789abcdef";
            text += ", trace ";
            for (const std::uint64_t half : {at.trace.high, at.trace.low}) {
                for (int shift = 60; shift >= 0; shift -= 4) {
                    text += digits[(half >> shift) & 0xF];
                }
            }
        }
    }
    return text;
}

}  // namespace ropeway
