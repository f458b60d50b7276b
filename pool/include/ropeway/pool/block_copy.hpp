// SPDX-License-Identifier: Apache-2.0
//
// Copies of small blocks by plain vector moves. For a constant of about a hundred bytes compilers
// choose a string instruction, whose start alone costs more than all the moves. Any thread; the
// blocks do not overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace ropeway::detail {

/// Sixteen bytes at any address, of any type.
using block_word [[gnu::vector_size(16), gnu::aligned(1), gnu::may_alias]] = std::uint64_t;

/// By value and inlined: captured or passed by reference, the two addresses would be read again
/// after each store, which may be to them as far as a compiler can tell.
template <std::size_t... I>
[[gnu::always_inline]] inline void copy_words(std::byte* to, const std::byte* from,
                                              std::index_sequence<I...> /*words*/) noexcept {
    ((*reinterpret_cast<block_word*>(to + I * sizeof(block_word)) =
          *reinterpret_cast<const block_word*>(from + I * sizeof(block_word))),
     ...);
}

template <std::size_t Bytes>
[[gnu::always_inline]] inline void copy_block(void* to, const void* from) noexcept {
    constexpr std::size_t words = Bytes / sizeof(block_word);
    if constexpr (words > 32) {
        std::memcpy(to, from, Bytes);
    } else {
        auto* const out = static_cast<std::byte*>(to);
        const auto* const in = static_cast<const std::byte*>(from);
        copy_words(out, in, std::make_index_sequence<words>{});
        constexpr std::size_t done = words * sizeof(block_word);
        if constexpr (done != Bytes) {
            std::memcpy(out + done, in + done, Bytes - done);
        }
    }
}

}  // namespace ropeway::detail
