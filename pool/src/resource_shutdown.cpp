// SPDX-License-Identifier: Apache-2.0
//
// The end of a pool: refuse, end the waits, close what is idle in parallel, wait for leases until
// the deadline, list and cut off the rest, join.
#include <algorithm>
#include <utility>

#include <sys/socket.h>

#include <ropeway/pool/process_barrier.hpp>

#include "resource_parts.hpp"

namespace ropeway::detail {

resource_shutdown_report resource_core::parts::shutdown(std::chrono::nanoseconds deadline) {
    if (!at_home()) {
        return {};
    }
    const std::lock_guard hold(end_lock_);
    if (ended_report_) {
        return *ended_report_;
    }
    const auto began = time_.now();
    {
        const std::lock_guard with_queue(lock_);
        door_.fetch_or(door_bits::closed, std::memory_order_seq_cst);  // invariants 1 and 2
        // A start() that is under way ends, and one that was answered a moment ago opens no door.
        // release: pairs with start()
        start_word_.store(start_words::ends, std::memory_order_release);
    }
    if (light_) {
        process_barrier();  // invariant 2: a lease that ends unseen by the next turn wakes it
    }
    time_.notify(start_word_);
    end_waiters(resource_error_kind::closed);
    resource_shutdown_report report;
    report.pool = params_.name;
    if (running_) {
        const auto bounded = std::clamp<std::chrono::nanoseconds>(
            deadline, std::chrono::nanoseconds{0}, std::chrono::hours{24});
        // release: pairs with end_turn(); never 0, which means that there is none
        end_at_.store(std::max<std::int64_t>((began + bounded).time_since_epoch().count(), 1),
                      std::memory_order_release);
        wake();
        // The last turn forces what is left at the deadline; the rest is for a busy machine.
        const auto last = began + bounded + std::chrono::seconds{5};
        // acquire: pairs with end_turn(): its lists
        while (end_word_.load(std::memory_order_acquire) == 0 && time_.now() < last) {
            time_.wait(end_word_, 0, last);
        }
        time_.stop(*this);
        report.closed = closed_at_end_;
        report.forced = std::move(forced_);
    }
    // seq_cst, and an RMW on both sides: pairs with to_loop(), for which a look alone might be
    // early
    ended_.exchange(1, std::memory_order_seq_cst);
    drop_leftovers();
    set_state(pool_state::shutting_down);
    report.lasted = time_.now() - began;
    ended_report_ = report;
    return report;
}

resource_clock_point resource_core::parts::end_point() const noexcept {
    // relaxed: an order
    return resource_clock_point{std::chrono::nanoseconds{end_at_.load(std::memory_order_relaxed)}};
}

void resource_core::parts::end_turn() noexcept {
    const bool late = now_ >= end_point();
    if (end_began_ == resource_clock_point{}) {
        end_began_ = now_;
        set_state(pool_state::shutting_down);
        tell_liveness(liveness_input::removed);
        resource_event event;
        event.kind = resource_event_kind::shutdown_begun;
        event.count = count()[slot_phase::active];
        tell(event);
    }
    std::uint32_t left = 0;
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        left += end_slot(slot, late) ? 0U : 1U;
    }
    if (left != 0) {
        return;
    }
    resource_event event;
    event.kind = resource_event_kind::shutdown_done;
    event.count = forced_.size();
    event.lasted = now_ - end_began_;
    tell(event);
    set_state(pool_state::terminated);
    // release: pairs with shutdown()
    end_word_.store(1, std::memory_order_release);
    time_.notify(end_word_);
}

bool resource_core::parts::end_slot(std::uint32_t slot, bool late) noexcept {
    close_idle(slot, close_reason::shutdown);
    task_block& of = tasks_[slot];
    // relaxed: this thread's own, or looked at again in the next turn
    const std::uint64_t word = leases_[slot].word.load(std::memory_order_relaxed);
    switch (lease_word::phase(word)) {
        case slot_phase::empty:
        case slot_phase::quarantined: return true;
        case slot_phase::opening:
            if (slot == lent_slot_) {
                return false;  // another thread has it: it ends it, and says so
            }
            of.owned->drop();
            of.running = false;
            set_phase(slot, slot_phase::empty);
            return true;
        case slot_phase::active: return late && ((word & lease_word::forced) != 0 || force(slot));
        case slot_phase::idle: return false;  // came back a moment ago: the next turn closes it
        case slot_phase::returning:
        case slot_phase::checking:
        case slot_phase::closing:
            if (late && of.running) {
                // One that says goodbye was closed for a reason of its own.
                drop(slot, of.task == resource_task::close ? of.reason : close_reason::shutdown);
                return true;
            }
            return late && !of.running;
    }
    return true;
}

bool resource_core::parts::force(std::uint32_t slot) noexcept {
    lease_block& block = leases_[slot];
    const lease_holder holder = holder_of(slot, stamp_now_);
    begin_flagging();
    std::uint64_t word = block.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    do {
        if (lease_word::phase(word) != slot_phase::active) {
            return false;  // as above
        }
        // relaxed (both): its holder reads the flags in the CAS of his return
    } while (!block.word.compare_exchange_weak(word, word | lease_word::forced | lease_word::retire,
                                               std::memory_order_relaxed,
                                               std::memory_order_relaxed));
    closed_[static_cast<std::size_t>(close_reason::forced)].fetch_add(
        1, std::memory_order_relaxed);  // relaxed: a number
    task_block& of = tasks_[slot];
    of.forced = true;
    of.flag_retire = true;  // care of flags stays: see invariant 5, and drop_leftovers()
    of.retired = low_half(lease_word::generation(word));
    if (of.watch_inode != 0 && of.watch_inode == inode_of(of.watch_fd)) {
        // Its holder may be using it on his thread: only the kernel's end is cut, which is safe
        // from any thread, and tells both him and the other end. Had it ended under him, the number
        // might be somebody else's by now.
        ::shutdown(of.watch_fd, SHUT_RDWR);
    }
    resource_event event;
    event.kind = resource_event_kind::shutdown_forced;
    event.resource = holder.resource;
    event.lasted = holder.held;
    const std::uint64_t who = block.who.load(std::memory_order_relaxed);  // relaxed: for a report
    event.site = lease_who::acquire_site(who);
    event.thread = lease_who::acquire_thread(who);
    tell(event);
    forced_.push_back(holder);
    return true;
}

}  // namespace ropeway::detail
