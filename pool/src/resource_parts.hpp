// SPDX-License-Identifier: Apache-2.0
//
// The inside of resource_core: who may touch what, and how no hand-over is lost. One per pool.
//
// Invariants (see resource_slot.hpp for those of one slot)
// 1. A newcomer takes an idle slot only if it saw door_ == 0: no waiter stood in the queue at a
//    moment after its acquire() began. So it overtakes nobody who waited before it came.
// 2. A waiter enters the queue and counts itself in door_ (under lock_), and then looks for idle
//    slots. Whoever makes a slot idle does so, and then looks at door_. All four are seq_cst: of
//    the two looks at least one sees what the other one did. So no slot lies idle while somebody
//    waits whom it could serve, once both have finished. The return of a clean resource has no
//    fence of its own: the first who waits asks for care, and pays by a process_barrier() before he
//    looks; so does a shutdown, which closes door_ and then looks for leases. A return that sees
//    care before its store does it by CAS, one that sees it behind its store has a fence and looks
//    again; so who waits while there is care needs no barrier. The I/O thread ends the care when
//    nobody waits, by a barrier and one more look.
// 3. Slots are handed over under lock_, to the first waiter; a waiter leaves the queue under lock_:
//    handed, timed out or ended, and exactly one of them.
// 4. The I/O thread alone opens, closes, probes idle ones and resets; it never holds lock_ while it
//    calls a resource, a hook or the observer.
// 5. The I/O thread puts a flag on a leased slot's word only after it asked for care of flags and a
//    process_barrier(). A return that saw none before it overwrites the word by a plain store looks
//    again behind it, and says that a flag may be lost (flag_missed). This care stays until the end
//    of each flagged lease is known.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

#include <ropeway/pool/end_of_wait.hpp>
#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/liveness.hpp>
#include <ropeway/pool/reconnect_schedule.hpp>
#include <ropeway/pool/resource_core.hpp>
#include <ropeway/pool/tick_clock.hpp>
#include <ropeway/pool/violation.hpp>

#include "hold_times.hpp"
#include "lease_hint.hpp"
#include "lease_storage.hpp"
#include "process_mark.hpp"
#include "resource_slot.hpp"
#include "return_queue.hpp"
#include "waiter_queue.hpp"

namespace ropeway::detail {

/// While leases go on, how often the pool looks which slots have become idle and are to be watched:
/// a descriptor that is in use is not polled, or each answer would wake the thread.
inline constexpr std::chrono::milliseconds watch_every{50};

inline constexpr std::uint32_t no_slot = 0xFFFF'FFFF;

/// Tells what the descriptor stands for from what else it may stand for later; 0: nothing.
[[nodiscard]] std::uint32_t inode_of(int fd) noexcept;

/// Bits of the door: the lower half counts waiters.
namespace door_bits {
inline constexpr std::uint64_t waiters = 0xFFFF'FFFF;
inline constexpr std::uint64_t suspended = std::uint64_t{1} << 32;
inline constexpr std::uint64_t closed = std::uint64_t{1} << 33;  ///< not started, ending or ended
inline constexpr std::uint64_t asleep = std::uint64_t{1} << 34;  ///< the slow clock stands still
}  // namespace door_bits

/// What the thread in start() waits for.
namespace start_words {
inline constexpr std::uint32_t waits = 0;
inline constexpr std::uint32_t started = 1;
inline constexpr std::uint32_t failed = 2;
inline constexpr std::uint32_t ends = 3;  ///< the end has begun; written under lock_
inline constexpr std::uint32_t help = 4;  ///< there is a slot in lent_open_
}  // namespace start_words

enum class lent_end : std::uint8_t { none, well, failed, late };

/// What a return must take care of: invariants 2 and 5.
namespace care_bits {
inline constexpr std::uint32_t flags = 1;    ///< leases have flags, or are about to
inline constexpr std::uint32_t waiters = 2;  ///< somebody waits, or did
}  // namespace care_bits

/// What the I/O thread is told through the queue.
struct return_notice {
    enum class what : std::uint8_t { slot, acquired, released, leak_returned, failed, flag_missed };
    what kind = what::slot;
    std::uint32_t slot = 0;  ///< of failed: the resource_error_kind
    std::uint64_t lasted_ns = 0;
    std::uint64_t who = 0;
    std::uint32_t generation = 0;  ///< of the lease: leak_returned, flag_missed
};

/// What a return noted.
struct noted_return {
    std::uint64_t held_ns = 0;  ///< 0: a short lease that was not timed
    std::uint64_t who = 0;
};

/// A caller's deadline, read from the clock when it is first needed.
class caller_deadline {
  public:
    caller_deadline(resource_time& time, std::chrono::nanoseconds timeout, site where = {}) noexcept
        : time_(time), timeout_(timeout), where_(where) {}
    [[nodiscard]] resource_clock_point began() noexcept {
        if (!known_) {
            known_ = true;
            began_ = time_.now();
        }
        return began_;
    }
    [[nodiscard]] resource_clock_point end() noexcept { return end_of_wait(began(), timeout_); }
    [[nodiscard]] bool passed() noexcept { return time_.now() >= end(); }
    [[nodiscard]] site where() const noexcept { return where_; }

  private:
    resource_time& time_;
    std::chrono::nanoseconds timeout_;
    site where_;
    resource_clock_point began_{};
    bool known_ = false;
};

/// Slots by phase, of one scan.
struct slot_counts {
    std::array<std::uint32_t, 8> of{};
    [[nodiscard]] std::uint32_t operator[](slot_phase phase) const noexcept {
        return of[static_cast<std::size_t>(phase)];
    }
    /// Leased, or returned and not yet ready.
    [[nodiscard]] std::uint32_t active() const noexcept {
        return (*this)[slot_phase::active] + (*this)[slot_phase::returning];
    }
    /// Ready, or being looked at.
    [[nodiscard]] std::uint32_t idle() const noexcept {
        return (*this)[slot_phase::idle] + (*this)[slot_phase::checking];
    }
    [[nodiscard]] std::uint32_t open() const noexcept { return active() + idle(); }
};

struct resource_core::parts final : public resource_loop {
    parts(resource_core& owner, make_resource make, resource_pool_params params);
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;
    ~parts() override;

    // --- callers (resource_acquire.cpp) ---
    core_acquired acquire(std::chrono::nanoseconds timeout, bool priority, site where);
    core_acquired acquire_taken(std::uint32_t slot, std::uint64_t now,
                                std::chrono::nanoseconds timeout, bool priority, site where);
    core_lease try_acquire(site where) noexcept;
    std::uint32_t take(bool priority) noexcept;
    std::uint32_t take_free(bool priority) noexcept;
    void look_after_leave() noexcept;
    std::uint32_t take_by_scan() noexcept;
    std::uint32_t take_oldest() noexcept;
    /// Makes an idle slot active.
    static bool claim(lease_block& slot) noexcept {
        // seq_cst: invariant 2, a waiter's look for idle slots; pairs with the makers of idle ones
        std::uint64_t word = slot.word.load(std::memory_order_seq_cst);
        return lease_word::phase(word) == slot_phase::idle &&
               // acquire: pairs with the release of who made it idle: the resource is as he left it
               slot.word.compare_exchange_strong(word, lease_word::into(word, slot_phase::active),
                                                 std::memory_order_acquire,
                                                 std::memory_order_relaxed);
    }
    bool enter(bool priority) noexcept;
    void leave() noexcept;
    bool ready(std::uint32_t slot, std::uint64_t now, caller_deadline* deadline) noexcept;
    std::uint64_t lease_stamp(lease_hint& hint) noexcept;
    bool open_door() noexcept;
    void wake_clock() noexcept;
    bool ready_by_probe(std::uint32_t slot, caller_deadline& deadline) noexcept;
    enum class probe_end : std::uint8_t { answered, failed, late };
    probe_end probe_here(pooled_resource& what, resource_clock_point until) noexcept;
    core_lease lend(std::uint32_t slot, lease_hint& hint, std::uint64_t now, site where) noexcept;
    core_lease lend_after(std::uint32_t slot, std::uint64_t now, site where,
                          std::uint64_t waited_ns) noexcept;
    core_acquired acquire_waiting(caller_deadline& deadline, bool priority, site where);
    bool enqueue(waiter& me, resource_error_kind& refused) noexcept;
    bool leave_queue(waiter& me) noexcept;
    core_acquired failed(resource_error_kind kind, caller_deadline& deadline);
    void note_failed(resource_error_kind kind, std::chrono::nanoseconds waited,
                     site where) noexcept;
    void tell_failed(const return_notice& notice) noexcept;
    resource_error_kind why_late() const noexcept;
    void note_wait(std::uint64_t ns) noexcept;
    void serve_waiters() noexcept;
    waiter* hand_over() noexcept;
    void end_waiters(resource_error_kind why) noexcept;

    // --- returns (resource_return.cpp) ---
    bool give_back(const lease_origin& from, site_id where) noexcept;
    bool give_back_any(const lease_origin& from, site_id where, bool claimed) noexcept;
    bool finish(lease_block& slot, const lease_origin& from, std::uint8_t verdict,
                std::uint64_t word, site_id where) noexcept;
    bool hand_in(lease_block& slot, const lease_origin& from, std::uint8_t verdict,
                 std::uint64_t word, const noted_return& noted) noexcept;
    noted_return note_return(lease_block& slot, site_id where) noexcept;
    bool give_back(lease_ticket ticket, site where);
    pooled_resource* peek(lease_ticket ticket) noexcept;
    void add_uses(const lease_origin& from, std::uint64_t uses) noexcept;
    void doom(const lease_origin& from) noexcept;
    std::uint8_t judge(lease_block& slot, std::uint64_t word) noexcept;
    void reject(std::uint32_t slot, std::uint8_t verdict) noexcept;
    void to_loop(const return_notice& what) noexcept;
    void after_return(std::uint64_t door) noexcept;
    void after_store(const lease_origin& from, const noted_return& noted,
                     std::uint32_t care) noexcept;
    void drop_leftovers() noexcept;
    void report(violation_kind kind, std::uint32_t slot, std::uint32_t generation,
                culprit second) const noexcept;
    /// What report() reports.
    violation describe(violation_kind kind, std::uint32_t slot, std::uint32_t generation,
                       culprit second) const noexcept;

    // --- reports (resource_report.cpp) ---
    resource_snapshot snapshot() const noexcept;
    resource_times times() const;
    std::vector<lease_holder> holders() const;
    ropeway::leak_report leaks() const;
    void report_leaks() const noexcept;
    /// Whether an active slot's stamps are those of its lease: not while its resource is still
    /// looked at or probed for the one who took it.
    static bool is_lent(const lease_block& slot) noexcept {
        const std::uint64_t ended =
            slot.released.load(std::memory_order_relaxed);  // relaxed: below
        return slot.acquired.load(std::memory_order_acquire) !=
               ended;  // acquire: pairs with lend()
    }
    lease_holder holder_of(std::uint32_t slot, std::uint64_t now) const;
    void add_ages(resource_snapshot& now) const noexcept;
    slot_counts count() const noexcept;
    void raise_peak(std::uint32_t active) const noexcept;

    // --- the I/O thread (resource_loop.cpp, _tasks.cpp, _open.cpp, _upkeep.cpp) ---
    interest turn() noexcept override;
    bool only_ticks() noexcept;
    void tick() noexcept;
    std::uint64_t count_leases() const noexcept;
    void grow() noexcept;
    void take_notices() noexcept;
    void take_notice(const return_notice& notice) noexcept;
    void take_return(std::uint32_t slot) noexcept;
    void go_on_probing(std::uint32_t slot) noexcept;
    void begin_flagging() noexcept;
    void end_flagging() noexcept;
    void end_care_of_waiters() noexcept;
    void take_missed_flags(const return_notice& notice) noexcept;
    void tell_lease(const return_notice& notice) noexcept;
    void step_tasks() noexcept;
    void look_at_idle() noexcept;
    void look_at(std::uint32_t slot) noexcept;
    interest plan() noexcept;
    void plan_slot(std::uint32_t slot) noexcept;
    void plan_lease(std::uint32_t slot, std::uint64_t word) noexcept;

    void begin(std::uint32_t slot, resource_task task, std::chrono::nanoseconds timeout) noexcept;
    void take_step(std::uint32_t slot, const resource_step& step) noexcept;
    void task_ended(std::uint32_t slot, bool well, bool late) noexcept;
    void open_ended(std::uint32_t slot, bool well, bool late) noexcept;
    void probe_ended(std::uint32_t slot, bool well, bool late) noexcept;
    /// After a look or a probe, which are no use.
    void back_to_idle(std::uint32_t slot) noexcept;
    void to_idle(std::uint32_t slot) noexcept;
    void close(std::uint32_t slot, close_reason why) noexcept;
    void drop(std::uint32_t slot, close_reason why) noexcept;
    /// Plans the next try.
    void note_failed_try(const resource_error& error) noexcept;
    void failed_open(std::uint32_t slot, const resource_error& why) noexcept;
    void rest_or_empty(std::uint32_t slot, bool failed) noexcept;
    void set_phase(std::uint32_t slot, slot_phase phase) noexcept;

    void open_missing() noexcept;
    bool open_slot(std::uint32_t slot) noexcept;
    /// While start() waits, its thread opens one of several itself: what a client computes for a
    /// login takes longer than the rest. Real time alone.
    bool lend_open(std::uint32_t slot) noexcept;
    void take_lent() noexcept;
    /// On the thread in start().
    void open_for_start() noexcept;
    void end_rest(std::uint32_t slot) noexcept;
    /// Closes idle ones while a lowered maximum is exceeded by leased ones that it no longer has
    /// room for.
    void close_above(std::uint32_t most) noexcept;
    void retire(std::uint32_t slot, close_reason why) noexcept;
    bool close_idle(std::uint32_t slot, close_reason why) noexcept;
    void probe_due() noexcept;
    /// While suspect with nothing open, an open that hangs counts as a probe that hangs.
    void judge_opens() noexcept;
    void shrink() noexcept;
    void scan_leaks() noexcept;
    void tell_leak(std::uint32_t slot, std::uint64_t word, std::uint64_t age_ns) noexcept;
    void tell_state() noexcept;
    void set_state(pool_state to) noexcept;
    void tell_loss(const slot_counts& counts, bool ending) noexcept;
    void forgive_slots() noexcept;
    void tell_orders() noexcept;
    void tell_liveness(liveness_input input) noexcept;
    void tell(resource_event event) const noexcept;
    void answer_start(const slot_counts& counts) noexcept;
    /// Lets start() go on, after the states that belong to its answer were told.
    void end_start() noexcept;
    void note_error(const resource_error& error) noexcept;
    resource_error last_error() const;

    // --- start and end (resource_core.cpp, resource_shutdown.cpp) ---
    std::optional<pool_error> start();
    void resize(std::uint32_t min_size, std::uint32_t max_size);
    resource_shutdown_report shutdown(std::chrono::nanoseconds deadline);
    void end_turn() noexcept;
    bool end_slot(std::uint32_t slot, bool late) noexcept;
    resource_clock_point end_point() const noexcept;
    bool force(std::uint32_t slot) noexcept;
    void wake() noexcept;

    // --- time ---
    [[nodiscard]] std::uint64_t stamp() const noexcept {
        return ticks_ ? tick_clock::now()
                      : static_cast<std::uint64_t>(time_.now().time_since_epoch().count());
    }
    /// Nanoseconds from one stamp to a later one; 0 if another processor's clock is behind.
    [[nodiscard]] std::uint64_t between(std::uint64_t then, std::uint64_t now) const noexcept {
        const auto units = static_cast<std::int64_t>(now - then);
        return units <= 0 ? 0
               : ticks_   ? static_cast<std::uint64_t>(static_cast<double>(units) * ns_per_tick_)
                          : static_cast<std::uint64_t>(units);
    }
    [[nodiscard]] bool at_home() const noexcept { return mark_.is_here(); }

    // --- constant after construction ---
    resource_core& owner_;
    const make_resource make_;
    const resource_pool_params params_;
    resource_time& time_;
    const bool ticks_;                ///< stamps are ticks, not the clock's nanoseconds
    const double ns_per_tick_;        ///< of ticks_
    const std::int64_t probe_after_;  ///< stamps of idleness from which acquire() probes
    const std::uint64_t id_;          ///< never used twice in a process
    const process_mark mark_;
    const bool plain_;    ///< no reserve, no order, no hook and no observer of single leases
    const bool light_;    ///< plain_, and the system has a process_barrier(): see invariants 2, 5
    const bool precise_;  ///< every stamp is read from the clock, none from the slow one
    const std::int64_t long_hold_;  ///< stamps from which a lease is recorded by itself

    // --- read on every acquire, written rarely ---
    alignas(cache_block) std::atomic<std::uint64_t> door_{door_bits::closed};
    /// The slow clock: a stamp that the I/O thread renews every few milliseconds while leases come
    /// and go. Reading the processor's counter costs as much as half an acquire and return.
    std::atomic<std::uint64_t> slow_now_{0};
    std::atomic<std::uint32_t> used_{0};  ///< slots ever in use: the end of each scan
    std::atomic<std::uint32_t> care_{0};  ///< care_bits
    std::atomic<std::uint32_t> min_size_;
    std::atomic<std::uint32_t> max_size_;
    lease_storage leases_;

    // --- shared ---
    alignas(cache_block) std::atomic<std::uint32_t> out_{0};  ///< leases, where there is a reserve
    hold_times holds_{};
    return_queue<return_notice> returns_{};
    mutable std::mutex lock_{};
    waiter_queue queue_{};                          ///< guarded by lock_
    std::atomic<bool> room_{false};                 ///< the I/O thread can open for a waiter
    std::atomic<std::uint32_t> waiting_first_{0};   ///< with priority; written under lock_
    std::atomic<std::uint32_t> waiting_second_{0};  ///< without; written under lock_
    mutable std::mutex figures_lock_{};
    // Written under figures_lock_, read by any thread.
    histogram_cells waits_{};  ///< immediate ones are counted in slots
    histogram_cells creates_{};
    histogram_cells validates_{};
    resource_error last_error_{};  ///< guarded by figures_lock_
    resource_error open_error_{};  ///< of the latest open, if it failed; guarded by figures_lock_
    mutable std::atomic<std::uint32_t> peak_{0};
    std::atomic<std::uint64_t> timeouts_{0};
    std::atomic<std::uint32_t> failures_queued_{0};  ///< for the observer; bounded
    std::atomic<std::uint64_t> refused_{0};
    std::atomic<std::uint64_t> opened_{0};
    std::atomic<std::uint64_t> open_failed_{0};
    std::atomic<std::uint64_t> leaks_{0};
    std::atomic<std::uint32_t> recent_leaks_{0};
    std::array<std::atomic<std::uint64_t>, close_reasons> closed_{};
    std::atomic<std::int64_t> started_at_{0};  ///< the clock's nanoseconds, as the next two
    std::atomic<std::int64_t> error_at_{-1};
    std::atomic<std::int64_t> checked_at_{-1};
    std::atomic<resource_error_kind> last_kind_{resource_error_kind::none};
    std::atomic<resource_error_kind> open_kind_{resource_error_kind::none};
    std::atomic<pool_state> state_{pool_state::initializing};
    std::atomic<liveness_state> liveness_now_{liveness_state::connecting};
    /// Longest wait in each of the latest slices of 10 s: slice number 24 | microseconds 40.
    std::array<std::atomic<std::uint64_t>, 7> wait_slices_{};

    // --- orders to the I/O thread ---
    std::atomic<bool> woken_{true};
    std::atomic<bool> orphaned_{false};  ///< a slot came back and there was no memory to say so
    std::atomic<bool> evict_{false};
    std::atomic<std::uint32_t> resized_from_{0};  ///< the maximum before; 0: not resized
    std::mutex size_lock_{};  ///< of resize() alone, which the I/O thread may call: never held long
    std::atomic<std::uint32_t> suspend_told_{0};  ///< 1 suspended, 2 resumed; 0 nothing new
    std::atomic<std::uint32_t> start_word_{start_words::waits};  ///< see there
    /// A slot that the thread in start() is to open, and what became of it: see lend_open().
    std::atomic<std::uint32_t> lent_open_{no_slot};
    std::atomic<lent_end> lent_end_{lent_end::none};
    std::uint32_t start_answer_ = 0;          ///< 1 or 2, of the I/O thread, a moment before
    std::atomic<std::uint32_t> end_word_{0};  ///< 1: everything is closed or forced
    std::atomic<std::int64_t> end_at_{0};     ///< the shutdown's deadline; 0: none
    std::atomic<std::uint32_t> ended_{0};     ///< 1: no turn runs any more

    // --- of the I/O thread alone ---
    std::vector<task_block> tasks_{};
    std::uint32_t lent_slot_ = no_slot;  ///< opened by the thread in start()
    std::uint32_t most_ = 0;  ///< max_size_ as grow() read it: the maximum for all of this turn
    std::vector<pollfd> fds_{};
    std::vector<std::uint32_t> fd_slots_{};
    resource_clock_point now_{};
    std::uint64_t stamp_now_ = 0;
    resource_clock_point next_{};
    resource_clock_point upkeep_at_{};
    resource_clock_point tick_at_ = resource_clock_point::max();
    resource_clock_point full_at_{};  ///< the next turn that is more than a tick
    std::uint32_t ticks_here_ = 0;    ///< since the last look whether leases come and go
    std::uint64_t leases_seen_ = 0;   ///< at that look
    resource_clock_point watch_at_{};
    resource_clock_point retry_at_{};
    resource_clock_point tried_at_{};
    resource_clock_point live_told_at_{};  ///< liveness was told something last
    resource_clock_point probe_next_{};
    resource_clock_point began_{};
    resource_clock_point lost_at_{};
    resource_clock_point end_began_{};
    std::chrono::nanoseconds planned_delay_{};
    bool retry_pending_ = false;
    bool lost_ = false;
    bool was_up_ = false;
    bool probe_all_ = false;
    bool unwatched_ = false;
    bool more_notices_ = false;  ///< than one turn takes
    std::uint32_t start_failures_ = 0;
    std::uint64_t numbers_ = 0;
    std::uint64_t random_;
    class liveness live_;
    reconnect_schedule schedule_;
    std::vector<resource_clock_point> leak_times_{};

    // --- of shutdown() ---
    std::mutex end_lock_{};
    std::optional<resource_shutdown_report> ended_report_{};  ///< guarded by end_lock_
    std::vector<lease_holder> forced_{};  ///< written by the last turn, read after it
    std::uint32_t closed_at_end_ = 0;     ///< the same
    bool running_ = false;                ///< guarded by end_lock_
};

}  // namespace ropeway::detail
