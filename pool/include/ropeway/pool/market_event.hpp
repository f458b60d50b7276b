// SPDX-License-Identifier: Apache-2.0
//
// The ready-made event: market data, execution reports and control events in 112 bytes, so that
// with the 16-byte slot header it fills two cache lines exactly. A plain value, trivially copyable;
// whoever holds it owns it. Instantiated in the library, so most programs compile no template.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <ropeway/pool/event_kind.hpp>
#include <ropeway/pool/event_traits.hpp>

namespace ropeway {

enum class event_side : std::uint8_t { none = 0, bid = 1, offer = 2 };

/// Prices and quantities are integers in units of 10^-8 (price_scale), never double.
inline constexpr std::int64_t price_scale = 100'000'000;

/// One event. All stamps are nanoseconds; which clock is said at each.
struct market_event {
    event_kind kind = event_kind::trade;
    event_side side = event_side::none;
    std::uint16_t flags = 0;            ///< free for the user; feeds keep the trade condition here
    std::uint32_t instrument = 0;       ///< id given by the feed's instrument table; 0 = none
    std::uint64_t routing_version = 0;  ///< stamped at claim or by the orchestrator
    trace_id trace{};                   ///< 128 bits; zero = untraced
    std::int64_t exchange_ns = 0;       ///< exchange's wall clock (UNIX epoch)
    std::int64_t receive_ns =
        0;  ///< capture's wall clock (UNIX epoch); not comparable with exchange_ns
    std::int64_t publish_ns = 0;    ///< the publishing process's steady clock
    std::int64_t price = 0;         ///< price, or best bid; x 10^-8
    std::int64_t quantity = 0;      ///< quantity, or bid quantity; x 10^-8
    std::int64_t price2 = 0;        ///< best offer of a quote; x 10^-8
    std::int64_t quantity2 = 0;     ///< offer quantity of a quote; x 10^-8
    std::uint64_t exchange_id = 0;  ///< trade id, update id, order id or feed sequence number
    std::uint64_t order = 0;        ///< client order id of an execution report or control event
    std::uint64_t user = 0;         ///< free for the user

    friend constexpr bool operator==(const market_event&, const market_event&) noexcept = default;
};

/// Quotes and tickers stand for the older ones of their instrument; trades and book changes do not.
template <>
struct event_traits<market_event> : event_traits_base<market_event> {
    [[nodiscard]] static constexpr bool conflatable(std::uint32_t kind) noexcept {
        return kind == static_cast<std::uint32_t>(event_kind::quote) ||
               kind == static_cast<std::uint32_t>(event_kind::ticker);
    }
};

static_assert(sizeof(market_event) == 112, "market_event fills two cache lines with its header");
static_assert(alignof(market_event) == 8);
static_assert(std::is_trivially_copyable_v<market_event>);
static_assert(std::is_standard_layout_v<market_event>);
static_assert(offsetof(market_event, routing_version) == 8);
static_assert(offsetof(market_event, trace) == 16);
static_assert(offsetof(market_event, exchange_ns) == 32);
static_assert(slot_bytes<market_event> == 128);
static_assert(event_type<market_event>);

}  // namespace ropeway
