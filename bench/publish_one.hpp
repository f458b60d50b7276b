// SPDX-License-Identifier: Apache-2.0
//
// One event from claim to publish, as every publishing loop of the benchmarks does it. Used by the
// publisher's thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>

namespace ropeway::bench {

/// Says that event `number` found no slot, or was not published. Out of line: not part of what the
/// loops measure.
[[gnu::cold]] void fault_of_claim(std::uint64_t number, std::vector<std::string>& faults);
[[gnu::cold]] void fault_of_publish(std::uint64_t number, std::vector<std::string>& faults);

/// Claims event `number`, lets write(event) fill it, publishes it. False, and a fault, where one of
/// these failed: the run is over then. Always inlined: no loop pays for a call that a user's own
/// would not make.
template <class Event, class Write>
[[nodiscard, gnu::always_inline]] inline bool publish_one(publisher<Event>& feed,
                                                          std::uint64_t number, Write&& write,
                                                          std::vector<std::string>& faults) {
    claimed<Event> event = feed.claim();
    if (!event) {
        fault_of_claim(number, faults);
        return false;
    }
    write(*event);
    if (!feed.publish(std::move(event))) {
        fault_of_publish(number, faults);
        return false;
    }
    return true;
}

}  // namespace ropeway::bench
