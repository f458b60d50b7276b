// SPDX-License-Identifier: Apache-2.0
//
// A magazine: up to 64 entries of free slots, last in first out; and the two that a thread keeps
// per pool, with that thread's counters. A magazine belongs to one thread or to the depot, never to
// two; the depot's ring orders its contents. Only counts are read by others, for reports.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/event_kind.hpp>
#include <ropeway/pool/slot.hpp>

namespace ropeway {

inline constexpr std::uint32_t magazine_capacity = 64;

/// Entries on top of each other; `parkers` says which thread put each of them.
struct alignas(cache_block) magazine {
    /// In `count`: it came through the depot, so that headers are in other caches; until it is
    /// empty or something is put into it. There, because a get then learns from one load that it is
    /// neither empty nor this.
    static constexpr std::uint32_t travelled = std::uint32_t{1} << 31;

    std::atomic<std::uint32_t> count{0};                     ///< written by the holder
    std::array<std::uint64_t, magazine_capacity> entries{};  ///< packed slot_refs
    std::array<std::uint16_t, magazine_capacity> parkers{};

    // One 64-bit word per entry: two 32-bit stores would not forward to the next get's load.
    [[nodiscard]] slot_ref entry(std::uint32_t at) const noexcept {
        return std::bit_cast<slot_ref>(entries[at]);
    }
    void set_entry(std::uint32_t at, slot_ref entry, std::uint16_t parker) noexcept {
        entries[at] = slot_bits(entry);
        parkers[at] = parker;
    }

    // relaxed (all below): own word, or a report; single writer
    [[nodiscard]] std::uint32_t size() const noexcept {
        return count.load(std::memory_order_relaxed) & ~travelled;
    }
    [[nodiscard]] bool has_travelled() const noexcept {
        return (count.load(std::memory_order_relaxed) & travelled) != 0;
    }
    /// After puts, or to forget that it travelled.
    void set_size(std::uint32_t n) noexcept { count.store(n, std::memory_order_relaxed); }
    /// After gets: what is left travelled if it had.
    void shrink_to(std::uint32_t n) noexcept {
        const std::uint32_t before = count.load(std::memory_order_relaxed);
        count.store(n != 0 ? n | (before & travelled) : 0, std::memory_order_relaxed);
    }
    /// Requires one that is not empty.
    void mark_travelled() noexcept { count.store(size() | travelled, std::memory_order_relaxed); }
};

/// A counter with one writer at a time, readable by all.
class owned_counter {
  public:
    void add(std::uint64_t n) noexcept {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
        // The same as below in one instruction instead of four, which compilers do not make of it.
        __asm__("addq %1, %0" : "+m"(value_) : "er"(n) : "cc");
#else
        // relaxed (both): single writer, so load and store need not be one operation
        value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
#endif
    }
    [[nodiscard]] std::uint64_t get() const noexcept {
        return value_.load(std::memory_order_relaxed);  // relaxed: a number for a report
    }

  private:
    std::atomic<std::uint64_t> value_{0};
};

inline constexpr std::size_t duration_buckets = 32;
inline constexpr std::uint32_t max_quarantine = 64;

/// Of so many returns of a thread one is timed.
inline constexpr std::uint32_t timed_every = 1024;

/// What one thread keeps for one pool. Written by that thread; adopted by another after it ended.
struct alignas(cache_block) thread_cache {
    std::atomic<magazine*> current{nullptr};
    std::atomic<magazine*> previous{nullptr};
    std::uint64_t stamp = 0;     ///< the thread's part of a header's meta
    std::uint64_t put_step = 0;  ///< from a slot's life to its next one, put by this thread
    std::uint16_t thread = 0;    ///< who keeps it, as slots say
    std::uint32_t most = 0;      ///< entries that a magazine takes
    std::uint32_t until_timed = timed_every;  ///< returns until one is timed
    /// Slots taken from the depot minus slots given to it, modulo 2^64.
    owned_counter net_in;
    owned_counter refused;  ///< entries that the guard refused to hand out
    std::array<owned_counter, max_event_kinds> recycled;
    owned_counter merged;  ///< returns by recycle_merged

    // Quarantine, at `full`: a FIFO of slots that wait before reuse.
    std::atomic<std::uint32_t> waiting{0};
    std::uint32_t oldest = 0;
    std::array<slot_ref, max_quarantine> quarantine{};
    std::array<std::uint16_t, max_quarantine> quarantine_parkers{};

    /// Durations of one return in 1024; bucket b counts those below 2^b ns.
    std::array<owned_counter, duration_buckets> durations;

    /// The thread that keeps it; 0 = nobody. Guarded by the pool registry.
    std::uint64_t owner = 0;
};

/// The cell of a kind in an array of max_event_kinds: unknown kinds share the last.
[[nodiscard]] constexpr std::size_t kind_cell(std::uint32_t kind) noexcept {
    return kind < max_event_kinds ? kind : max_event_kinds - 1;
}

}  // namespace ropeway
