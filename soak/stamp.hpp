// SPDX-License-Identifier: Apache-2.0
//
// What the soak writes into an event so that its accounting needs nothing from the dispatcher: who
// published it, a dense counter per publisher and class, the sequence it must get, and a checksum
// over the whole event. Pure functions on values.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <ropeway/pool/market_event.hpp>

namespace ropeway::soak {

/// Market data and critical kinds are counted apart: critical events may overtake market data.
enum class stream_class : std::uint8_t { market = 0, critical = 1 };
inline constexpr std::size_t stream_classes = 2;

[[nodiscard]] constexpr stream_class class_of(event_kind kind) noexcept {
    return is_critical(kind) ? stream_class::critical : stream_class::market;
}
[[nodiscard]] constexpr std::size_t index_of(stream_class c) noexcept {
    return static_cast<std::size_t>(c);
}

/// {class:1, publisher:15, counter:48}, kept in market_event::user.
struct stamp {
    std::uint32_t publisher = 0;
    stream_class stream = stream_class::market;
    std::uint64_t counter = 0;  ///< dense from 1 per publisher and class

    [[nodiscard]] constexpr std::uint64_t word() const noexcept {
        return (std::uint64_t{static_cast<std::uint8_t>(stream)} << 63U) |
               (std::uint64_t{publisher & 0x7FFFU} << 48U) | (counter & 0xFFFF'FFFF'FFFFU);
    }
    [[nodiscard]] static constexpr stamp of(std::uint64_t word) noexcept {
        return {static_cast<std::uint32_t>((word >> 48U) & 0x7FFFU),
                (word >> 63U) != 0 ? stream_class::critical : stream_class::market,
                word & 0xFFFF'FFFF'FFFFU};
    }
};

/// A 64-bit finaliser: every input bit reaches every output bit.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30U)) * 0xBF58'476D'1CE4'E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D0'49BB'1331'11EBU;
    return x ^ (x >> 31U);
}

/// Over all words but `order`, which keeps it. Each word has an odd factor of its own, so a change
/// of any one word, and words that change places, show.
[[nodiscard]] inline std::uint64_t checksum(const market_event& event) noexcept {
    constexpr std::size_t words = sizeof(market_event) / sizeof(std::uint64_t);
    constexpr std::size_t order_word = offsetof(market_event, order) / sizeof(std::uint64_t);
    const auto raw = std::bit_cast<std::array<std::uint64_t, words>>(event);
    std::uint64_t sum = 0;
    std::uint64_t factor = 0x9E37'79B9'7F4A'7C15U;
    for (std::size_t i = 0; i < words; ++i) {
        if (i != order_word) {
            sum += (raw[i] ^ (raw[i] >> 32U)) * factor;
        }
        factor += 0xD1B5'4A32'D192'ED04U;  // even, so the next factor stays odd
    }
    return sum;
}

/// Marks an event that is about to be published. `sequence` is what publish will give it.
inline void mark(market_event& event, const stamp& mine, std::uint64_t sequence) noexcept {
    event.user = mine.word();
    event.trace = {std::uint64_t{mine.publisher} + 1, sequence};
    event.order = checksum(event);
}

/// Sums of this over all throws and over all failure records agree only if each throw has its
/// record, whatever their order.
[[nodiscard]] constexpr std::uint64_t failure_hash(const trace_id& trace, std::uint32_t kind,
                                                   std::uint64_t version) noexcept {
    return mix(trace.low + mix(trace.high + mix(version + mix(kind + 1))));
}

}  // namespace ropeway::soak
