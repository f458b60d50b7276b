// SPDX-License-Identifier: Apache-2.0
//
// A barrier on every running thread of the process, so that a path taken for each event needs none.
// Private; used when a dispatcher stops.
#pragma once

namespace ropeway::detail {

/// Asks the system for the cheap form once; call before barrier_everywhere().
void prepare_barrier() noexcept;

/// After it every other thread has executed a full fence at some point since the call. Costs some
/// 10 us (or 1 ms where the system has no membarrier).
void barrier_everywhere() noexcept;

}  // namespace ropeway::detail
