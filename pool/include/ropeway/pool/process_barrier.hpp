// SPDX-License-Identifier: Apache-2.0
//
// A full fence on every running thread of the process, paid by the one who asks for it, so that a
// path taken for each event or lease needs none. Any thread.
#pragma once

namespace ropeway::detail {

/// Asks the system for the cheap form; call before process_barrier(). False: there is none, and
/// whoever relies on the fence for more than an end needs another way.
[[nodiscard]] bool prepare_process_barrier() noexcept;

/// After it every other thread has executed a full fence at some point since the call. Costs some
/// 10 us (or 1 ms where the system has no membarrier).
void process_barrier() noexcept;

}  // namespace ropeway::detail
