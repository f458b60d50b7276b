// SPDX-License-Identifier: Apache-2.0
//
// What the system does for threads has no meaning for simulated ones, which never hold a store
// back.
#include <ropeway/dispatcher/threading.hpp>

#include "system.hpp"

namespace ropeway::detail {

bool prepare_barrier() noexcept { return true; }
void barrier_everywhere() noexcept { scheduling_point(); }
void name_this_thread(const std::string& /*name*/) noexcept {}
void ask_for_short_turns() noexcept {}

}  // namespace ropeway::detail
