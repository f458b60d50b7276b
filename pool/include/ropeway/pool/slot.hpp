// SPDX-License-Identifier: Apache-2.0
//
// A slot's reference and its 16-byte header: two words in front of the payload. Whoever holds the
// slot writes the header; others only read it, for reports. Values and word layouts only.
//
//   word: generation 32 | thread that put it 16 | flags 8 | state 8
//   meta: coarse ms 32  | thread 16 | site 16      (duplicates and user events)
//         sequence 64                              (ring originals)
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace ropeway {

/// Names a slot and one life of it. A reference whose generation is not the header's is stale.
struct slot_ref {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    friend constexpr bool operator==(slot_ref, slot_ref) noexcept = default;
};

static_assert(std::endian::native == std::endian::little, "slot_bits keeps the generation on top");

/// A reference as one register, the generation in the upper half. The hot paths compute with it:
/// as a struct it would go through memory, and its halves would not forward to a 64-bit load.
[[nodiscard]] constexpr std::uint64_t slot_bits(slot_ref ref) noexcept {
    return std::bit_cast<std::uint64_t>(ref);
}
inline constexpr std::uint64_t generation_bits = 0xFFFF'FFFF'0000'0000;
inline constexpr std::uint64_t one_generation = std::uint64_t{1} << 32;
[[nodiscard]] constexpr std::uint32_t slot_index(std::uint64_t bits) noexcept {
    return static_cast<std::uint32_t>(bits);
}

/// A reference that also says of which pool: what a handle's holder may keep to ask later whether
/// the event is still the one he saw.
struct slot_ticket {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    std::uint32_t pool = 0;
    friend constexpr bool operator==(slot_ticket, slot_ticket) noexcept = default;
};

/// free -> live (check_out), live -> free (check_in), live -> lent (lend), lent -> free
/// (recycle_raw). A free slot whose payload was written to becomes retired and stays it.
enum class slot_state : std::uint8_t {
    free = 0,         ///< in a magazine, the depot or never used; zeroed memory is in this state
    live = 1,         ///< held by a handle, a worker or a ring
    lent = 2,         ///< held as a raw pointer beyond a C edge
    quarantined = 3,  ///< the guard is at work on the payload: reset, poison or verify
    retired = 4,      ///< misused: never handed out again
};

namespace slot_word {
inline constexpr std::uint64_t state_mask = 0xFF;
inline constexpr std::uint64_t poisoned = 0x0100;  ///< free: payload carries the poison pattern
inline constexpr std::uint64_t sealed = 0x0200;    ///< live: published, an image was taken
inline constexpr std::uint64_t watched = 0x0400;   ///< live: to be treated as at `full` on return
inline constexpr std::uint64_t on_heap = 0x0800;   ///< live: payload is an allocation of its own
inline constexpr std::uint64_t imaged = 0x1000;    ///< free: an image of the reset payload exists
inline constexpr std::uint64_t flag_mask = 0xFF00;
inline constexpr std::uint64_t parker_mask = 0xFFFF'0000;

[[nodiscard]] constexpr std::uint64_t make(std::uint32_t generation, slot_state state,
                                           std::uint64_t flags = 0,
                                           std::uint16_t parker = 0) noexcept {
    return (std::uint64_t{generation} << 32) | (std::uint64_t{parker} << 16) | flags |
           static_cast<std::uint64_t>(state);
}
/// The word of this life of a slot, from its reference as bits.
[[nodiscard]] constexpr std::uint64_t of_bits(std::uint64_t life, slot_state state,
                                              std::uint16_t parker = 0) noexcept {
    return (life & generation_bits) | (std::uint64_t{parker} << 16) |
           static_cast<std::uint64_t>(state);
}
[[nodiscard]] constexpr std::uint64_t of(slot_ref life, slot_state state,
                                         std::uint16_t parker = 0) noexcept {
    return of_bits(slot_bits(life), state, parker);
}
[[nodiscard]] constexpr std::uint32_t generation(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}
[[nodiscard]] constexpr slot_state state(std::uint64_t word) noexcept {
    return static_cast<slot_state>(word & state_mask);
}
[[nodiscard]] constexpr std::uint16_t parker(std::uint64_t word) noexcept {
    return static_cast<std::uint16_t>(word >> 16);
}
}  // namespace slot_word

/// In front of every payload. One relaxed 64-bit store per transition; no lock prefix below `full`.
struct alignas(16) slot_header {
    std::atomic<std::uint64_t> word;
    std::atomic<std::uint64_t> meta;
};
static_assert(sizeof(slot_header) == 16);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// Packs {site, thread, coarse ms} for a header.
[[nodiscard]] constexpr std::uint64_t make_meta(std::uint16_t site, std::uint16_t thread,
                                                std::uint32_t coarse_ms) noexcept {
    return (std::uint64_t{coarse_ms} << 32) | (std::uint64_t{thread} << 16) | std::uint64_t{site};
}
[[nodiscard]] constexpr std::uint16_t meta_site(std::uint64_t meta) noexcept {
    return static_cast<std::uint16_t>(meta);
}
[[nodiscard]] constexpr std::uint16_t meta_thread(std::uint64_t meta) noexcept {
    return static_cast<std::uint16_t>(meta >> 16);
}
[[nodiscard]] constexpr std::uint32_t meta_ms(std::uint64_t meta) noexcept {
    return static_cast<std::uint32_t>(meta >> 32);
}

}  // namespace ropeway
