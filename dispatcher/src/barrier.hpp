// SPDX-License-Identifier: Apache-2.0
//
// A barrier on every running thread of the process, so that a path taken for each event needs none.
// Private; used when a worker goes idle and when a dispatcher stops.
#pragma once

namespace ropeway::detail {

/// Asks the system for the cheap form; call before barrier_everywhere(). False: there is none.
[[nodiscard]] bool prepare_barrier() noexcept;

/// After it every other thread has executed a full fence at some point since the call. Costs some
/// 10 us (or 1 ms where the system has no membarrier).
void barrier_everywhere() noexcept;

}  // namespace ropeway::detail
