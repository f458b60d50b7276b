// SPDX-License-Identifier: Apache-2.0
//
// A run of Ropeway's fan-out as a benchmark sets it up: publishers, consumers that check order and
// checksum, counters compared with the events. Called by the measuring thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>

#include "measured.hpp"

namespace ropeway::bench {

struct fan {
    unsigned consumers = 1;
    std::uint64_t events = 0;  ///< of all publishers together
    delivery_mode delivery = delivery_mode::duplicate;
    overflow policy = overflow::block;
    execution_mode execution = execution_mode::group;
    unsigned publishers = 1;
    std::chrono::nanoseconds handler{};  ///< how long it works; 0: checks and adds only
    dispatcher_params params{};
    publisher_params rings{};
};

/// Million events per second, from the first publish to the end of the last handler.
[[nodiscard]] measured run_ours(const fan& how);

/// Subscribes each consumer's take(event), as "consumer 1" and so on; block.
template <class Consumer>
[[nodiscard]] std::vector<subscription> subscribe_all(dispatcher<market_event>& to,
                                                      std::deque<Consumer>& consumers,
                                                      delivery_mode delivery) {
    std::vector<subscription> joined;
    for (Consumer& one : consumers) {
        joined.push_back(to.subscribe("consumer " + std::to_string(joined.size() + 1),
                                      overflow::block, {.delivery = delivery},
                                      [&one](const market_event& event) { one.take(event); }));
    }
    return joined;
}

/// Parameters of profile `latency` with room for so many consumers.
[[nodiscard]] dispatcher_params latency_params(unsigned consumers);

/// Compares the counters of a stopped dispatcher with the events.
void check_counters(const dispatcher_stats& stats, const stop_report& report, std::uint64_t events,
                    std::vector<std::string>& faults);

/// Median ns of one publish at 100k events a second, profile `latency`, the clock's share taken
/// off.
[[nodiscard]] measured publish_cost(unsigned consumers, std::uint64_t events);
/// Median ns from when an event was due to its handlers, profile `latency`, open loop.
[[nodiscard]] measured median_latency(unsigned consumers, double per_second, std::uint64_t events);

/// Works for that long, looking at the clock.
void work_for(std::chrono::nanoseconds time) noexcept;

}  // namespace ropeway::bench
