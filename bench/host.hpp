// SPDX-License-Identifier: Apache-2.0
//
// What the numbers were measured on. Free functions, one thread.
#pragma once

#include <string>

namespace ropeway::bench {

struct host_facts {
    std::string cpu;       ///< the processor's own name
    unsigned cpus = 0;     ///< that this process may use
    double round_trip_ns;  ///< median of a cache line's way to another core and back; 0: one core
    std::string compiler;
    std::string commit;
    bool release = false;  ///< compiled without assertions
};

/// Takes some milliseconds: it measures the round trip.
[[nodiscard]] host_facts look_at_host();

}  // namespace ropeway::bench
