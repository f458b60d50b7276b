// SPDX-License-Identifier: Apache-2.0
//
// What only the system can do: a barrier on every running thread of the process, so that a path
// taken for each event needs none; and shorter turns for threads of our own. Private.
#pragma once

#include <string>

namespace ropeway::detail {

/// prepare_process_barrier() and process_barrier() of the pool; a simulation has its own.
[[nodiscard]] bool prepare_barrier() noexcept;
void barrier_everywhere() noexcept;

/// As debuggers show it; the system keeps 15 characters.
void name_this_thread(const std::string& name) noexcept;

/// Asks the scheduler for turns of 0.1 ms instead of the usual 3 or more, so that the calling
/// thread runs soon after it is woken even where others keep every processor busy. Needs no right;
/// systems before Linux 6.12 ignore it.
void ask_for_short_turns() noexcept;

}  // namespace ropeway::detail
