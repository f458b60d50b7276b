// SPDX-License-Identifier: Apache-2.0
//
// Slabs from mimalloc: component ropeway::mimalloc. Process-wide source, owned by nobody. Pools ask
// it at construction only, on the constructing thread, because a mimalloc heap allocates only on
// its own thread; giving back is right on any thread.
#pragma once

#include <ropeway/pool/memory_source.hpp>

namespace ropeway {

/// Zeroed blocks from a mimalloc heap of the calling thread that nothing else allocates from.
/// Thread safety: any thread. Not built with sanitizers: LeakSanitizer does not see mimalloc.
[[nodiscard]] memory_source& mimalloc_memory() noexcept;

}  // namespace ropeway
