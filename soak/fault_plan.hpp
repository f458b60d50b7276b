// SPDX-License-Identifier: Apache-2.0
//
// Faults that tests plant between the dispatcher and the soak's books, to prove that the verdict
// sees them. A plain value in the scenario; no command line reaches it.
#pragma once

#include <cstdint>

namespace ropeway::soak {

enum class fault : std::uint8_t {
    none,
    lost,           ///< one market delivery is not entered
    lost_critical,  ///< one critical delivery is not entered
    doubled,        ///< one delivery is entered twice
    reordered,      ///< one delivery is entered after the next one of its stream
    stale,          ///< market events from there on count as handled after their version ended
    corrupt,        ///< one event's payload is changed before it is checked
    leaked_slot,    ///< a claim is kept over the stop
    double_put,     ///< a slot is given back twice
};

struct fault_plan {
    fault what = fault::none;
    std::uint32_t consumer = 0;   ///< whose books, for those about deliveries
    std::uint64_t counter = 100;  ///< the event of publisher 0 and its class that is hit
};

}  // namespace ropeway::soak
