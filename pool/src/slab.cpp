// SPDX-License-Identifier: Apache-2.0
//
// A slab's memory: construction, the tables that the higher guard levels need, and lookups.
#include <ropeway/pool/slab.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include "slab_tables.hpp"

namespace ropeway {

namespace {

std::uint32_t next_slab_number() noexcept {
    static constinit std::atomic<std::uint32_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);  // relaxed: only its uniqueness matters
}

void check(const slab_params& params) {
    const std::string name = "slab \"" + params.name + "\": ";
    if (params.slots == 0 || params.slots > (std::uint32_t{1} << 31)) {
        throw std::invalid_argument(name + "slots is " + std::to_string(params.slots) +
                                    ". Give at least 1 and at most 2^31.");
    }
    if (params.slot_bytes < slot_line_bytes || params.slot_bytes % slot_line_bytes != 0) {
        throw std::invalid_argument(name + "slot_bytes is " + std::to_string(params.slot_bytes) +
                                    ". Give a multiple of 64: ropeway::slot_bytes<E>.");
    }
    if (params.ops.construct == nullptr ||
        params.ops.payload_bytes + slot_header_bytes > params.slot_bytes) {
        throw std::invalid_argument(
            name + "an event of " + std::to_string(params.ops.payload_bytes) +
            " bytes and a header of 16 do not fit in slot_bytes " +
            std::to_string(params.slot_bytes) + ". Give slab_ops::of<E>() and slot_bytes<E>.");
    }
}

/// Installs a zeroed table of `bytes` in `where` if there is none. Tables are mapped whatever the
/// pool's memory source is: they are made at run time, on any thread.
template <class T>
bool install(std::atomic<T*>& where, std::size_t bytes) noexcept {
    if (where.load(std::memory_order_acquire) != nullptr) {  // pairs with the CAS below
        return true;
    }
    void* fresh = nullptr;
    try {
        fresh = mmap_memory().allocate(bytes, slot_line_bytes);
    } catch (const memory_error&) {
        return false;
    }
    T* none = nullptr;
    // release: the table is zeroed for whoever acquires its address; acquire not needed on failure
    if (!where.compare_exchange_strong(none, static_cast<T*>(fresh), std::memory_order_release,
                                       std::memory_order_relaxed)) {
        mmap_memory().release(fresh, bytes);
    }
    return true;
}

template <class T>
void uninstall(std::atomic<T*>& where, std::size_t bytes) noexcept {
    // acquire: pairs with install; this is the destructor, nobody else is here
    if (T* const table = where.exchange(nullptr, std::memory_order_acquire)) {
        mmap_memory().release(table, bytes);
    }
}

}  // namespace

slab::slab(slab_params params)
    : stride_(params.slot_bytes),
      slots_(params.slots),
      number_(next_slab_number()),
      meta_use_(params.meta),
      policy_(params.policy),
      ops_(params.ops),
      source_(params.memory != nullptr ? params.memory : &mmap_memory()),
      memory_bytes_(std::size_t{params.slots} * params.slot_bytes),
      name_(params.name) {
    check(params);
    memory_ = static_cast<std::byte*>(source_->allocate(memory_bytes_, cache_block));
    try {
        warm_up(params.prepare, params.prepared_slots != 0 ? params.prepared_slots : slots_);
        if (!set_level(params.guard)) {
            throw memory_error("slab \"" + name_ + "\": no memory for the tables of guard level " +
                               std::string{to_string(params.guard)} +
                               ". Lower the number of slots or the level.");
        }
    } catch (...) {
        uninstall(notes_, slots_ * sizeof(notes));
        uninstall(images_, slots_ * payload_capacity());
        source_->release(memory_, memory_bytes_);
        throw;
    }
    if (!ops_.poisonable) {
        for (std::uint32_t i = 0; i != slots_; ++i) {
            ops_.construct(slot(i) + header_bytes);
        }
    }
    first_generation_ = params.first_generation;
    for (std::uint32_t i = 0; i != slots_ && first_generation_ != 0; ++i) {
        set_word(i, slot_word::of(never_used(i), slot_state::free));
    }
}

slab::~slab() {
    if (level() >= guard_level::full) {
        verify_all();
    }
    for (std::uint32_t i = 0; i != slots_; ++i) {
        end_heap_life(i);
        if (!ops_.poisonable) {
            if (slot_word::state(header(i).word.load(std::memory_order_relaxed)) ==
                slot_state::retired) {  // relaxed: destructor
                continue;               // somebody wrote over the object: it cannot be destroyed
            }
            ops_.destroy(slot(i) + header_bytes);
        } else if (shadow_.load(std::memory_order_relaxed) == nullptr) {  // relaxed: destructor
            break;
        }
    }
    uninstall(shadow_, slots_ * sizeof(std::atomic<void*>));
    uninstall(notes_, slots_ * sizeof(notes));
    uninstall(images_, slots_ * payload_capacity());
    source_->release(memory_, memory_bytes_);
}

bool slab::make_tables(guard_level level) noexcept {
    if (level < guard_level::sampled) {
        return true;
    }
    if (!install(notes_, slots_ * sizeof(notes)) ||
        !install(images_, slots_ * payload_capacity())) {
        return false;
    }
    return level < guard_level::degenerate || install(shadow_, slots_ * sizeof(std::atomic<void*>));
}

bool slab::set_level(guard_level level) noexcept {
    if (!make_tables(level)) {
        return false;
    }
    change_mode(level_mask, (static_cast<std::uint64_t>(level) << level_shift) |
                                (level == guard_level::degenerate ? own_allocations : 0));
    return true;
}

void slab::change_mode(std::uint64_t clear, std::uint64_t set) noexcept {
    std::uint64_t before = mode();
    std::uint64_t after = 0;
    do {
        after = (before & ~clear) | set;
        const bool plain = level_in(after) <= guard_level::sampled &&
                           (after & (someone_waits | own_allocations)) == 0 && number_ < no_number;
        const std::uint32_t gets = level_in(after) == guard_level::sampled ? watched_gets : 0;
        after = (after & ~std::uint64_t{no_key}) | (plain ? number_ | gets : no_key);
        if (after == before) {
            return;  // who waits asks each time; all gets and puts read this line
        }
        // release: whoever sees the level may also see the tables; who sees only the level
        // (relaxed) asks for the tables by acquire loads and does without what it does not find
    } while (!mode_.compare_exchange_weak(before, after, std::memory_order_release,
                                          std::memory_order_relaxed));
}

std::byte* slab::image(std::uint32_t index) const noexcept {
    std::byte* const images = images_.load(std::memory_order_acquire);  // pairs with install
    return images == nullptr ? nullptr : images + std::size_t{index} * payload_capacity();
}

void* slab::shadow_payload(std::uint32_t index) noexcept {
    std::atomic<void*>* const shadow = shadow_.load(std::memory_order_acquire);  // with install
    // relaxed: written by the slot's holder, who is asking, or who handed the slot over
    void* const own = shadow[index].load(std::memory_order_relaxed);
    return own != nullptr ? own : slot(index) + header_bytes;
}

std::size_t slab::guard_memory_bytes() const noexcept {
    // relaxed (all): a number for a report
    std::size_t bytes = 0;
    bytes += notes_.load(std::memory_order_relaxed) ? slots_ * sizeof(notes) : 0;
    bytes += images_.load(std::memory_order_relaxed) ? slots_ * payload_capacity() : 0;
    bytes += shadow_.load(std::memory_order_relaxed) ? slots_ * sizeof(std::atomic<void*>) : 0;
    return bytes;
}

void slab::warm_up(const memory_params& params, std::uint32_t slots) {
    prepare_memory(memory_, std::size_t{std::min(slots, slots_)} * stride_, params);
}

bool slab::find(const void* payload, std::uint32_t& index) noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(payload);
    const auto base = reinterpret_cast<std::uintptr_t>(memory_);
    if (address >= base && address < base + memory_bytes_) {
        index = static_cast<std::uint32_t>((address - base) / stride_);
        return (address - base) % stride_ == header_bytes;
    }
    std::atomic<void*>* const shadow = shadow_.load(std::memory_order_acquire);  // with install
    for (std::uint32_t i = 0; shadow != nullptr && i != slots_; ++i) {
        // relaxed: only compared
        if (shadow[i].load(std::memory_order_relaxed) == payload) {
            index = i;
            return payload != nullptr;
        }
    }
    return false;
}

bool slab::is_current(slot_ref held) const noexcept {
    if (held.index >= slots_) {
        return false;
    }
    // acquire: pairs with the release of slow transitions; the payload is the holder's business
    const std::uint64_t word = header(held.index).word.load(std::memory_order_acquire);
    const slot_state state = slot_word::state(word);
    return slot_word::generation(word) == held.generation &&
           (state == slot_state::live || state == slot_state::lent);
}

namespace {

/// Copies 8-byte words that another thread may be writing: a race by intent, for reports only.
__attribute__((no_sanitize("thread"), noinline)) void racy_copy(void* to, const void* from,
                                                                std::size_t bytes) noexcept {
    auto* const target = static_cast<volatile std::uint64_t*>(to);
    const auto* const source = static_cast<const volatile std::uint64_t*>(from);
    for (std::size_t i = 0; i != bytes / sizeof(std::uint64_t); ++i) {
        target[i] = source[i];
    }
}

}  // namespace

bool slab::glimpse(std::uint32_t index, std::uint32_t& kind, trace_id& trace) const noexcept {
    constexpr std::size_t most = 4096;
    // acquire (both): the copy stands between them; relaxed would let it move out
    const std::uint64_t before = header(index).word.load(std::memory_order_acquire);
    if (!ops_.poisonable || (before & slot_word::on_heap) != 0 || payload_capacity() > most) {
        return false;
    }
    alignas(16) std::array<std::byte, most> copy;
    racy_copy(copy.data(), slot(index) + header_bytes, payload_capacity());
    std::atomic_thread_fence(std::memory_order_acquire);  // keeps the next load behind the copy
    if (header(index).word.load(std::memory_order_acquire) != before) {
        return false;
    }
    kind = ops_.kind_of(copy.data());
    trace = ops_.trace_of(copy.data());
    return true;
}

}  // namespace ropeway
