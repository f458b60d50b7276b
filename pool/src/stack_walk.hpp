// SPDX-License-Identifier: Apache-2.0
//
// The calling thread's return addresses by its frame pointers: 1 to 3 ns a frame, no allocation.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include <ropeway/pool/violation.hpp>

namespace ropeway::detail {

/// Fills `out` with return addresses, innermost first, 0 behind the last. Code built without frame
/// pointers ends the walk early; it never leaves the thread's stack.
void walk_stack(std::array<const void*, stack_frames>& out) noexcept;

/// Few of them, for every lease: into words that other threads may read meanwhile, from `frame`
/// (__builtin_frame_address) outwards, so that the pool's own calls take no room.
inline constexpr std::size_t short_stack_frames = 6;
void walk_stack(std::span<std::atomic<const void*>, short_stack_frames> out,
                const void* frame) noexcept;

}  // namespace ropeway::detail
