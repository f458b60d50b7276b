// SPDX-License-Identifier: Apache-2.0
//
// Where the soak's slots come from: mimalloc where this build has it, else the library's default.
#pragma once

#include <ropeway/pool/memory_source.hpp>

#if defined(ROPEWAY_SOAK_MIMALLOC)
#include <ropeway/pool/mimalloc.hpp>
#endif

namespace ropeway::soak {

/// Process-wide; null: the dispatcher's default.
[[nodiscard]] inline memory_source* slab_memory() noexcept {
#if defined(ROPEWAY_SOAK_MIMALLOC)
    return &mimalloc_memory();
#else
    return nullptr;
#endif
}

}  // namespace ropeway::soak
