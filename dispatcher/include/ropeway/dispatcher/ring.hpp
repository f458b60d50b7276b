// SPDX-License-Identifier: Apache-2.0
//
// A publisher's two bounded rings of slots and the cursors that subscriptions keep in them: layout
// and word encodings only. Owned by the engine; type-stable: never freed before it.
//
// Invariants
//  1. Only the publisher writes tail, entries and slot headers. One release store of `tail` commits
//     either ring; one acquire load of it is a consistent cut over both.
//  2. Whoever moves a cursor over [a, b) owns those positions for that subscription: its worker, or
//     the publisher in a rescue, under the rescue bit.
//  3. The market cursor of a blocking subscription is moved by plain stores of the worker alone;
//     every other one by CAS, with entries read before, because its publisher moves it in a rescue.
//     The pin is set before either way.
//  4. A slot is overwritten only when every cursor has passed its position and no pin covers it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/cache_line.hpp>

namespace ropeway::detail {

/// Events that a worker takes at once.
inline constexpr std::uint32_t batch_size = 64;
inline constexpr std::uint32_t max_live_subscriptions = 64;  // bits of the live word
inline constexpr std::uint32_t max_live_publishers = 64;

enum class ring_class : std::uint8_t { market = 0, critical = 1 };
inline constexpr std::size_t ring_classes = 2;
[[nodiscard]] constexpr std::size_t index_of(ring_class c) noexcept {
    return static_cast<std::size_t>(c);
}

/// {position:62, closed:1, rescue:1} in one word.
struct cursor_word {
    static constexpr std::uint64_t rescue_bit = 1;
    static constexpr std::uint64_t closed_bit = 2;
    /// A subscription that is joining: whoever replaces it first sets the stated start.
    static constexpr std::uint64_t join = ~std::uint64_t{3};

    [[nodiscard]] static constexpr std::uint64_t at(std::uint64_t position) noexcept {
        return position << 2U;
    }
    [[nodiscard]] static constexpr std::uint64_t position(std::uint64_t word) noexcept {
        return word >> 2U;
    }
    [[nodiscard]] static constexpr bool busy(std::uint64_t word) noexcept {
        return (word & (rescue_bit | closed_bit)) != 0;
    }
};

/// {first position + 1 : 48, length : 16}; 0 = none.
struct pin_word {
    [[nodiscard]] static constexpr std::uint64_t of(std::uint64_t first,
                                                    std::uint64_t length) noexcept {
        return ((first + 1) << 16U) | length;
    }
    /// Given a position less than 2^47 away from it.
    [[nodiscard]] static constexpr std::uint64_t first(std::uint64_t word,
                                                       std::uint64_t near) noexcept {
        const std::uint64_t low = (word >> 16U) - 1;
        const auto ahead = static_cast<std::int64_t>((low - near) << 16U) >> 16U;
        return near + static_cast<std::uint64_t>(ahead);
    }
    [[nodiscard]] static constexpr std::uint64_t length(std::uint64_t word) noexcept {
        return word & 0xFFFFU;
    }
};

/// A subscription's place in one ring: a block of its own, and one for the rescue's counts.
struct alignas(cache_block) cursor_block {
    atomic<std::uint64_t> cursor{cursor_word::closed_bit};  ///< see invariants 2 and 3
    atomic<std::uint64_t> pin{0};                           ///< written by the worker only
    // Written by the publisher in a rescue, before the store that ends it.
    atomic<std::uint64_t> lost{0};
    atomic<std::uint64_t> first_lost{0};  ///< sequence
    atomic<std::uint64_t> last_lost{0};   ///< sequence
    atomic<std::uint64_t> rescues{0};
    atomic<std::uint64_t> episode_first{0};  ///< sequence: first one lost of this episode
    atomic<std::uint64_t> told{0};           ///< of `lost`, in stream; the worker's
    /// 1: the store holds events. Set by the publisher, cleared by the worker before it takes them.
    atomic<std::uint32_t> kept{0};
    /// Every event of this ring with a lower sequence was handled, for those who come after.
    atomic<std::uint64_t> handled{0};
    /// Sequence of the first kept event, 0 = none, as whoever held the subscription last left them.
    atomic<std::uint64_t> first_kept{0};
    /// What the publisher does when it is about to lap the cursor: an `overflow`. Written by
    /// whoever holds the subscription; the publisher reads it after it has set the rescue bit.
    atomic<std::uint32_t> policy{0};
    /// A subscription that is being ended while its worker may be in the middle of a batch; for
    /// cursors that the worker moves by plain stores, which would wipe the closed bit.
    enum abandoned_state : std::uint32_t {
        kept_up = 0,
        stops = 1,      ///< the worker takes nothing more; set before a barrier on every thread
        abandoned = 2,  ///< the publisher looks at the pin only
    };
    atomic<std::uint32_t> left_behind{kept_up};
    /// 1: an episode of losses lasts. Set by the publisher, cleared by the supervisor.
    atomic<std::uint32_t> losing{0};
    /// 1: ended by overflow::disconnect.
    atomic<std::uint32_t> disconnected{0};
    /// The subscription's name, interned: here, because its block may be in other hands already.
    atomic<std::uint32_t> site{0};
    alignas(cache_block) atomic<std::uint64_t> lost_by_kind[max_event_kinds]{};
};
static_assert(sizeof(cursor_block) == 2 * cache_block);
static_assert(atomic<std::uint64_t>::is_always_lock_free);

/// One ring of a publisher. Constant after construction, but for what the pointers lead to.
struct ring {
    atomic<std::uint32_t>* entries = nullptr;  ///< slot index of each place
    cursor_block* cursors = nullptr;           ///< one per possible subscription
    /// Who may want the event of each place, a bit each; see mask_table.hpp. All set unless
    /// stamped.
    atomic<std::uint64_t>* masks = nullptr;
    std::uint32_t capacity = 0;
    std::uint32_t mask = 0;
};

/// {critical count:32, market count:32}.
struct tail_word {
    [[nodiscard]] static constexpr std::uint64_t of(std::uint64_t market,
                                                    std::uint64_t critical) noexcept {
        return (critical << 32U) | (market & 0xFFFFFFFFU);
    }
    [[nodiscard]] static constexpr std::uint32_t count(std::uint64_t word, ring_class c) noexcept {
        return static_cast<std::uint32_t>(c == ring_class::market ? word : word >> 32U);
    }
    /// The 62-bit position behind a 32-bit count, given a position at most 2^31 away from it.
    [[nodiscard]] static constexpr std::uint64_t extend(std::uint64_t near,
                                                        std::uint32_t count) noexcept {
        const auto ahead = static_cast<std::int32_t>(count - static_cast<std::uint32_t>(near));
        return near + static_cast<std::uint64_t>(static_cast<std::int64_t>(ahead));
    }
};

}  // namespace ropeway::detail
