// SPDX-License-Identifier: Apache-2.0
//
// What an event is about: the kinds of the ready-made market_event, which of them are critical,
// and sets of kinds as a subscription's interest. Values only; safe on every thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ropeway {

/// The kinds of `market_event`. A user's own event type may bring an enum of its own (see
/// event_traits.hpp); the numeric value of a kind must be below `max_event_kinds`.
enum class event_kind : std::uint8_t {
    trade = 0,             ///< an execution between others, from the exchange's feed
    quote = 1,             ///< best bid or offer
    book_update = 2,       ///< a change of one or more book levels
    ticker = 3,            ///< a periodic summary of an instrument
    market_status = 4,     ///< open, halted, closed
    heartbeat = 5,         ///< the feed is alive
    execution_report = 6,  ///< critical: what happened to an order of ours
    control_command = 7,   ///< critical: an instruction to a strategy or gateway
    control_ack = 8,       ///< critical: an instruction was received
    control_result = 9,    ///< critical: an instruction's outcome
};

/// Kinds are counted in arrays and tested in 32-bit masks of this many places.
inline constexpr std::size_t max_event_kinds = 16;

/// True for kinds that are never dropped, conflated, filtered or cancelled.
/// A value outside the enumeration counts as critical: what nobody knows is never lost silently.
[[nodiscard]] constexpr bool is_critical(event_kind kind) noexcept {
    switch (kind) {
        case event_kind::trade:
        case event_kind::quote:
        case event_kind::book_update:
        case event_kind::ticker:
        case event_kind::market_status:
        case event_kind::heartbeat: return false;
        case event_kind::execution_report:
        case event_kind::control_command:
        case event_kind::control_ack:
        case event_kind::control_result: return true;
    }
    return true;
}

/// The kind's name as it stands in reports and log lines; "unknown" outside the enumeration.
[[nodiscard]] constexpr std::string_view to_string(event_kind kind) noexcept {
    switch (kind) {
        case event_kind::trade: return "trade";
        case event_kind::quote: return "quote";
        case event_kind::book_update: return "book_update";
        case event_kind::ticker: return "ticker";
        case event_kind::market_status: return "market_status";
        case event_kind::heartbeat: return "heartbeat";
        case event_kind::execution_report: return "execution_report";
        case event_kind::control_command: return "control_command";
        case event_kind::control_ack: return "control_ack";
        case event_kind::control_result: return "control_result";
    }
    return "unknown";
}

/// A set of kinds, one bit each. Kinds at or above `max_event_kinds` share the last bit, so an
/// unknown (and therefore critical) kind is wanted by whoever wants critical kinds.
class kind_set {
  public:
    constexpr kind_set() noexcept = default;
    constexpr explicit kind_set(std::uint32_t bits) noexcept : bits_(bits) {}
    constexpr kind_set(
        event_kind kind) noexcept  // NOLINT(google-explicit-constructor): a kind is a set of one
        : bits_(bit(static_cast<std::uint32_t>(kind))) {}

    /// The bit of a kind given by its number.
    [[nodiscard]] static constexpr std::uint32_t bit(std::uint32_t kind) noexcept {
        return std::uint32_t{1} << (kind < max_event_kinds ? kind : max_event_kinds - 1);
    }
    [[nodiscard]] constexpr bool contains(std::uint32_t kind) const noexcept {
        return (bits_ & bit(kind)) != 0;
    }
    [[nodiscard]] constexpr bool contains(event_kind kind) const noexcept {
        return contains(static_cast<std::uint32_t>(kind));
    }
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }
    [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }

    friend constexpr kind_set operator|(kind_set a, kind_set b) noexcept {
        return kind_set{a.bits_ | b.bits_};
    }
    friend constexpr kind_set operator&(kind_set a, kind_set b) noexcept {
        return kind_set{a.bits_ & b.bits_};
    }
    friend constexpr bool operator==(kind_set a, kind_set b) noexcept = default;

  private:
    std::uint32_t bits_ = 0;
};

[[nodiscard]] constexpr kind_set operator|(event_kind a, event_kind b) noexcept {
    return kind_set{a} | kind_set{b};
}

inline constexpr std::uint32_t kind_bits_all = (std::uint32_t{1} << max_event_kinds) - 1;

/// Every kind, known or not.
inline constexpr kind_set all_kinds{kind_bits_all};
/// The six kinds that may be filtered by version or lost by a lossy subscription.
inline constexpr kind_set market_data = event_kind::trade | event_kind::quote |
                                        event_kind::book_update | event_kind::ticker |
                                        event_kind::market_status | event_kind::heartbeat;
/// Everything that is not market data, unknown kinds included.
inline constexpr kind_set critical{kind_bits_all & ~market_data.bits()};

}  // namespace ropeway
