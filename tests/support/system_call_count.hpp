// SPDX-License-Identifier: Apache-2.0
//
// Counts a thread's system calls by a filter that turns each of them into a signal, whose handler
// counts it and makes it. For a thread that should make none: a call takes microseconds then.
#pragma once

#include <cstdint>

namespace ropeway_test {

/// From here on the calling thread's system calls are counted, but for what a thread needs to end.
/// Allocates once before. Takes over SIGSYS. False where the system has no such filter, and on
/// other processors than x86-64.
[[nodiscard]] bool count_system_calls() noexcept;

/// Of all threads that count, since the program began. Any thread.
[[nodiscard]] std::uint64_t system_calls() noexcept;

/// The number of the latest one; -1 before the first. Any thread.
[[nodiscard]] int last_system_call() noexcept;

}  // namespace ropeway_test
