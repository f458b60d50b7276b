// SPDX-License-Identifier: Apache-2.0
//
// Private: fixed-width integers out of bytes, whatever this machine's byte order. Pure. The caller
// has checked that `at` plus the width lies inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ropeway {

template <class Integer>
[[nodiscard]] constexpr Integer little_endian(std::span<const std::byte> bytes,
                                              std::size_t at) noexcept {
    Integer value = 0;
    for (std::size_t i = 0; i < sizeof(Integer); ++i) {
        value = static_cast<Integer>(
            value | static_cast<Integer>(std::to_integer<Integer>(bytes[at + i]) << (8 * i)));
    }
    return value;
}

template <class Integer>
[[nodiscard]] constexpr Integer big_endian(std::span<const std::byte> bytes,
                                           std::size_t at) noexcept {
    Integer value = 0;
    for (std::size_t i = 0; i < sizeof(Integer); ++i) {
        const auto shift = 8 * (sizeof(Integer) - 1 - i);
        value = static_cast<Integer>(
            value | static_cast<Integer>(std::to_integer<Integer>(bytes[at + i]) << shift));
    }
    return value;
}

/// Sum of 16-bit words as the internet checksum adds them, not yet folded.
[[nodiscard]] constexpr std::uint32_t word_sum(std::span<const std::byte> bytes) noexcept {
    std::uint32_t sum = 0;
    std::size_t at = 0;
    for (; at + 1 < bytes.size(); at += 2) {
        sum += big_endian<std::uint16_t>(bytes, at);
    }
    if (at < bytes.size()) {
        sum += std::to_integer<std::uint32_t>(bytes[at]) << 8U;
    }
    return sum;
}

/// True if words that include their own checksum add up.
[[nodiscard]] constexpr bool adds_up(std::uint32_t sum) noexcept {
    while (sum > 0xffff) {
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return sum == 0xffff;
}

}  // namespace ropeway
