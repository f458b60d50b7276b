// SPDX-License-Identifier: Apache-2.0
//
// What a resource pool says of itself. Snapshots: plain values, owned by whoever asked.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/resource_event.hpp>

namespace ropeway {

/// One scan of the slot words and the counters: no lock, no allocation, below a microsecond.
/// In every snapshot total = idle + active, acquired >= released and peak_active >= active.
struct resource_snapshot {
    std::uint32_t total = 0;   ///< idle + active, counted in the same scan
    std::uint32_t idle = 0;    ///< ready to be lent
    std::uint32_t active = 0;  ///< leased, or returned and not yet ready again
    std::uint32_t opening = 0;
    std::uint32_t closing = 0;
    std::uint32_t quarantined = 0;  ///< slots that rest
    std::uint32_t waiting = 0;      ///< callers in the queue
    std::uint32_t min_size = 0;
    std::uint32_t max_size = 0;
    /// Most active at once, as seen by snapshots and by acquires that had to look for a slot; a
    /// thread that finds its own last slot idle does not look.
    std::uint32_t peak_active = 0;
    std::uint32_t recent_leaks = 0;  ///< reported in the last 60 s
    std::uint32_t overdue = 0;       ///< leases held longer than leak_timeout now
    pool_state state = pool_state::initializing;
    liveness_state liveness = liveness_state::connecting;
    std::uint64_t acquired = 0;  ///< leases given
    std::uint64_t released = 0;
    std::uint64_t immediate = 0;  ///< of acquired: without waiting
    std::uint64_t timeouts = 0;
    std::uint64_t refused = 0;  ///< queue_full, suspended, closed
    std::uint64_t opened = 0;
    std::uint64_t open_failed = 0;
    std::uint64_t leaks = 0;
    std::array<std::uint64_t, close_reasons> closed{};  ///< by close_reason
    std::chrono::nanoseconds age{};                     ///< since start()
    std::chrono::nanoseconds since_error{-1};           ///< since the last failure; -1: none yet
    std::chrono::nanoseconds since_check{-1};     ///< since the last check of a resource; -1: none
    std::chrono::nanoseconds longest_wait_60s{};  ///< over the last 60 s
    resource_error_kind last_error = resource_error_kind::none;
};

/// Distributions, copied out: some tens of microseconds, in which nobody who acquires waits.
struct resource_times {
    histogram wait{};  ///< of acquire(); those served at once count as 0 ns
    /// Of leases. Every lease is counted. On real time those below some milliseconds are timed one
    /// in 32 of a thread, the first among them, and stand for the others; longer ones may be shown
    /// a few milliseconds too long (up to 64 where none came for long). On a virtual clock each is
    /// exact.
    histogram hold{};
    histogram create{};    ///< of opens that succeeded
    histogram validate{};  ///< of probes that succeeded
};

/// Who holds a lease.
struct lease_holder {
    std::uint64_t resource = 0;
    std::string site{};
    std::string thread{};
    std::chrono::nanoseconds held{};
    bool overdue = false;
    std::vector<const void*> stack{};  ///< return addresses, innermost first
};

/// How a shutdown went.
struct resource_shutdown_report {
    std::uint32_t closed = 0;            ///< with a farewell or while idle
    std::vector<lease_holder> forced{};  ///< held beyond the deadline: cut off
    std::chrono::nanoseconds lasted{};
    std::string pool{};  ///< its name
    [[nodiscard]] bool clean() const noexcept { return forced.empty(); }
    /// One paragraph: how it went, and who still held what. Empty names and sites are left out.
    [[nodiscard]] std::string text() const;
};

/// Why acquire() or start() did not succeed: what, why, and who holds what there is.
struct pool_error {
    resource_error_kind kind = resource_error_kind::none;
    resource_error cause{};  ///< the latest failure of a resource, if there was one
    resource_snapshot snapshot{};
    std::vector<lease_holder> holders{};  ///< longest held first, at most 16
    std::string pool{};                   ///< its name
    std::chrono::nanoseconds waited{};    ///< before it was given up
    /// One paragraph: what happened, the numbers, the cause, the holders, what to do.
    [[nodiscard]] std::string text() const;
};

}  // namespace ropeway
