// SPDX-License-Identifier: Apache-2.0
//
// What a user sets on a dispatcher, a publisher and a subscription, and how waiting ends when the
// answer is no. Plain structs: every field has a default, its reason and its legal range.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ropeway/dispatcher/alert.hpp>
#include <ropeway/dispatcher/executor.hpp>
#include <ropeway/pool/event_kind.hpp>
#include <ropeway/pool/guard.hpp>
#include <ropeway/pool/memory_source.hpp>
#include <ropeway/pool/violation.hpp>

namespace ropeway {

class subscription;

/// What happens when a subscription falls a whole ring behind. There is no default: the user names
/// it at subscribe. Critical kinds are never lost under any of them: they wait in a backlog.
enum class overflow : std::uint8_t {
    block,        ///< its publishers wait: the only policy by which one consumer delays another
    drop_oldest,  ///< the oldest market data is skipped; counted exactly and told in stream
    /// The latest event of every conflation key is kept, older ones are folded into it, also while
    /// the consumer is stuck. Only for kinds that event_traits::conflatable() names.
    conflate,
    /// It gets no market data any more, from any publisher; critical events go on. Told by an
    /// alert, with the number of events that it missed up to then.
    disconnect,
};

/// In which order a subscription gets market data and critical events of one publisher.
enum class event_order : std::uint8_t {
    critical_first,  ///< at most the handler in progress goes before a critical event
    in_sequence,     ///< as they were published
};

/// What unsubscribe() does with events that the subscription has not handled.
enum class leaving : std::uint8_t {
    discard,  ///< they are dropped, and counted
    drain,    ///< all that was committed before the call is handled first, until the deadline
};

/// How a handler gets the event.
enum class delivery_mode : std::uint8_t {
    duplicate,  ///< an owned, mutable copy, recycled after the handler
    in_place,   ///< `const E&` in the ring's slot, which stays put while the handler runs
    /// The ring's slot itself, mutable, while no other subscription lives; a duplicate otherwise,
    /// and at guard level `full`.
    original,
};
inline constexpr delivery_mode duplicate = delivery_mode::duplicate;
inline constexpr delivery_mode in_place = delivery_mode::in_place;
inline constexpr delivery_mode original = delivery_mode::original;

/// Where a handler runs.
enum class execution_mode : std::uint8_t {
    group,  ///< on a worker of the subscription's group
    /// On the thread that publishes, after its commit and before publish returns; on the worker
    /// whose handler published. A second publisher that finds the handler running leaves its event
    /// to the thread that runs it. What could not run then (no slot was free, or it comes `after`
    /// another) and can by now, a worker of the first group runs.
    inline_,
    own_thread,  ///< on a thread of the subscription's own
};
inline constexpr execution_mode inline_ = execution_mode::inline_;
inline constexpr execution_mode own_thread = execution_mode::own_thread;

/// What an idle worker does until the next event.
enum class wait_strategy : std::uint8_t {
    park,     ///< looks for `linger`, then sleeps until a publish wakes it: burns nothing when idle
    backoff,  ///< never waits for a wake-up: pauses, then yields, then sleeps of 50 us
    yield,    ///< looks again and again, and offers its processor to others in between
    spin,     ///< looks again and again: the lowest latency, and a processor of its own
};

/// What happens to a consumer that fails again and again. Until it is tried again its market data
/// is passed over, counted as dropped, and its critical events wait.
struct quarantine_params {
    std::uint32_t after = 0;  ///< failures in a row; 0 (default): never. Not with inline_
    /// Until it is tried again with the next event, 1 ms..1 h.
    std::chrono::nanoseconds retry_after = std::chrono::milliseconds{100};
};

/// Interest, delivery and execution of one subscription.
struct subscription_params {
    /// Kinds wanted; others are skipped before anything is copied. Not empty.
    kind_set kinds = all_kinds;
    /// Duplicate by default: a handler may keep scratch values in its copy.
    delivery_mode delivery = delivery_mode::duplicate;
    /// Instruments wanted; empty (default) means all. Events without an instrument (0) always pass.
    std::vector<std::uint32_t> instruments{};
    /// Market data with a lower routing version is stale for this consumer from the start.
    std::uint64_t min_version = 0;
    event_order order = event_order::critical_first;
    /// Critical events of one publisher that may wait outside its ring while this consumer is
    /// stuck, a power of two, 16..65536. Beyond it `publish` waits, and then fails: backlog_full.
    std::uint32_t backlog = 1024;
    /// For overflow::conflate: conflation keys of one publisher, 1..65536. Events of further keys
    /// are lost when the ring laps them, counted by reason.
    std::uint32_t conflation_keys = 1024;
    /// Subscriptions of the same dispatcher that must have handled an event before this one gets
    /// it. An event that they lost, filtered or do not want counts as handled.
    std::vector<const subscription*> after{};
    quarantine_params quarantine{};
    /// How often the handler's on_timer() is called, 1 ms..1 day, in steps of a millisecond; 0
    /// (default): the handler has none. Not with inline_.
    std::chrono::nanoseconds timer{};
    execution_mode execution = execution_mode::group;
    /// Name of the group that serves it; empty (default): the default group. Execution `group`
    /// only.
    std::string group{};
    /// The thread, for own_thread. Its default name is the subscription's.
    thread_params thread{.name = ""};
    /// What that thread does while there is nothing to serve.
    wait_strategy wait = wait_strategy::park;
};

/// A group of resident workers. A subscription names its group.
struct worker_params {
    /// Names the group. Thread name prefix in the default arena, 1 to 12 characters: the system
    /// shows 15. Own threads have thread_params::name.
    std::string name = "ropeway";
    /// How many may run at once, 1..256. 0 (default) means one less than the processors this
    /// process may use, at least 1, so that a publisher keeps a processor of its own.
    unsigned count = 0;
    /// How long an idle worker looks for work before it leaves, 0..1 s. 50 us: the border below
    /// which waking a thread costs more than looking.
    std::chrono::nanoseconds linger{50'000};
    /// How long a worker serves one subscription before it turns to the next, 1 us..1 s. 50 us
    /// bounds what one slow consumer adds to its neighbours' latency.
    std::chrono::nanoseconds slice{50'000};
    /// What an idle worker does. `park` by default: an idle dispatcher burns nothing.
    wait_strategy wait = wait_strategy::park;
    /// Workers that may be started in place of some that a handler holds, 0..64. They end when
    /// those handlers return.
    unsigned replacements = 4;
    /// How long one turn of a handler may hold a worker before another takes over, 1 ms..1 s.
    /// Looked at once a millisecond.
    std::chrono::nanoseconds replace_after = std::chrono::milliseconds{2};
    /// How long one turn may last before its subscription is reported as stalled, 1 ms or more.
    std::chrono::nanoseconds stall_limit = std::chrono::milliseconds{100};
    /// Where workers run; null (default) is an arena of oneTBB's of the dispatcher's own. See
    /// executor.hpp for own threads.
    std::shared_ptr<executor> where{};
};

/// One publisher.
struct publisher_params {
    /// Slots of its market ring, a power of two, 16..2^20. 1024 keeps the ring in a core's cache.
    std::uint32_t market_capacity = 1024;
    /// Slots of its critical ring, a power of two, 16..2^20.
    std::uint32_t critical_capacity = 1024;
    /// Claims that may be out at once beyond those in publish order, 1..65536.
    std::uint32_t spare_claims = 64;
    /// How long `publish` waits for a blocking subscription before it gives up; 0 or more.
    std::chrono::nanoseconds deadline = std::chrono::seconds{10};
};

/// Where counting begins: for tests of what happens when counts of few bits wrap.
struct starting_points {
    std::uint64_t position = 0;    ///< in every ring; a multiple of every capacity, below 2^60
    std::uint32_t generation = 0;  ///< of every slot
};

/// A dispatcher.
struct dispatcher_params {
    std::string name = "events";  ///< names its pools in reports
    /// The default group.
    worker_params workers{};
    /// Further groups, each with a name of its own; 64 in all, own threads of subscriptions
    /// included.
    std::vector<worker_params> groups{};
    /// Called with what somebody should know of at 3 a.m.: stalls, losses, replacements. On the
    /// dispatcher's supervising thread, one call at a time, never on a worker or a publisher. What
    /// it throws ends the process. Default: none.
    std::function<void(const alert&)> on_alert{};
    /// Subscriptions that may live at once, 1..64. Bounds memory: see memory_report().
    std::uint32_t max_subscriptions = 32;
    /// Publishers that may be made, 1..64.
    std::uint32_t max_publishers = 8;
    /// Slots for duplicates; 0 (default): 128 for each possible subscription and 256 for each
    /// worker and publisher, so that a worker never finds the pool empty. At least 8 per worker.
    std::uint32_t duplicate_slots = 0;
    /// Slots for events kept for subscriptions that fell a ring behind, 64..2^23; 0 (default): 1024
    /// for each possible subscription. Half of them are for critical events alone. They are
    /// touched, and so cost memory, only when used.
    std::uint32_t kept_slots = 0;
    /// Misuse detection of slots and duplicates; may be changed while running.
    guard_level guard = guard_level::guard;
    violation_policy on_violation = violation_policy::log_and_drop;
    /// A publisher that waits for a blocking subscription serves subscriptions of short handlers
    /// meanwhile. For throughput: a handler that hangs for the first time may hold it. Default no.
    bool publishers_help = false;
    /// Where slots come from; null (default): mmap.
    memory_source* memory = nullptr;
    /// Huge pages, prefault and mlock of every slot. Default nothing; see dispatcher::warm_up().
    memory_params prepare{};
    /// Failure records that may wait for the reader, 64..2^20. A worker that finds the queue full
    /// waits `failure_wait` for room, then counts the record as dropped.
    std::uint32_t failure_capacity = 16384;
    std::chrono::nanoseconds failure_wait = std::chrono::milliseconds{100};
    starting_points starts{};
};

/// Ready-made sets of parameters, to be changed at will.
enum class profile : std::uint8_t {
    shared,      ///< the default: workers of oneTBB's, which leave when idle
    latency,     ///< pinned threads that never sleep, on all processors but the first
    throughput,  ///< longer slices, and publishers that help
};
[[nodiscard]] dispatcher_params params_for(profile which);

}  // namespace ropeway
