// SPDX-License-Identifier: Apache-2.0
//
// A slab with a free list: two magazines per thread over a lock-free depot. Owned by an event_pool
// or a dispatcher. get from any thread; the way back is the recycler's alone.
//
// Invariants
//  1. An entry {index, generation} is in exactly one place: a magazine, a quarantine, the depot, or
//     (as never used) above `fresh_`. Whoever holds the magazine owns its entries.
//  2. Threads never reach into each other's magazines. A slot parked in one is not available to
//     another thread until it goes through the depot: a pool must be sized for
//     outstanding + 2 * magazine_entries() per thread that puts.
//  3. outstanding = slots out of the depot - slots in magazines and quarantines - retired.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/index_ring.hpp>
#include <ropeway/pool/magazine.hpp>
#include <ropeway/pool/pool_stats.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slab.hpp>

namespace ropeway {

class recycler;
class slot_pool;
template <event_type E>
class event_pool;

/// What a user's get() does when no slot is free. Workers' get_n() always fails at once.
enum class on_exhausted : std::uint8_t {
    fail,      ///< default: no slot; counted
    grow,      ///< takes slots into use beyond `slots`, up to `max_slots`, then fails
    block,     ///< polls until `block_deadline`, then fails
    callback,  ///< asks `callback`: true = try again, false = fail
};

/// How to build a slot_pool.
struct slot_pool_params {
    /// The slab; its `slots` are the pool's capacity at the start.
    slab_params storage{};
    /// Entries of each of a thread's two magazines, 1 to 64. 0: slots / 16, at most 64, so that a
    /// thread parks at most an eighth of a small pool.
    std::uint32_t magazine_entries = 0;
    /// Threads that may have magazines at the same time, default 64. Others work, through the
    /// depot, at about 100 ns per operation.
    std::uint32_t max_threads = 64;
    /// At `full`: returns that a slot waits before reuse, 0 to 64; default 8.
    std::uint32_t quarantine = 8;
    on_exhausted exhausted = on_exhausted::fail;
    /// For `grow`: the bound. Address space is reserved for it, memory is not. Default 0 = slots.
    std::uint32_t max_slots = 0;
    /// For `block`: how long get() waits. Default 10 ms.
    std::chrono::nanoseconds block_deadline = std::chrono::milliseconds{10};
    /// For `callback`: called on the getting thread, outside all locks; must not throw.
    bool (*callback)(slot_pool&, void* context) noexcept = nullptr;
    void* callback_context = nullptr;
    /// Verify and report leaks when destroyed. Default true.
    bool report_leaks = true;
};

namespace detail {
/// Which thread_cache the calling thread has in a pool: small direct-mapped tables.
struct cache_links {
    static constexpr std::size_t size = 64;
    /// Whose caches stand in `caches`, by number; 0 = none.
    std::array<std::uint32_t, size> pools{};
    /// Never null where `pools` says something.
    std::array<thread_cache*, size> caches{};
    /// Pools that had no thread_cache left for this thread, by number.
    std::array<std::uint32_t, size> refusals{};
};
inline thread_local constinit cache_links this_thread_caches{};
}  // namespace detail

/// Slots with magazines.
/// Thread safety: every function from any thread.
/// Allocation: in the constructor, and once per thread at its first get or put.
class alignas(cache_block) slot_pool {
  public:
    /// @throws std::invalid_argument on bad params, memory_error.
    explicit slot_pool(slot_pool_params params);
    slot_pool(const slot_pool&) = delete;
    slot_pool& operator=(const slot_pool&) = delete;
    /// Reports what is outstanding (violation leak, one per site, at most 16). No thread may be
    /// inside the pool. Never throws.
    ~slot_pool();

    /// One slot by the user's exhaustion policy; may wait or grow. `meta`: make_meta().
    /// @return false: none; counted.
    [[nodiscard]] bool get(slot_ref& out, std::uint64_t meta) noexcept {
        if (try_get(out, meta)) [[likely]] {
            return true;
        }
        return get_exhausted(out, meta);
    }
    /// One slot if the magazine or the depot has one; never waits, never grows.
    [[nodiscard]] bool try_get(slot_ref& out, std::uint64_t meta) noexcept {
        thread_cache* const cache = this_cache();
        if (cache == nullptr) [[unlikely]] {
            return get_direct(out, meta);
        }
        do {
            magazine* const top = own(cache->current);
            std::uint32_t n = top->size();
            while (n != 0) {
                top->shrink_to(--n);
                if (hand_out(slab_.level(), *top, n, meta, out)) [[likely]] {
                    return true;
                }
                drop(*cache, top->entry(n));
            }
        } while (refill(*cache));
        return false;
    }
    /// Up to `n` slots at once; never waits, never grows. @return how many stand in `out`.
    [[nodiscard]] std::size_t get_n(slot_ref* out, std::size_t n, std::uint64_t meta) noexcept {
        thread_cache* const cache = this_cache();
        if (cache == nullptr) [[unlikely]] {
            return get_n_direct(out, n, meta);
        }
        const guard_level level = slab_.level();
        std::size_t got = 0;
        while (got != n) {
            magazine* const top = own(cache->current);
            std::uint32_t left = top->size();
            const std::size_t plain =
                take_run(level, *top, std::min<std::size_t>(left, n - got), meta, out + got);
            got += plain;
            left -= static_cast<std::uint32_t>(plain);
            while (left != 0 && got != n) {
                --left;
                if (hand_out(level, *top, left, meta, out[got])) [[likely]] {
                    ++got;
                } else {
                    drop(*cache, top->entry(left));
                }
            }
            top->shrink_to(left);
            if (got != n && !refill(*cache)) {
                break;
            }
        }
        return got;
    }
    /// Makes at least `n` entries ready in the calling thread's magazines if it can.
    /// @return how many the next get_n() of this thread will find, up to `n`.
    [[nodiscard]] std::size_t ensure(std::size_t n) noexcept {
        thread_cache* const cache = this_cache();
        if (cache == nullptr) [[unlikely]] {
            return std::min(n, available());
        }
        const std::size_t have = own(cache->current)->size();
        return have >= n ? n : ensure_slow(*cache, n);
    }

    [[nodiscard]] void* payload(std::uint32_t index) noexcept { return slab_.payload(index); }
    [[nodiscard]] slab& storage() noexcept { return slab_; }
    [[nodiscard]] const slab& storage() const noexcept { return slab_; }
    [[nodiscard]] const std::string& name() const noexcept { return slab_.name(); }
    [[nodiscard]] std::uint32_t number() const noexcept { return slab_.number(); }
    [[nodiscard]] std::uint32_t magazine_entries() const noexcept { return magazine_entries_; }

    /// Changes the guard level while others get and put. @return false: no memory for its tables.
    bool set_guard(guard_level level) noexcept;

    /// Makes what the calling thread will need here, so that its first operation allocates nothing.
    void prepare_thread() noexcept { static_cast<void>(this_cache()); }

    /// Applies `how` to every slot, at any time; contents stay as they are. Throws memory_error.
    void warm_up(const memory_params& how) { slab_.warm_up(how, slab_.slots()); }

    /// Gives the calling thread's magazines and quarantine back to the depot, the quarantine after
    /// a last verification. Happens by itself when a thread ends.
    void flush_thread() noexcept;

    /// Slots in use or ready for use; grows with `grow`.
    [[nodiscard]] std::uint32_t capacity() const noexcept {
        return capacity_.load(std::memory_order_relaxed);  // relaxed: a number
    }
    // Exact while nobody gets or puts; else as of slightly different moments.
    /// Slots that somebody holds.
    [[nodiscard]] std::size_t outstanding() const noexcept;
    /// Free slots in threads' magazines and quarantines, which only those threads can get.
    [[nodiscard]] std::size_t parked() const noexcept;
    /// Free slots that any thread can get.
    [[nodiscard]] std::size_t available() const noexcept;
    /// The most slots that were ever out of the depot at once: outstanding + parked.
    [[nodiscard]] std::size_t high_water_mark() const noexcept;
    [[nodiscard]] pool_stats stats() const noexcept;
    [[nodiscard]] memory_report memory() const noexcept;
    /// Who holds what: outstanding by site. Scans all slots; allocates.
    [[nodiscard]] leak_report leaks() const;
    /// Names whoever holds slots of a site (a subscription), for leak reports. Copied.
    void name_holder(std::uint16_t site, std::string_view holder);

    /// For a pool that ends while slots are out: keeps the storage for ever, so that late returns
    /// are harmless, and reports the leak. Destroys the pool if nothing is out.
    static void retire(std::unique_ptr<slot_pool> pool) noexcept;

  private:
    friend class recycler;
    friend class pool_registry;

    template <event_type E>
    friend class event_pool;

    /// The get of nearly always: up to `guard`, from a magazine with entries. At `off` the word is
    /// looked at too, but decides nothing: the other functions find that it need not fit.
    /// `Stride` is the slab's, known where the event's type is.
    /// @return false: nothing was done; the other functions do what is to be done.
    template <std::size_t Stride>
    [[nodiscard]] bool get_plain(site_id where, slot_header*& header, slot_ref& out) noexcept {
        thread_cache* cache = nullptr;
        if (!is_plain(cache)) [[unlikely]] {
            return false;
        }
        return get_from<Stride>(*cache, where, header, out);
    }
    /// The same at `sampled`, for all gets but one in 1024.
    template <std::size_t Stride>
    [[nodiscard]] bool get_unsampled(site_id where, slot_header*& header, slot_ref& out) noexcept {
        thread_cache* cache = nullptr;
        if (!is_sampled(cache) || !slab::skip_sample()) {
            return false;
        }
        if (get_from<Stride>(*cache, where, header, out)) [[likely]] {
            return true;
        }
        slab::count_again();
        return false;
    }
    template <std::size_t Stride>
    [[nodiscard]] bool get_from(thread_cache& cache, site_id where, slot_header*& header,
                                slot_ref& out) noexcept {
        magazine& top = *own(cache.current);
        std::uint32_t left = top.count.load(std::memory_order_relaxed) - 1;  // own word
        std::uint32_t at = left;
        if (static_cast<std::int32_t>(left) < 0) {  // none, or it travelled
            at = left & ~magazine::travelled;
            if (at >= magazine_capacity) [[unlikely]] {
                return false;
            }
            left = at != 0 ? left : 0;
            if (at >= prefetch_distance) {
                prefetch_slot(
                    slab_.memory_ + slot_index(top.entries[at - prefetch_distance]) * Stride,
                    Stride);
            }
        }
        const std::uint64_t bits = top.entries[at];
        std::byte* const memory = slab_.memory_;
        header = std::launder(
            reinterpret_cast<slot_header*>(memory + std::size_t{slot_index(bits)} * Stride));
        // relaxed (all): see slab's invariant 2
        if (header->word.load(std::memory_order_relaxed) !=
            slot_word::of_bits(bits, slot_state::free, top.parkers[at])) [[unlikely]] {
            return false;
        }
        top.count.store(left, std::memory_order_relaxed);  // own word
        header->meta.store(coarse_now_stamp() | cache.stamp | where, std::memory_order_relaxed);
        header->word.store(slot_word::of_bits(bits, slot_state::live), std::memory_order_relaxed);
        out = std::bit_cast<slot_ref>(bits);
        if (header == nullptr) {
            __builtin_unreachable();  // a slot has an address: spares the callers a test
        }
        return true;
    }

    // The way back; the recycler's alone.

    /// The return of nearly always, of an event that a handle holds: up to `sampled`, where what is
    /// to be treated as at `full` carries a flag in its word; to a magazine with room.
    /// @return false: nothing was done; the other functions do what is to be done.
    template <event_type E>
    [[nodiscard]] bool put_plain(E& event, slot_ref held, site_id where) noexcept {
        thread_cache* cache = nullptr;
        if (!is_plain(cache, ~slab::watched_gets)) [[unlikely]] {
            return false;
        }
        return put_to<E>(*cache, event, held, where);
    }
    template <event_type E>
    [[nodiscard]] bool put_to(thread_cache& cache, E& event, slot_ref held,
                              site_id where) noexcept {
        const std::uint64_t bits = slot_bits(held);
        const std::uint64_t life = bits & generation_bits;
        slot_header& header =
            *std::launder(reinterpret_cast<slot_header*>(std::addressof(event)) - 1);
        magazine& top = *own(cache.current);
        // relaxed (all): own word; the others: see slab's invariant 2
        const std::uint32_t n = top.count.load(std::memory_order_relaxed);
        if (header.word.load(std::memory_order_relaxed) !=
                slot_word::of_bits(life, slot_state::live) ||
            n >= cache.most) [[unlikely]] {  // full, or it travelled
            return false;
        }
        const std::uint32_t kind = event_traits<E>::kind(event);
        if (kind >= max_event_kinds) [[unlikely]] {
            return false;
        }
        if (--cache.until_timed == 0) [[unlikely]] {
            cache.until_timed = 1;
            return false;
        }
        cache.recycled[kind].add(1);
        const auto end_life = [&] {
            header.meta.store(coarse_now_stamp() | cache.stamp | where, std::memory_order_relaxed);
            header.word.store(life + cache.put_step, std::memory_order_relaxed);
        };
        if constexpr (std::is_trivially_copyable_v<E>) {
            end_life();
            top.entries[n] = bits + one_generation;
            top.parkers[n] = cache.thread;
            top.set_size(n + 1);
        } else {
            event_traits<E>::reset(event);  // the user's: may get and put here, too
            end_life();
            push(cache, std::bit_cast<slot_ref>(bits + one_generation), cache.thread);
        }
        return true;
    }

    /// The same for a reference, which may name no slot.
    template <event_type E>
    [[nodiscard]] bool put_plain(slot_ref held, site_id where) noexcept {
        if (held.index >= slab_.slots_) [[unlikely]] {
            return false;
        }
        return put_plain<E>(*payload_here<E>(held), held, where);
    }
    /// Where a slot's payload is unless `degenerate` was used; otherwise not to be looked at.
    template <event_type E>
    [[nodiscard]] E* payload_here(slot_ref held) const noexcept {
        return std::launder(reinterpret_cast<E*>(slab_.slot(held.index) + slab::header_bytes));
    }
    /// True where get_unsampled() may do something.
    [[nodiscard]] bool at_sampled() const noexcept {
        return (slab_.mode() & ~std::uint64_t{slab::no_key}) == slab::sampled_mode;
    }

    void push(thread_cache& cache, slot_ref entry, std::uint16_t parker) noexcept {
        magazine* const top = own(cache.current);
        const std::uint32_t n = top->size();
        if (n == magazine_entries_ || needs_attention()) [[unlikely]] {
            push_slow(cache, entry, parker);
            return;
        }
        top->set_entry(n, entry, parker);
        top->set_size(n + 1);
    }
    void push_direct(slot_ref entry, std::uint16_t parker) noexcept;

    [[nodiscard]] thread_cache* this_cache() noexcept {
        detail::cache_links& links = detail::this_thread_caches;
        const std::uint32_t at = slab_.number_ % detail::cache_links::size;
        return links.pools[at] == slab_.number_ ? links.caches[at] : attach();
    }
    /// True if the calling thread has a cache here and the slab's mode is plain, as far as `mask`
    /// looks at its key.
    [[nodiscard]] bool is_plain(thread_cache*& cache,
                                std::uint32_t mask = slab::no_key) const noexcept {
        const std::uint32_t key = slab::key_in(slab_.mode()) & mask;
        detail::cache_links& links = detail::this_thread_caches;
        const std::uint32_t at = key % detail::cache_links::size;
        cache = links.caches[at];
        return links.pools[at] == key;
    }
    /// True if it has one and the mode were plain but for the level `sampled`.
    [[nodiscard]] bool is_sampled(thread_cache*& cache) const noexcept {
        detail::cache_links& links = detail::this_thread_caches;
        const std::uint32_t at = slab_.number_ % detail::cache_links::size;
        cache = links.caches[at];
        return at_sampled() && links.pools[at] == slab_.number_;
    }
    /// A put must look whether somebody waits for it, or whether the slot goes into quarantine.
    /// A level or a waiter is seen at one of the next puts.
    [[nodiscard]] bool needs_attention() const noexcept {
        const std::uint64_t mode = slab_.mode();
        return (mode & slab::someone_waits) != 0 || quarantines(mode);
    }
    [[nodiscard]] static constexpr bool quarantines(std::uint64_t mode) noexcept {
        return slab::level_in(mode) >= guard_level::full;
    }
    [[nodiscard]] static magazine* own(const std::atomic<magazine*>& of) noexcept {
        return of.load(std::memory_order_relaxed);  // relaxed: written by this thread
    }
    /// Room for a run of pushes: 0 if each of them must be looked at by itself.
    [[nodiscard]] std::uint32_t room(const magazine& top) const noexcept {
        return needs_attention() ? 0 : magazine_entries_ - top.size();
    }
    /// Up to `n` entries from the top of a magazine, as long as nothing about them is unusual: the
    /// loop keeps what it needs in registers. @return how many.
    [[nodiscard]] std::size_t take_run(guard_level level, magazine& from, std::size_t n,
                                       std::uint64_t meta, slot_ref* out) noexcept {
        if (level > guard_level::guard) [[unlikely]] {
            return 0;
        }
        std::byte* const memory = slab_.memory_;
        const std::size_t stride = slab_.stride_;
        const std::uint64_t* entry = from.entries.data() + from.size();
        const std::uint16_t* parker = from.parkers.data() + from.size();
        for (std::size_t i = 1; from.has_travelled() && i <= n; ++i) {
            prefetch_for_write(memory +
                               slot_index(entry[-static_cast<std::ptrdiff_t>(i)]) * stride);
        }
        const bool checks = level != guard_level::off;
        std::size_t got = 0;
        for (; got != n; ++got) {
            const std::uint64_t bits = *--entry;
            auto& header = *reinterpret_cast<slot_header*>(memory + slot_index(bits) * stride);
            --parker;
            // relaxed (all): see slab's invariant 2
            if (checks && header.word.load(std::memory_order_relaxed) !=
                              slot_word::of_bits(bits, slot_state::free, *parker)) [[unlikely]] {
                break;
            }
            header.meta.store(meta, std::memory_order_relaxed);
            header.word.store(slot_word::of_bits(bits, slot_state::live),
                              std::memory_order_relaxed);
            out[got] = std::bit_cast<slot_ref>(bits);
        }
        return got;
    }
    [[nodiscard]] bool hand_out(guard_level level, magazine& from, std::uint32_t at,
                                std::uint64_t meta, slot_ref& out) noexcept {
        const slot_ref entry = from.entry(at);
        if (from.has_travelled() && at >= prefetch_distance) {
            prefetch_slot(slab_.memory_ + slab_.stride_ * from.entry(at - prefetch_distance).index,
                          slab_.stride_);
        }
        out = entry;
        return slab_.check_out_at(level, entry, meta, from.parkers[at]);
    }

    static constexpr std::uint32_t prefetch_distance = 4;
    /// Asks for a slot that another thread gave back: its header, and where events begin.
    static void prefetch_slot(const std::byte* slot, std::size_t stride) noexcept {
        constexpr std::size_t line = cache_block / 2;
        prefetch_for_write(slot);
        if (stride > line) {
            prefetch_for_write(slot + line);
        }
    }

    [[gnu::cold]] thread_cache* attach() noexcept;
    [[gnu::noinline]] bool refill(thread_cache& cache) noexcept;
    [[gnu::noinline]] void push_slow(thread_cache& cache, slot_ref entry,
                                     std::uint16_t parker) noexcept;
    [[gnu::noinline]] std::size_t ensure_slow(thread_cache& cache, std::size_t n) noexcept;
    [[gnu::cold]] bool get_exhausted(slot_ref& out, std::uint64_t meta) noexcept;
    [[gnu::cold]] bool wait_for_slot(slot_ref& out, std::uint64_t meta) noexcept;
    [[gnu::cold]] bool grow() noexcept;
    [[gnu::cold]] bool get_direct(slot_ref& out, std::uint64_t meta) noexcept;
    [[gnu::cold]] std::size_t get_n_direct(slot_ref* out, std::size_t n,
                                           std::uint64_t meta) noexcept;
    [[gnu::cold]] void drop(thread_cache& cache, slot_ref entry) noexcept;
    void insert(thread_cache& cache, slot_ref entry, std::uint16_t parker) noexcept;
    void quarantine(thread_cache& cache, slot_ref entry, std::uint16_t parker) noexcept;
    void leave_quarantine(thread_cache& cache, std::uint32_t keep) noexcept;
    void release_cache(thread_cache& cache) noexcept;
    void equip(thread_cache& cache) noexcept;
    void hand_over(thread_cache& cache, std::atomic<magazine*>& which) noexcept;
    [[nodiscard]] bool load(thread_cache& cache, std::atomic<magazine*>& which) noexcept;
    [[nodiscard]] magazine* take_full() noexcept;
    [[nodiscard]] magazine* take_shell() noexcept;
    void store_shell(magazine& shell) noexcept;
    [[nodiscard]] std::uint32_t carve(magazine& into, std::uint32_t most) noexcept;
    [[nodiscard]] std::uint32_t shell_number(const magazine& shell) const noexcept;
    [[nodiscard]] bool forget_retired(slot_ref entry) noexcept;
    void note_high_water() noexcept;
    [[nodiscard]] thread_cache* adopt_cache(std::uint64_t owner) noexcept;
    void report_leaks() noexcept;

    struct checked_tag {};
    slot_pool(slot_pool_params params, checked_tag);

    slab slab_;

    // Constant after construction.
    std::uint32_t magazine_entries_ = magazine_capacity;
    slot_pool_params params_;
    std::uint32_t shells_ = 0;
    std::unique_ptr<magazine[]> magazines_;
    std::unique_ptr<std::atomic<thread_cache*>[]> caches_;
    index_ring full_;    ///< magazines with entries
    index_ring hollow_;  ///< magazines without

    // Shared by the slow paths.
    alignas(cache_block) std::atomic<std::uint32_t> fresh_{0};  ///< first slot never used
    std::atomic<std::uint32_t> capacity_{0};
    std::atomic<std::uint32_t> waiters_{0};
    std::atomic<std::int64_t> depot_slots_{0};  ///< entries in full_
    std::atomic<std::int64_t> direct_net_{0};   ///< out of the depot by threads without magazines
    std::atomic<std::int64_t> high_water_{0};
    std::atomic<std::uint64_t> exhausted_{0};
    std::atomic<std::uint64_t> direct_refused_{0};
    std::atomic<std::uint64_t> dropped_{0};  ///< retired slots whose entries are gone
    std::atomic<std::uint64_t> grown_{0};
    std::array<std::atomic<std::uint64_t>, max_event_kinds> direct_recycled_{};
    bool orphaned_ = false;                                       ///< written once, by retire()
    std::vector<std::pair<std::uint16_t, std::string>> holders_;  ///< guarded by the registry
};

}  // namespace ropeway
