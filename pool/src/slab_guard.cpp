// SPDX-License-Identifier: Apache-2.0
//
// The slow paths of a slab's guard: transitions by CAS, poison, images, allocations per life. Every
// function here is right for whatever a level left on a slot, marked by the flags in its word.
//
//              check_out                     check_in
//   free --CAS--> quarantined --store--> live --CAS--> quarantined --store--> free (generation + 1)
//                     | changed                             (reset, poison)
//                     v
//                  retired
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <sched.h>

#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slab.hpp>

#include "slab_tables.hpp"

namespace ropeway {

namespace {

/// The slot that this thread released last, per slab (direct-mapped by the slab's number).
struct last_release {
    std::uint32_t slab = 0;
    slot_ref slot{};
};
constexpr std::size_t remembered_slabs = 8;
thread_local constinit std::array<last_release, remembered_slabs> last_releases{};

// A payload's capacity is some lines less a header: three times 16 bytes, then four times each.
using wide = std::uint64_t __attribute__((vector_size(16), may_alias));
constexpr wide wide_poison = {poison_pattern, poison_pattern};
static_assert(slot_line_bytes == 4 * sizeof(wide) && slot_header_bytes == sizeof(wide));

/// Fills a slot's payload of so many bytes, its capacity.
void fill_poison(std::byte* at, std::size_t capacity) noexcept {
    auto* const to = reinterpret_cast<wide*>(at);
    to[0] = to[1] = to[2] = wide_poison;
    for (std::size_t i = 3; i != capacity / sizeof(wide); i += 4) {
        to[i] = to[i + 1] = to[i + 2] = to[i + 3] = wide_poison;
    }
}

/// True if such a payload is the poison pattern throughout: one pass without a branch per word. Not
/// watched by TSan: see first_change.
__attribute__((no_sanitize("thread"), noinline)) bool is_poison(const std::byte* at,
                                                                std::size_t capacity) noexcept {
    const auto* const in = reinterpret_cast<const wide*>(at);
    wide changed = (in[0] ^ wide_poison) | (in[1] ^ wide_poison) | (in[2] ^ wide_poison);
    for (std::size_t i = 3; i != capacity / sizeof(wide); i += 4) {
        changed |= (in[i] ^ wide_poison) | (in[i + 1] ^ wide_poison) | (in[i + 2] ^ wide_poison) |
                   (in[i + 3] ^ wide_poison);
    }
    return (changed[0] | changed[1]) == 0;
}

/// The first byte at which `at` differs from `should` (nullptr: the poison pattern), or `bytes`.
/// Not watched by TSan: verify() may read a slot that another thread hands out meanwhile, and then
/// throws the finding away.
__attribute__((no_sanitize("thread"))) std::size_t first_change(const std::byte* at,
                                                                const std::byte* should,
                                                                std::size_t bytes) noexcept {
    constexpr std::size_t word = sizeof(std::uint64_t);
    std::uint64_t found = 0;
    std::uint64_t expected = poison_pattern;
    std::size_t i = 0;
    for (; i + word <= bytes; i += word) {
        __builtin_memcpy(&found, at + i, word);
        if (should != nullptr) {
            __builtin_memcpy(&expected, should + i, word);
        }
        if (found != expected) [[unlikely]] {
            const int low_bit = __builtin_ctzll(found ^ expected);  // little endian: lowest byte
            return i + static_cast<std::size_t>(low_bit) / 8;
        }
    }
    // Only images end within a word: a slot's capacity is a multiple of 16.
    for (; i != bytes && should != nullptr; ++i) {
        if (at[i] != should[i]) {
            return i;
        }
    }
    return bytes;
}

/// True of a free slot with this word and payload if nothing need be looked at more closely.
bool surely_unchanged(std::uint64_t word, const std::byte* at, std::size_t capacity) noexcept {
    return (word & slot_word::imaged) == 0 &&
           ((word & slot_word::poisoned) == 0 || is_poison(at, capacity));
}

/// Up to 8 bytes from `offset`, lowest address first.
std::uint64_t bytes_at(const std::byte* at, std::size_t offset, std::size_t bytes) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, at + offset, std::min(sizeof word, bytes - offset));
    return word;
}

}  // namespace

bool slab::claim_free(slot_ref entry, std::uint64_t meta, std::uint32_t parker,
                      std::uint64_t& word) noexcept {
    std::atomic<std::uint64_t>& cell = header(entry.index).word;
    for (std::uint32_t spins = 0;;) {
        word = cell.load(std::memory_order_acquire);  // pairs with the release that freed it
        const bool same_life = slot_word::generation(word) == entry.generation;
        const slot_state state = slot_word::state(word);
        if (same_life && state == slot_state::quarantined) {
            // Somebody verifies it (or returns the life before a raced entry): short, but he may
            // have been descheduled.
            ++spins % 64 == 0 ? static_cast<void>(sched_yield()) : spin_pause();
            continue;
        }
        const bool right_entry = parker == any_parker || slot_word::parker(word) == parker;
        if (!same_life || state != slot_state::free || !right_entry) {
            if (!same_life || state != slot_state::retired) {  // a retired slot was reported then
                report_refused(entry, word, meta, parker);
            }
            return false;
        }
        const std::uint64_t mine =
            (word & ~slot_word::state_mask) | static_cast<std::uint64_t>(slot_state::quarantined);
        // acquire: pairs with the release that freed it; what poison should be is visible
        if (cell.compare_exchange_weak(word, mine, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
            return true;
        }
    }
}

bool slab::unchanged(std::uint32_t index, std::uint64_t word, difference& change) const noexcept {
    const std::byte* const at = slot(index) + header_bytes;
    const std::byte* should = nullptr;
    std::size_t bytes = payload_capacity();
    if ((word & slot_word::imaged) != 0) {
        should = image(index);
        bytes = ops_.payload_bytes;
    } else if ((word & slot_word::poisoned) == 0) {
        return true;
    }
    const std::size_t offset = first_change(at, should, bytes);
    if (offset == bytes) [[likely]] {
        return true;
    }
    const auto pattern = std::bit_cast<std::array<std::byte, sizeof wide_poison>>(wide_poison);
    const std::size_t phase = offset % sizeof poison_pattern;
    change.offset = offset;
    change.found = bytes_at(at, offset, bytes);
    change.expected =
        should != nullptr
            ? bytes_at(should, offset, bytes)
            : bytes_at(pattern.data(), phase, phase + std::min<std::size_t>(8, bytes - offset));
    return false;
}

std::uint64_t slab::begin_life(std::uint32_t index, bool watch) noexcept {
    std::uint64_t flags = watch ? slot_word::watched : 0;
    if (level() != guard_level::degenerate) {
        return flags;
    }
    std::atomic<void*>* const shadow = shadow_.load(std::memory_order_acquire);  // with install
    void* const own = shadow != nullptr ? std::malloc(ops_.payload_bytes) : nullptr;
    if (own == nullptr) {
        return flags;  // the slot's own storage serves; the level has not settled, or no memory
    }
    ops_.construct(own);
    end_heap_life(index);                                 // one that `off` left behind
    shadow[index].store(own, std::memory_order_relaxed);  // relaxed: see shadow_payload
    return flags | slot_word::on_heap;
}

void slab::end_heap_life(std::uint32_t index) noexcept {
    std::atomic<void*>* const shadow = shadow_.load(std::memory_order_acquire);  // with install
    if (shadow == nullptr) {
        return;
    }
    // relaxed: the slot is the caller's
    if (void* const own = shadow[index].exchange(nullptr, std::memory_order_relaxed)) {
        ops_.destroy(own);
        std::free(own);
    }
}

bool slab::check_out_slow(slot_ref entry, std::uint64_t meta, std::uint32_t parker) noexcept {
    // At `sampled` the slot is here because its word was not the expected one, or for its turn:
    // then the countdown was just set anew.
    const guard_level now = level();
    const bool watch = now >= guard_level::full || (now == guard_level::sampled &&
                                                    detail::until_sample == detail::sampled_every);
    std::uint64_t word = 0;
    if (!claim_free(entry, meta, parker, word)) {
        return false;
    }
    slot_header& h = header(entry.index);
    difference change{};
    if (!surely_unchanged(word, slot(entry.index) + header_bytes, payload_capacity()) &&
        !unchanged(entry.index, word, change)) {
        // release: pairs with claim_free's acquire of whoever meets an entry of it
        h.word.store(slot_word::of(entry, slot_state::retired), std::memory_order_release);
        report_changed(violation_kind::write_after_put, entry.index, word, change);
        return false;
    }
    const std::uint64_t flags = begin_life(entry.index, watch);
    if (watch) {
        note(entry, slot_action::acquired, meta, meta_thread(meta));
    }
    h.meta.store(meta, std::memory_order_relaxed);  // relaxed: published by the next store
    // release: pairs with claim_held and verify on other threads
    h.word.store(slot_word::make(entry.generation, slot_state::live, flags),
                 std::memory_order_release);
    return true;
}

bool slab::claim_held(const return_request& request, std::uint64_t& word) noexcept {
    std::atomic<std::uint64_t>& cell = header(request.held.index).word;
    word = cell.load(std::memory_order_acquire);  // pairs with the store that made it live
    for (;;) {
        if (slot_word::generation(word) != request.held.generation ||
            slot_word::state(word) != request.from) {
            report_bad_return(request, word);
            return false;
        }
        const std::uint64_t mine =
            (word & ~slot_word::state_mask) | static_cast<std::uint64_t>(slot_state::quarantined);
        // acq_rel: of two returns at once one wins; it sees what was written in this life
        if (cell.compare_exchange_weak(word, mine, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
            return true;
        }
    }
}

void slab::compare_seal(const return_request& request, std::uint64_t word) noexcept {
    const std::byte* const should = image(request.held.index);
    const auto* const at = static_cast<const std::byte*>(payload(request.held.index));
    const std::size_t offset = first_change(at, should, ops_.payload_bytes);
    if (offset != ops_.payload_bytes) [[unlikely]] {
        report_changed(violation_kind::write_after_publish, request.held.index, word,
                       {offset, bytes_at(at, offset, ops_.payload_bytes),
                        bytes_at(should, offset, ops_.payload_bytes)});
    }
}

std::uint64_t slab::clean(std::uint32_t index, bool watch) noexcept {
    std::byte* const at = slot(index) + header_bytes;
    if (!ops_.poisonable) {
        ops_.reset(at);
        std::byte* const keep = watch ? image(index) : nullptr;
        if (keep == nullptr) {
            return 0;
        }
        std::memcpy(keep, at, ops_.payload_bytes);
        return slot_word::imaged;
    }
    if (!watch) {
        return 0;
    }
    fill_poison(at, payload_capacity());  // nothing is left that a reset could have changed
    return slot_word::poisoned;
}

bool slab::check_in_slow(const return_request& request, std::uint32_t* kind) noexcept {
    const slot_ref held = request.held;
    const guard_level now = level();
    if (held.index >= slots_) {
        report_foreign(violation_kind::foreign_pointer, held, request.meta);
        return false;
    }
    const std::uint16_t parker = request.has_meta ? meta_thread(request.meta) : 0;
    slot_header& h = header(held.index);
    std::uint64_t word = 0;
    if (now == guard_level::off && request.from == slot_state::live) {
        word = h.word.load(std::memory_order_relaxed);  // relaxed: only its flags are used
    } else if (!claim_held(request, word)) {
        return false;
    }
    const bool watch = now >= guard_level::full || (word & slot_word::watched) != 0;
    if ((word & slot_word::sealed) != 0) {
        compare_seal(request, word);
    }
    if (kind != nullptr) {
        *kind = ops_.kind_of(payload(held.index));
    }
    if ((word & slot_word::on_heap) != 0) {
        end_heap_life(held.index);
    }
    const std::uint64_t flags = clean(held.index, watch);
    if (watch) {
        note(held, slot_action::put, request.meta, request.has_meta ? parker : thread_number());
    }
    if (request.has_meta) {
        h.meta.store(request.meta, std::memory_order_relaxed);  // relaxed: published by the next
    }
    // release: pairs with claim_free's acquire
    h.word.store(slot_word::make(held.generation + 1, slot_state::free, flags, parker),
                 std::memory_order_release);
    if (watch) {
        verify_previous(after_check_in(held));
    }
    return true;
}

void slab::verify_previous(slot_ref released) noexcept {
    last_release& last = last_releases[number_ % remembered_slabs];
    const last_release before = last;
    last = {number_, released};
    if (before.slab == number_ && before.slot != released) {
        verify(before.slot);
    }
}

bool slab::verify(slot_ref entry) noexcept {
    std::atomic<std::uint64_t>& cell = header(entry.index).word;
    std::uint64_t word =
        cell.load(std::memory_order_acquire);  // pairs with the release of check_in
    if (slot_word::generation(word) != entry.generation ||
        slot_word::state(word) != slot_state::free ||
        (word & (slot_word::poisoned | slot_word::imaged)) == 0) {
        return true;
    }
    if (surely_unchanged(word, slot(entry.index) + header_bytes, payload_capacity())) {
        // Handed out or not meanwhile: there was nothing to be found. Spares nearly all calls the
        // two locked instructions below.
        return true;
    }
    std::uint64_t mine =
        (word & ~slot_word::state_mask) | static_cast<std::uint64_t>(slot_state::quarantined);
    // acquire: as above; failing means that it was handed out, and verified there
    if (!cell.compare_exchange_strong(word, mine, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return true;
    }
    difference change{};
    const bool fine = unchanged(entry.index, word, change);
    const std::uint64_t after = fine ? word : slot_word::of(entry, slot_state::retired);
    // release: the hand-out that waits for it may write to the payload after our reads.
    // A CAS, because a thread at `off` may have handed it out without looking: then what we read
    // may have been its holder's writes, and says nothing.
    if (!cell.compare_exchange_strong(mine, after, std::memory_order_release,
                                      std::memory_order_relaxed) ||
        fine) {
        return true;
    }
    report_changed(violation_kind::write_after_put, entry.index, word, change);
    return false;
}

std::size_t slab::verify_all() noexcept {
    std::size_t findings = 0;
    for (std::uint32_t i = 0; i != slots_; ++i) {
        const std::uint64_t word = header(i).word.load(std::memory_order_acquire);  // as verify()
        findings += verify({i, slot_word::generation(word)}) ? 0U : 1U;
    }
    return findings;
}

void slab::seal_slow(slot_ref held) noexcept {
    std::byte* const keep = image(held.index);
    slot_header& h = header(held.index);
    const std::uint64_t word = h.word.load(std::memory_order_relaxed);  // relaxed: the holder's own
    if (keep == nullptr || slot_word::generation(word) != held.generation ||
        slot_word::state(word) != slot_state::live) {
        return;
    }
    std::memcpy(keep, payload(held.index), ops_.payload_bytes);
    // release: pairs with claim_held's acquire in compare_seal's caller
    h.word.store(word | slot_word::sealed, std::memory_order_release);
}

bool slab::lend(slot_ref held, std::uint64_t meta) noexcept {
    if (held.index >= slots_) {
        report_foreign(violation_kind::foreign_pointer, held, meta);
        return false;
    }
    std::uint64_t word = 0;
    if (!claim_held({held, meta, true, slot_state::live}, word)) {
        return false;
    }
    slot_header& h = header(held.index);
    h.meta.store(meta, std::memory_order_relaxed);  // relaxed: published by the next store
    // release: pairs with claim_held's acquire in give_back_lent
    h.word.store((word & ~slot_word::state_mask) | static_cast<std::uint64_t>(slot_state::lent),
                 std::memory_order_release);
    return true;
}

}  // namespace ropeway
