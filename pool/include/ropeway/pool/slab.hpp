// SPDX-License-Identifier: Apache-2.0
//
// A slab: the memory of a pool's slots, their headers and the guard over them; no free list. Owned
// by a slot_pool, or by a publisher for its ring's originals. The slot itself is owned by whoever
// checked it out; its words are written by that owner alone.
//
// Invariants
//  1. A header's generation grows by one at each return, and never otherwise.
//  2. At `off` and `guard` a transition is one relaxed 64-bit store without a lock prefix: the slot
//     travels between threads through a magazine, the depot or a ring, whose acquire/release orders
//     it. At `full` and `degenerate` the owner is found by CAS, so that of two returns at once
//     exactly one succeeds.
//  3. `off` writes the same words as `guard` but nothing depends on what they say (the generation
//     comes from the reference), so a level can be changed while others get and put.
//  4. Whatever a level left on a slot is marked by flags in its word; a level that does not expect
//     flags finds the word unequal and takes the slow path, which understands all of them.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <type_traits>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/event_traits.hpp>
#include <ropeway/pool/guard.hpp>
#include <ropeway/pool/memory_source.hpp>
#include <ropeway/pool/slab_ops.hpp>
#include <ropeway/pool/slot.hpp>
#include <ropeway/pool/violation.hpp>

namespace ropeway {

/// What the second header word means in a slab, for its reports.
enum class meta_use : std::uint8_t {
    sequence,  ///< ring originals: the event's sequence number
    site,      ///< make_meta(site, thread, ms)
};

/// How to build a slab.
struct slab_params {
    /// Named in reports; the first 31 bytes are kept.
    std::string name = "slab";
    /// Slots of the slab, 1 to 2^31. No default that would suit anybody.
    std::uint32_t slots = 0;
    /// Bytes of a slot, header included; a multiple of 64. slot_bytes<E>.
    std::size_t slot_bytes = 0;
    /// Default `guard`: about 1 ns per get and put. May be changed at run time.
    guard_level guard = guard_level::guard;
    /// Must outlive the slab. nullptr: mmap_memory().
    memory_source* memory = nullptr;
    /// What follows a violation's report.
    violation_policy policy = violation_policy::log_and_drop;
    /// slab_ops::of<E>().
    slab_ops ops{};
    /// What is done to the memory at construction: see memory_params. Default nothing.
    memory_params prepare{};
    /// Slots that `prepare` touches; 0 = all. Less than all in a pool that may grow.
    std::uint32_t prepared_slots = 0;
    meta_use meta = meta_use::sequence;
    /// Where every slot's lives begin to count. For tests of their wrap after 2^32 lives; any other
    /// value than 0 touches every slot at construction.
    std::uint32_t first_generation = 0;
};

/// Eight bytes of the pattern that fills a free payload at `full`.
inline constexpr std::uint64_t poison_pattern = 0xDEAD'BEEF'DEAD'BEEF;

namespace detail {
/// `sampled`: of the calling thread's gets one in this many is treated as at `full`.
inline constexpr std::uint32_t sampled_every = 1024;
inline thread_local constinit std::uint32_t until_sample = sampled_every;
}  // namespace detail

/// Slots, headers and guard.
/// Thread safety: every function may be called from any thread; those that take a slot_ref only by
/// the slot's holder (a violation of which is what they detect).
/// Allocation: in the constructor; in set_level() when a level first needs its tables; per get at
/// `degenerate`. Nowhere else.
class alignas(cache_block) slab {
  public:
    /// @throws std::invalid_argument on bad params, memory_error.
    explicit slab(slab_params params);
    slab(const slab&) = delete;
    slab& operator=(const slab&) = delete;
    /// Destroys the payloads that are not trivially copyable, held or not, and gives back the
    /// memory. At `full` verifies every free slot a last time.
    ~slab();

    [[nodiscard]] std::uint32_t slots() const noexcept { return slots_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// Process-wide number; never given twice. Part of tickets.
    [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
    [[nodiscard]] violation_policy policy() const noexcept { return policy_; }
    [[nodiscard]] const slab_ops& ops() const noexcept { return ops_; }
    [[nodiscard]] std::size_t payload_capacity() const noexcept { return stride_ - header_bytes; }
    [[nodiscard]] const violation_counts& violations() const noexcept { return violations_; }
    /// Slots that were misused and are never handed out again.
    [[nodiscard]] std::uint32_t retired() const noexcept {
        return retired_.load(std::memory_order_relaxed);  // relaxed: a number for a report
    }

    /// The payload's address; constant while the slot is held.
    [[nodiscard]] void* payload(std::uint32_t index) noexcept {
        if (shadow_.load(std::memory_order_relaxed) != nullptr) [[unlikely]] {
            // relaxed: only asks whether `degenerate` was ever used
            return shadow_payload(index);
        }
        return slot(index) + header_bytes;
    }
    [[nodiscard]] slot_header& header(std::uint32_t index) noexcept {
        return *std::launder(reinterpret_cast<slot_header*>(slot(index)));
    }
    [[nodiscard]] const slot_header& header(std::uint32_t index) const noexcept {
        return *std::launder(reinterpret_cast<const slot_header*>(slot(index)));
    }
    /// The reference by which a slot is held now. For whoever holds it and kept its number only.
    [[nodiscard]] slot_ref current(std::uint32_t index) const noexcept {
        // Relaxed: the holder's own, or handed to him in order.
        return {index, slot_word::generation(header(index).word.load(std::memory_order_relaxed))};
    }
    /// The reference of a slot that was never used, in a slab whose generations begin at 0.
    [[nodiscard]] static constexpr slot_ref initial(std::uint32_t index) noexcept {
        return {index, 0};
    }
    /// The same in this slab.
    [[nodiscard]] slot_ref never_used(std::uint32_t index) const noexcept {
        return {index, first_generation_};
    }
    /// What a successful check_in turns a reference into.
    [[nodiscard]] static constexpr slot_ref after_check_in(slot_ref held) noexcept {
        return std::bit_cast<slot_ref>(slot_bits(held) + one_generation);
    }

    [[nodiscard]] guard_level level() const noexcept { return level_in(mode()); }
    /// Changes the level while others get and put. Any thread.
    /// @return false if the tables of the level could not be had; the level is then unchanged.
    bool set_level(guard_level level) noexcept;

    /// free -> live. `meta` is what the header shall say.
    /// @return false: do not hand this slot out; reported, and the entry must be dropped.
    [[nodiscard]] bool check_out(slot_ref entry, std::uint64_t meta) noexcept {
        return check_out_as(entry, meta, any_parker);
    }
    /// The same for an entry that says which thread put it: of two entries for one slot, which two
    /// racing puts can make below `full`, only that of the later word is handed out.
    [[nodiscard]] bool check_out_parked(slot_ref entry, std::uint16_t parker,
                                        std::uint64_t meta) noexcept {
        return check_out_as(entry, meta, parker);
    }

    /// live -> free, generation + 1. The header's meta stays.
    /// @return false: not the holder's to give back; reported, and it must not be inserted.
    [[nodiscard]] bool check_in(slot_ref held) noexcept {
        const guard_level now = level();
        if (now > guard_level::sampled || !ops_.poisonable) [[unlikely]] {
            return check_in_slow({held, 0, false, slot_state::live}, nullptr);
        }
        if (now != guard_level::off && !holds(held)) [[unlikely]] {
            return check_in_slow({held, 0, false, slot_state::live}, nullptr);
        }
        set_word(held.index, slot_word::of(after_check_in(held), slot_state::free));
        return true;
    }

    /// live -> free for an event of type E: reads its kind, resets it if it is not trivially
    /// copyable, and stamps the header with who gave it back (its thread becomes the parker).
    template <event_type E>
    [[nodiscard]] bool release(slot_ref held, std::uint64_t meta, std::uint32_t& kind) noexcept {
        const guard_level now = level();
        if (now > guard_level::sampled) [[unlikely]] {
            return check_in_slow({held, meta, true, slot_state::live}, &kind);
        }
        // A sampled slot carries a flag, so that its word is not the expected one.
        if (held.index >= slots_ || (now != guard_level::off && !holds(held))) [[unlikely]] {
            return check_in_slow({held, meta, true, slot_state::live}, &kind);
        }
        E& event = *static_cast<E*>(payload(held.index));
        kind = event_traits<E>::kind(event);
        if constexpr (!std::is_trivially_copyable_v<E>) {
            event_traits<E>::reset(event);
        }
        slot_header& h = header(held.index);
        // relaxed (both): see invariant 2
        h.meta.store(meta, std::memory_order_relaxed);
        h.word.store(slot_word::of(after_check_in(held), slot_state::free, meta_thread(meta)),
                     std::memory_order_relaxed);
        return true;
    }

    /// check_in and check_out in one touch: a ring original's next life begins at once.
    [[nodiscard]] bool renew(slot_ref held, std::uint64_t meta) noexcept {
        const guard_level now = level();
        const bool watched =
            now > guard_level::sampled || (now == guard_level::sampled && sample_now());
        if (watched || !ops_.poisonable) [[unlikely]] {
            return check_in(held) && check_out(after_check_in(held), meta);
        }
        if (now != guard_level::off && !holds(held)) [[unlikely]] {
            return check_in(held) && check_out(after_check_in(held), meta);
        }
        slot_header& h = header(held.index);
        // relaxed (both): see invariant 2
        h.meta.store(meta, std::memory_order_relaxed);
        h.word.store(slot_word::of(after_check_in(held), slot_state::live),
                     std::memory_order_relaxed);
        return true;
    }

    /// True if renew() would do no more than write the header: levels up to `guard`, and the header
    /// is the holder's.
    [[nodiscard]] bool renewable(slot_ref held) const noexcept {
        const guard_level now = level();
        return ops_.poisonable &&
               (now == guard_level::off || (now == guard_level::guard && holds(held)));
    }
    /// Writes the header of a slot that its holder renewed, or goes on holding. Holder only.
    void stamp(slot_ref held, std::uint64_t meta) noexcept {
        slot_header& h = header(held.index);
        // relaxed (both): see invariant 2
        h.meta.store(meta, std::memory_order_relaxed);
        h.word.store(slot_word::of(held, slot_state::live), std::memory_order_relaxed);
    }
    /// Asks for a slot's lines ahead of a write.
    void fetch_for_write(std::uint32_t index) const noexcept {
        const std::byte* const start = slot(index);
        for (std::size_t at = 0; at < 2 * slot_line_bytes; at += slot_line_bytes) {
            prefetch_for_write(start + at);
        }
    }

    /// Asks for a slot's lines ahead of a read.
    void fetch_for_read(std::uint32_t index) const noexcept {
        const std::byte* const start = slot(index);
        for (std::size_t at = 0; at < 2 * slot_line_bytes; at += slot_line_bytes) {
            prefetch_for_read(start + at);
        }
    }

    /// At `full`: takes an image of a ring original's payload at publish, which its check_in
    /// compares (violation write_after_publish). Below `full` does nothing. Holder only.
    void seal(slot_ref held) noexcept {
        if (level() >= guard_level::full) [[unlikely]] {
            seal_slow(held);
        }
    }

    /// live -> lent: the holder will use a raw pointer from here on. Exact (CAS) at every level.
    [[nodiscard]] bool lend(slot_ref held, std::uint64_t meta) noexcept;
    /// lent -> free, exact at every level. As check_in.
    [[nodiscard]] bool give_back_lent(slot_ref held, std::uint64_t meta,
                                      std::uint32_t& kind) noexcept {
        return check_in_slow({held, meta, true, slot_state::lent}, &kind);
    }

    /// True if the reference's life of the slot still runs (live or lent).
    [[nodiscard]] bool is_current(slot_ref held) const noexcept;
    /// Reports a read through a stale reference.
    void report_stale_read(slot_ref held, std::uint64_t meta) noexcept;
    /// Reports a pointer that is no slot of this slab.
    void report_foreign(violation_kind kind, slot_ref held, std::uint64_t meta) noexcept;

    /// Reports `count` slots of one site as leaked; `oldest` names site, thread and time.
    void report_leak(std::uint32_t oldest, std::size_t count) noexcept;
    /// True once a level gave lives allocations of their own.
    [[nodiscard]] bool had_own_allocations() const noexcept {
        return shadow_.load(std::memory_order_relaxed) != nullptr;  // relaxed: a question of fact
    }

    /// Verifies a free slot's payload now; a finding is reported and the slot retired. Any thread;
    /// a hand-out of that slot waits meanwhile.
    /// @return false if the payload had been written to.
    bool verify(slot_ref entry) noexcept;
    /// verify() for every free slot: at orderly ends. @return the number of findings.
    std::size_t verify_all() noexcept;

    /// True if `payload` is the address of one of this slab's payloads, `index` then says which.
    [[nodiscard]] bool find(const void* payload, std::uint32_t& index) noexcept;

    /// Kind and trace id of a payload that somebody else may be writing to: a racy copy, for
    /// reports only. False for types that are not trivially copyable, or if the slot changed hands.
    [[nodiscard]] bool glimpse(std::uint32_t index, std::uint32_t& kind,
                               trace_id& trace) const noexcept;

    /// Reserved bytes: slots, and the tables of the levels used so far.
    [[nodiscard]] std::size_t slot_memory_bytes() const noexcept { return memory_bytes_; }
    [[nodiscard]] std::size_t guard_memory_bytes() const noexcept;

    /// Applies `params` to the first `slots` slots, at any time; contents stay as they are.
    /// @throws memory_error.
    void warm_up(const memory_params& params, std::uint32_t slots);

  private:
    friend class slot_pool;
    template <event_type E>
    friend class slab_run;
    static constexpr std::size_t header_bytes = sizeof(slot_header);
    static constexpr std::uint32_t any_parker = 0x1'0000;

    // The mode: the level, and what else keeps operations from the plain paths. Its lower half, the
    // key, is the slab's number as long as nothing does, so that one load and one compare with what
    // a thread knows a pool by tell that all is plain.
    static constexpr std::uint32_t no_key = 0xFFFF'FFFF;
    /// In a key: gets are not plain, returns are. For `sampled`, where what is to be treated as at
    /// `full` carries a flag in its word when it comes back.
    static constexpr std::uint32_t watched_gets = 0x8000'0000;
    /// This number and larger ones are no keys.
    static constexpr std::uint32_t no_number = no_key & ~watched_gets;
    static constexpr unsigned level_shift = 32;
    static constexpr std::uint64_t level_mask = std::uint64_t{0xFF} << level_shift;
    /// Somebody waits for a slot; set by the slot_pool.
    static constexpr std::uint64_t someone_waits = std::uint64_t{1} << 40;
    /// `degenerate` was used: payloads may lie elsewhere, for ever.
    static constexpr std::uint64_t own_allocations = std::uint64_t{1} << 41;

    /// The mode of `sampled` with nothing else to be looked at.
    static constexpr std::uint64_t sampled_mode = static_cast<std::uint64_t>(guard_level::sampled)
                                                  << level_shift;

    /// relaxed: a changed level takes effect at each thread's next operation
    [[nodiscard]] std::uint64_t mode() const noexcept {
        return mode_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] static constexpr std::uint32_t key_in(std::uint64_t mode) noexcept {
        return static_cast<std::uint32_t>(mode);
    }
    [[nodiscard]] static constexpr guard_level level_in(std::uint64_t mode) noexcept {
        return static_cast<guard_level>((mode & level_mask) >> level_shift);
    }
    /// Clears and sets parts of the mode and makes the key that follows. Any thread.
    void change_mode(std::uint64_t clear, std::uint64_t set) noexcept;

    struct notes;
    struct return_request {
        slot_ref held;
        std::uint64_t meta;
        bool has_meta;
        slot_state from;
    };

    [[nodiscard]] std::byte* slot(std::uint32_t index) const noexcept {
        return memory_ + std::size_t{index} * stride_;
    }
    [[nodiscard]] bool holds(slot_ref held) const noexcept {
        // relaxed: see invariant 2
        return held.index < slots_ && header(held.index).word.load(std::memory_order_relaxed) ==
                                          slot_word::of(held, slot_state::live);
    }
    void set_word(std::uint32_t index, std::uint64_t word) noexcept {
        header(index).word.store(word, std::memory_order_relaxed);  // relaxed: see invariant 2
    }
    [[nodiscard]] bool check_out_as(slot_ref entry, std::uint64_t meta,
                                    std::uint32_t parker) noexcept {
        return check_out_at(level(), entry, meta, parker);
    }
    [[nodiscard]] bool check_out_at(guard_level now, slot_ref entry, std::uint64_t meta,
                                    std::uint32_t parker) noexcept {
        if (now > guard_level::guard && (now != guard_level::sampled || sample_now()))
            [[unlikely]] {
            return check_out_slow(entry, meta, parker);
        }
        slot_header& h = header(entry.index);
        if (now != guard_level::off) {
            const std::uint64_t word = h.word.load(std::memory_order_relaxed);  // invariant 2
            const bool fits =
                parker == any_parker
                    ? (word & ~slot_word::parker_mask) == slot_word::of(entry, slot_state::free)
                    : word == slot_word::of(entry, slot_state::free,
                                            static_cast<std::uint16_t>(parker));
            if (!fits) [[unlikely]] {
                return check_out_slow(entry, meta, parker);
            }
        }
        // relaxed (both): see invariant 2
        h.meta.store(meta, std::memory_order_relaxed);
        h.word.store(slot_word::of(entry, slot_state::live), std::memory_order_relaxed);
        return true;
    }

    [[gnu::noinline]] bool check_out_slow(slot_ref entry, std::uint64_t meta,
                                          std::uint32_t parker) noexcept;
    [[gnu::noinline]] bool check_in_slow(const return_request& request,
                                         std::uint32_t* kind) noexcept;
    [[gnu::noinline]] void seal_slow(slot_ref held) noexcept;
    [[gnu::noinline]] void* shadow_payload(std::uint32_t index) noexcept;

    // slab_guard.cpp: the parts of the slow paths
    [[nodiscard]] bool claim_free(slot_ref entry, std::uint64_t meta, std::uint32_t parker,
                                  std::uint64_t& word) noexcept;
    [[nodiscard]] bool claim_held(const return_request& request, std::uint64_t& word) noexcept;
    [[nodiscard]] std::uint64_t clean(std::uint32_t index, bool watch) noexcept;
    [[nodiscard]] std::uint64_t begin_life(std::uint32_t index, bool watch) noexcept;
    void end_heap_life(std::uint32_t index) noexcept;
    void compare_seal(const return_request& request, std::uint64_t word) noexcept;
    void verify_previous(slot_ref released) noexcept;
    /// Counts a get that is not the sampled one. @return false: it is; sample_now() will say so.
    [[nodiscard]] static bool skip_sample() noexcept {
        if (detail::until_sample == 1) [[unlikely]] {
            return false;
        }
        --detail::until_sample;
        return true;
    }
    /// After skip_sample(), for a get that goes another way, where it is counted.
    static void count_again() noexcept { ++detail::until_sample; }
    [[nodiscard]] static bool sample_now() noexcept {
        if (--detail::until_sample != 0) [[likely]] {
            return false;
        }
        detail::until_sample = detail::sampled_every;
        return true;
    }

    // slab_report.cpp
    struct difference {
        std::size_t offset;
        std::uint64_t found;
        std::uint64_t expected;
    };
    [[nodiscard]] bool unchanged(std::uint32_t index, std::uint64_t word,
                                 difference& change) const noexcept;
    void note(slot_ref life, slot_action action, std::uint64_t meta, std::uint16_t thread) noexcept;
    [[nodiscard]] violation begin_report(violation_kind kind, slot_ref held) noexcept;
    [[nodiscard]] culprit holder_of(std::uint32_t index, std::uint64_t word) const noexcept;
    [[nodiscard]] culprit last_acquirer(const violation& report) const noexcept;
    [[nodiscard]] culprit caller(slot_action action, std::uint64_t meta,
                                 bool has_meta) const noexcept;
    void finish_report(violation& report) noexcept;
    void report_refused(slot_ref entry, std::uint64_t word, std::uint64_t meta,
                        std::uint32_t parker) noexcept;
    void report_bad_return(const return_request& request, std::uint64_t word) noexcept;
    void report_changed(violation_kind kind, std::uint32_t index, std::uint64_t word,
                        const difference& change) noexcept;

    [[nodiscard]] std::byte* image(std::uint32_t index) const noexcept;
    [[nodiscard]] bool make_tables(guard_level level) noexcept;

    // Constant after construction, and the level: read by every operation, written almost never.
    std::byte* memory_ = nullptr;
    std::size_t stride_ = 0;
    std::uint32_t slots_ = 0;
    std::uint32_t number_ = 0;
    std::atomic<std::uint64_t> mode_{no_key};
    meta_use meta_use_ = meta_use::sequence;
    violation_policy policy_ = violation_policy::log_and_drop;
    std::atomic<std::atomic<void*>*> shadow_{nullptr};  ///< degenerate: each slot's allocation
    slab_ops ops_{};
    std::atomic<notes*> notes_{nullptr};       ///< sampled and above: history and stacks
    std::atomic<std::byte*> images_{nullptr};  ///< sampled and above: what payloads should be
    memory_source* source_ = nullptr;
    std::size_t memory_bytes_ = 0;
    std::uint32_t first_generation_ = 0;
    std::string name_;

    // Written on misuse only.
    alignas(cache_block) std::atomic<std::uint32_t> retired_{0};
    violation_counts violations_;
};

}  // namespace ropeway
