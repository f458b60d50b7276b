// SPDX-License-Identifier: Apache-2.0
//
// What the fan-out is measured against, each design written as those who use it would: the same
// events, the same check of order and checksum in every consumer, nothing else on. Each runs on
// threads of its own and joins them; called by the measuring thread. Million events per second.
#pragma once

#include <chrono>
#include <cstdint>

#include "measured.hpp"

namespace ropeway::bench {

struct reference_run {
    unsigned consumers = 1;
    std::uint64_t events = 0;
};

/// A ring of values per consumer, a thread each; the producer writes every event N times.
[[nodiscard]] measured run_spsc_rings(const reference_run& how);
/// The limit: one ring, one worker, `const&` in place, the handler inlined in the worker's loop.
[[nodiscard]] measured run_one_ring(const reference_run& how);
/// A loop over std::function on the publishing thread, a copy of the event for each.
[[nodiscard]] measured run_copying_loop(const reference_run& how);
/// The same without the copy: no isolation at all.
[[nodiscard]] measured run_plain_loop(const reference_run& how);
/// Boost.Signals2, on the publishing thread. Only where Boost was found.
[[nodiscard]] measured run_signals2(const reference_run& how);
/// oneTBB, one call per event.
[[nodiscard]] measured run_parallel_for(const reference_run& how);
[[nodiscard]] measured run_task_group(const reference_run& how);
/// A broadcast node with a serial function node per consumer.
[[nodiscard]] measured run_flow_graph(const reference_run& how);
/// A moodycamel queue per consumer, a thread each, duplicates from a pool of ours.
[[nodiscard]] measured run_moodycamel(const reference_run& how);

}  // namespace ropeway::bench
