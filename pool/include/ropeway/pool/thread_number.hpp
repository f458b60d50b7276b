// SPDX-License-Identifier: Apache-2.0
//
// Small dense numbers for threads, so that 16 bits in a slot's header say who held it. A number is
// given at first use and never given again; threads beyond the last number share it. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ropeway {

/// 0 means "no thread known"; the largest is shared by all threads beyond 65,534.
inline constexpr std::uint16_t last_thread_number = 0xFFFF;

namespace detail {
inline thread_local constinit std::uint16_t this_thread_number = 0;
[[gnu::cold]] std::uint16_t assign_thread_number() noexcept;
}  // namespace detail

/// The calling thread's number, from 1. One thread-local load after the first call.
[[nodiscard]] inline std::uint16_t thread_number() noexcept {
    const std::uint16_t number = detail::this_thread_number;
    return number != 0 ? number : detail::assign_thread_number();
}

/// Names the calling thread in reports: the first 15 bytes are kept. Only the first 4095 threads
/// of a process can have a name.
void name_this_thread(std::string_view name) noexcept;

/// "feed (thread 3)", or "thread 3" without a name, "unknown thread" for 0.
[[nodiscard]] std::string thread_text(std::uint16_t number);

}  // namespace ropeway
