// SPDX-License-Identifier: Apache-2.0
//
// What a pool says of itself: counts, bytes, and who holds what. Snapshots: plain values, owned by
// whoever asked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ropeway/pool/event_kind.hpp>
#include <ropeway/pool/event_traits.hpp>

namespace ropeway {

/// Counts of a pool. Each is exact while nobody gets or puts.
struct pool_stats {
    std::uint64_t capacity = 0;         ///< slots in use or ready for use
    std::uint64_t outstanding = 0;      ///< held by somebody
    std::uint64_t parked = 0;           ///< free, in threads' magazines
    std::uint64_t available = 0;        ///< free, for any thread
    std::uint64_t retired = 0;          ///< misused, never handed out again
    std::uint64_t high_water_mark = 0;  ///< most ever out of the depot: outstanding + parked
    std::uint64_t recycled = 0;         ///< returns, all kinds
    std::array<std::uint64_t, max_event_kinds> recycled_by_kind{};
    std::uint64_t merged = 0;     ///< returns by recycle_merged
    std::uint64_t refused = 0;    ///< entries that the guard refused to hand out
    std::uint64_t exhausted = 0;  ///< user gets that found nothing at first
    std::uint64_t grown = 0;      ///< slots added by policy `grow`
};

/// Reserved bytes of a pool; untouched pages of it cost no memory.
struct memory_report {
    std::size_t slot_bytes = 0;      ///< slots and headers
    std::size_t guard_bytes = 0;     ///< tables of the guard levels used so far
    std::size_t magazine_bytes = 0;  ///< magazines, caches, depot
    [[nodiscard]] std::size_t total_bytes() const noexcept {
        return slot_bytes + guard_bytes + magazine_bytes;
    }
};

/// Slots that one site acquired and that are still out.
struct leak_site {
    std::uint16_t site = 0;
    std::string where;   ///< text of the site
    std::string holder;  ///< name given by name_holder(), or empty
    std::size_t count = 0;
    std::uint32_t oldest_ms = 0;  ///< age of the oldest
    std::string thread;           ///< which thread acquired the oldest
    std::uint16_t thread_number = 0;
    std::uint32_t oldest_slot = 0;
    trace_id trace{};   ///< trace id of the oldest, if its type has one
    bool lent = false;  ///< at least one is a raw pointer beyond a C edge
};

/// Outstanding slots by site, most first.
struct leak_report {
    std::string pool;
    std::size_t outstanding = 0;
    std::vector<leak_site> sites;
    [[nodiscard]] bool clean() const noexcept { return outstanding == 0; }
};

/// One line per site. Allocates.
[[nodiscard]] std::string to_string(const leak_report& report);

}  // namespace ropeway
