// SPDX-License-Identifier: Apache-2.0
//
// What the dispatcher notes for each thread. Simulated threads have their own.
#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {

std::uint32_t& handler_depth() noexcept {
    thread_local std::uint32_t depth = 0;
    return depth;
}

retainer& retaining() noexcept {
    thread_local retainer now;
    return now;
}

}  // namespace ropeway::detail
