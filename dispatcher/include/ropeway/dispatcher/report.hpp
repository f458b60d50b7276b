// SPDX-License-Identifier: Apache-2.0
//
// What a dispatcher tells about itself: a snapshot while it runs and the report of its shutdown.
// Plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/pool/histogram.hpp>

namespace ropeway {

/// One subscription. Counters are exact once its consumer is idle.
struct subscription_stats {
    std::string name;
    consumer_stats consumer{};          ///< done, filtered, failed
    std::uint64_t dropped = 0;          ///< wanted market data lost to overflow
    kind_counts dropped_by_kind{};      ///< `dropped`, by kind
    std::uint64_t first_dropped = 0;    ///< sequence of the first one lost; 0 = none
    std::uint64_t last_dropped = 0;     ///< sequence of the last one lost
    std::uint64_t dropped_no_key = 0;   ///< of `dropped`: beyond conflation_keys
    std::uint64_t dropped_no_slot = 0;  ///< of `dropped`: no slot for kept events was free
    std::uint64_t quarantines = 0;      ///< times it went into quarantine
    bool quarantined = false;           ///< now
    bool disconnected = false;          ///< overflow::disconnect has ended its market data
    std::uint64_t conflated = 0;        ///< replaced by a newer one of their key
    kind_counts conflated_by_kind{};    ///< `conflated`, by kind
    std::uint64_t backlog = 0;          ///< critical events that wait outside their ring now
    std::uint64_t backlog_peak = 0;     ///< most of them at once, of one publisher
    std::uint64_t backlogged = 0;       ///< critical events that came through a backlog
    std::uint64_t starved = 0;          ///< handed over on the stack: no duplicate was free
    std::uint64_t rescues = 0;          ///< times a publisher moved its cursor on
    std::uint64_t lag = 0;         ///< committed events of both rings and the backlog not yet taken
    std::uint64_t lag_ns = 0;      ///< how long the oldest of them waits, by at most 1 ms too few
    std::uint64_t high_water = 0;  ///< most events of one ring that were committed and not taken
    std::uint64_t slices = 0;      ///< turns it was given
};

/// One subscription in a snapshot that takes no lock and allocates nothing.
struct subscription_counters {
    std::string_view name{};     ///< valid for ever
    std::uint32_t number = 0;    ///< of its place; reused after it ended
    std::uint64_t done = 0;      ///< as in consumer_stats
    std::uint64_t filtered = 0;  ///< as in consumer_stats
    std::uint64_t failed = 0;    ///< as in consumer_stats
    std::uint64_t dropped = 0;   ///< as in subscription_stats, likewise the rest
    std::uint64_t conflated = 0;
    std::uint64_t backlog = 0;
    std::uint64_t rescues = 0;
    std::uint64_t slices = 0;
    std::uint64_t lag = 0;
    std::uint64_t lag_ns = 0;
    std::uint64_t high_water = 0;
};

/// How events fanned out, of one event in 64: from publish to the end of the last handler.
struct fanout_stats {
    histogram time{};           ///< nanoseconds
    std::uint64_t work_ns = 0;  ///< what the handlers of these events took one after the other
    /// What min(handlers, workers) workers had time for meanwhile.
    std::uint64_t room_ns = 0;

    /// T_seq / (T_par * min(handlers, workers)); 0 when nothing was sampled.
    [[nodiscard]] double efficiency() const noexcept {
        return room_ns == 0 ? 0.0 : static_cast<double>(work_ns) / static_cast<double>(room_ns);
    }
};

/// Distributions of one subscription, of one event in 64.
struct subscription_histograms {
    histogram latency{};       ///< publish to the handler's begin, nanoseconds
    histogram handler_time{};  ///< the handler, nanoseconds
};

/// One publisher.
struct publisher_stats {
    std::string name;
    std::uint64_t published = 0;          ///< committed to a ring
    kind_counts published_by_kind{};      ///< `published`, by kind
    std::uint64_t unwanted = 0;           ///< nobody wanted the kind
    std::uint64_t critical_unwanted = 0;  ///< of these, critical: an alarm
    std::uint64_t refused = 0;            ///< full, would block, stopped
    std::uint64_t recycled = 0;           ///< slots that came back after every cursor passed
    std::uint64_t claims = 0;             ///< slots handed out
    std::uint64_t claims_out = 0;         ///< now with the user
    std::uint64_t waits = 0;              ///< publishes that had to wait for a subscription
    std::uint64_t exchanges = 0;          ///< pinned slots replaced by a spare
    std::uint64_t in_rings = 0;           ///< committed and not yet passed by every cursor
    std::uint64_t slots = 0;              ///< of both rings and the spares
};

/// One shared intake.
struct intake_stats {
    std::string name;
    std::uint64_t taken = 0;     ///< accepted from threads
    std::uint64_t refused = 0;   ///< full or stopped
    std::uint64_t waiting = 0;   ///< taken, and not yet published
    std::uint64_t capacity = 0;  ///< events that may wait
};

/// One group of workers.
struct group_stats {
    std::string name;
    std::uint32_t workers = 0;       ///< that may run at once, replacements not counted
    std::uint32_t running = 0;       ///< now, in a handler or looking for work
    std::uint32_t awake = 0;         ///< of them, those who look for work or soon will
    std::uint64_t wakes = 0;         ///< jobs given to the executor
    std::uint64_t replaced = 0;      ///< workers that a handler held and another replaced
    std::uint32_t replaced_now = 0;  ///< of them, those whose handlers have not returned
    std::uint64_t stalls = 0;        ///< turns longer than stall_limit
};

/// The whole dispatcher.
struct dispatcher_stats {
    std::vector<subscription_stats> subscriptions;
    std::vector<publisher_stats> publishers;
    std::vector<group_stats> groups;
    std::vector<intake_stats> intakes;
    std::uint64_t routing_version = 0;
    std::uint64_t duplicates_out = 0;   ///< copies with workers and in inboxes
    std::uint64_t duplicate_slots = 0;  ///< all of them
    std::uint64_t kept_out = 0;         ///< events kept outside their rings
    std::uint64_t kept_slots = 0;       ///< room for them
    std::uint64_t failures_recorded = 0;
    std::uint64_t failures_dropped = 0;  ///< the queue stayed full for failure_wait
    std::uint32_t workers_awake = 0;
    std::uint64_t wakes = 0;   ///< jobs given to the executor
    std::uint64_t alerts = 0;  ///< raised so far

    /// Slots in use (committed and not yet passed, with the user, and duplicates) over all slots.
    [[nodiscard]] double pool_use() const noexcept;
};

/// Bytes of one pool, ring or table.
struct memory_use {
    std::string what;
    std::size_t bytes = 0;
};

/// How a subscription ended.
struct unsubscribe_report {
    /// False: its handler still runs, or this was called inside a handler. A worker ends it when
    /// that handler returns; until then what the handler uses must live.
    bool ended = false;
    /// Everything that was committed before the call was handled, or had gone by the subscription's
    /// overflow policy: replaced by a newer event that was handled, or dropped and counted.
    bool drained = false;
    /// Wanted events committed and not handled (drain: committed before the call). Of a handler
    /// that still runs: events left in its rings and backlogs, wanted or not.
    std::uint64_t discarded = 0;
    std::uint64_t discarded_critical = 0;  ///< of these, critical
};

/// How a change of a running subscription went.
enum class change_status : std::uint8_t {
    done,
    timed_out,      ///< its handler held it until the deadline; nothing was changed
    inside_handler  ///< refused inside a handler, where waiting could last for ever
};

/// How flip_and_wait() went.
struct flip_report {
    std::uint64_t version = 0;  ///< the new one
    /// No handler that began before the flip runs any more.
    bool acknowledged = false;
    std::string waiting_for{};  ///< the first subscription that did not acknowledge
};

/// How a stop went.
struct stop_report {
    bool drained = false;       ///< every subscription took everything
    bool workers_gone = false;  ///< no worker runs any more, nor a handler elsewhere
    bool threads_gone = false;  ///< the executor's threads ended too
    /// Wanted events left, over all subscriptions; for one whose handler hangs, what its rings and
    /// backlogs hold.
    std::uint64_t undelivered = 0;
    std::uint64_t undelivered_critical = 0;  ///< of these, critical
    std::uint64_t slots_outstanding = 0;     ///< claims and duplicates that did not come back
    std::vector<std::string> unfinished;     ///< subscriptions with events left, or stuck

    [[nodiscard]] bool clean() const noexcept {
        return drained && workers_gone && undelivered == 0 && slots_outstanding == 0;
    }
};

}  // namespace ropeway
