// SPDX-License-Identifier: Apache-2.0
//
// One turn of the I/O thread: what came back, tasks whose descriptor or time has come, idle
// resources, upkeep, missing resources, then what to wait for. No step waits.
#include <algorithm>

#include <ropeway/pool/process_barrier.hpp>

#include "resource_parts.hpp"

namespace ropeway::detail {

namespace {
/// The slow clock's period while leases come and go, and while some are held and none come; and
/// after how many ticks the pool looks which it is.
constexpr std::chrono::milliseconds tick_every{4};
constexpr std::chrono::milliseconds tick_slowly{64};
constexpr std::uint32_t ticks_between_looks = 64;
}  // namespace

resource_loop::interest resource_core::parts::turn() noexcept {
    if (end_word_.load(std::memory_order_relaxed) != 0) {  // relaxed: own
        // What comes back now is dropped by shutdown(), or by who brings it.
        return {.fds = fds_, .next = resource_clock_point::max()};
    }
    now_ = time_.now();
    stamp_now_ = stamp();
    tick();
    if (only_ticks()) {
        return {.fds = fds_, .next = std::min(full_at_, tick_at_)};
    }
    grow();
    take_notices();
    take_lent();
    step_tasks();
    look_at_idle();
    // relaxed: an order; what goes with it is atomic itself
    if (end_at_.load(std::memory_order_relaxed) != 0) {
        end_turn();
    } else {
        scan_leaks();
        if (now_ >= upkeep_at_) {
            upkeep_at_ = now_ + params_.maintenance_interval;
            shrink();
            end_care_of_waiters();
        }
        open_missing();
        answer_start(count());
    }
    end_flagging();
    tell_state();
    end_start();
    return plan();
}

void resource_core::parts::tick() noexcept {
    // relaxed: a time orders nothing
    slow_now_.store(stamp_now_, std::memory_order_relaxed);
    if (precise_ || now_ < tick_at_ || ++ticks_here_ < ticks_between_looks) {
        tick_at_ = precise_ ? resource_clock_point::max() : now_ + tick_every;
        return;
    }
    ticks_here_ = 0;
    const std::uint64_t leases = count_leases();
    const bool still = leases == leases_seen_;
    leases_seen_ = leases;
    tick_at_ = now_ + (still ? tick_slowly : tick_every);
    if (still && count().active() == 0) {
        tick_at_ = resource_clock_point::max();
        // seq_cst: as every change of the door. Who saw it open before uses a stamp that is at most
        // a tick old, and sees the bit at his return.
        door_.fetch_or(door_bits::asleep, std::memory_order_seq_cst);
    }
}

std::uint64_t resource_core::parts::count_leases() const noexcept {
    std::uint64_t sum = 0;
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        sum += leases_[slot].acquired.load(std::memory_order_relaxed);  // relaxed: a number
    }
    return sum;
}

bool resource_core::parts::only_ticks() noexcept {
    // acquire: pairs with wake(): what the caller did before
    if (woken_.exchange(false, std::memory_order_acquire) || now_ >= full_at_) {
        return false;
    }
    return std::all_of(fds_.begin(), fds_.end(),
                       [](const pollfd& each) { return each.revents == 0; });
}

void resource_core::parts::grow() noexcept {
    // relaxed: an order. Read here only: a resize while this turn goes on, from another thread or
    // from a hook, names slots that do not exist before the next turn.
    most_ = max_size_.load(std::memory_order_relaxed);
    if (most_ <= tasks_.size()) {
        return;
    }
    leases_.make(most_);
    tasks_.resize(most_);
    fds_.reserve(most_);
    fd_slots_.reserve(most_);
    used_.store(most_, std::memory_order_release);  // pairs with every scan: the blocks are made
}

void resource_core::parts::set_phase(std::uint32_t slot, slot_phase phase) noexcept {
    lease_block& block = leases_[slot];
    // relaxed: this thread's own
    const std::uint64_t word = block.word.load(std::memory_order_relaxed);
    // release: pairs with whoever reads the slot's figures by its phase
    block.word.store(lease_word::into(word, phase), std::memory_order_release);
}

void resource_core::parts::take_notices() noexcept {
    constexpr std::uint32_t most = 1024;  // whoever observes each lease must not hold up the rest
    return_notice notice;
    std::uint32_t taken = 0;
    for (; taken != most && returns_.pop(notice); ++taken) {
        take_notice(notice);
    }
    more_notices_ = taken == most;
    if (orphaned_.exchange(false, std::memory_order_acquire)) {  // pairs with to_loop()
        for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
            take_return(slot);
        }
    }
}

void resource_core::parts::take_notice(const return_notice& notice) noexcept {
    if (notice.kind == return_notice::what::slot) {
        take_return(notice.slot);
        return;
    }
    if (notice.kind == return_notice::what::failed) {
        tell_failed(notice);
        return;
    }
    if (notice.kind == return_notice::what::flag_missed) {
        take_missed_flags(notice);
        return;
    }
    task_block& of = tasks_[notice.slot];
    if (notice.kind == return_notice::what::leak_returned &&
        of.overdue == low_half(notice.generation)) {
        of.flag_overdue = false;
    }
    tell_lease(notice);
}

void resource_core::parts::tell_lease(const return_notice& notice) noexcept {
    resource_event event;
    event.kind = notice.kind == return_notice::what::acquired ? resource_event_kind::acquired
                 : notice.kind == return_notice::what::released
                     ? resource_event_kind::released
                     : resource_event_kind::leak_returned;
    // relaxed: a number
    event.resource = leases_[notice.slot].number.load(std::memory_order_relaxed);
    event.lasted = std::chrono::nanoseconds{notice.lasted_ns};
    event.site = lease_who::acquire_site(notice.who);
    event.thread = lease_who::acquire_thread(notice.who);
    tell(event);
}

void resource_core::parts::begin_flagging() noexcept {
    // relaxed: this bit is this thread's own
    if (light_ && (care_.load(std::memory_order_relaxed) & care_bits::flags) == 0) {
        care_.fetch_or(care_bits::flags, std::memory_order_seq_cst);  // invariant 5
        process_barrier();
    }
}

void resource_core::parts::end_flagging() noexcept {
    // relaxed (both): this thread's own; who still sees it takes the longer way
    if ((care_.load(std::memory_order_relaxed) & care_bits::flags) != 0 &&
        std::none_of(tasks_.begin(), tasks_.end(),
                     [](const task_block& of) { return of.flag_retire || of.flag_overdue; })) {
        care_.fetch_and(~care_bits::flags, std::memory_order_relaxed);
    }
}

void resource_core::parts::end_care_of_waiters() noexcept {
    // relaxed (both): what is seen may be over; hence the look behind the barrier
    if ((care_.load(std::memory_order_relaxed) & care_bits::waiters) == 0 ||
        (door_.load(std::memory_order_relaxed) & door_bits::waiters) != 0) {
        return;
    }
    care_.fetch_and(~care_bits::waiters, std::memory_order_seq_cst);  // invariant 2
    process_barrier();
    serve_waiters();
}

void resource_core::parts::take_missed_flags(const return_notice& notice) noexcept {
    task_block& of = tasks_[notice.slot];
    if (of.flag_overdue && of.overdue == low_half(notice.generation)) {
        of.flag_overdue = false;
        tell_lease(notice);
    }
    if (of.flag_retire && of.retired == low_half(notice.generation)) {
        of.flag_retire = false;
        retire(notice.slot, of.retire_reason);
    }
}

void resource_core::parts::tell_failed(const return_notice& notice) noexcept {
    // relaxed (all): a bound, and numbers
    failures_queued_.fetch_sub(1, std::memory_order_relaxed);
    const resource_error error{
        .kind = static_cast<resource_error_kind>(notice.slot), .code = {}, .text = {}};
    resource_event event;
    event.kind = resource_event_kind::acquire_failed;
    event.error = &error;
    event.count =
        timeouts_.load(std::memory_order_relaxed) + refused_.load(std::memory_order_relaxed);
    event.lasted = std::chrono::nanoseconds{notice.lasted_ns};
    event.site = lease_who::acquire_site(notice.who);
    event.thread = lease_who::acquire_thread(notice.who);
    tell(event);
}

void resource_core::parts::take_return(std::uint32_t slot) noexcept {
    // acquire: pairs with the return: the resource is as its holder left it
    const std::uint64_t word = leases_[slot].word.load(std::memory_order_acquire);
    if (lease_word::phase(word) != slot_phase::returning || tasks_[slot].running) {
        return;  // served already: see orphaned_
    }
    // Its verdict is what came of the flag; one that was taken and not lent keeps its generation.
    const std::uint32_t next = lease_word::generation(word);
    if (tasks_[slot].retired == low_half(next - 1) || tasks_[slot].retired == low_half(next)) {
        tasks_[slot].flag_retire = false;
    }
    if ((word & lease_word::retire) != 0) {
        tasks_[slot].retire = true;
        tasks_[slot].reason = close_reason::evicted;
    }
    const std::uint8_t verdict = lease_word::verdict(word);
    if (verdict == static_cast<std::uint8_t>(slot_verdict::reset)) {
        begin(slot, resource_task::reset, params_.reset_timeout);
        return;
    }
    if (verdict == static_cast<std::uint8_t>(slot_verdict::probe)) {
        set_phase(slot, slot_phase::checking);
        begin(slot, resource_task::probe, params_.probe_timeout);
        return;
    }
    if (verdict == static_cast<std::uint8_t>(slot_verdict::probing)) {
        set_phase(slot, slot_phase::checking);
        go_on_probing(slot);
        return;
    }
    const auto why = static_cast<close_reason>(verdict);
    if (why == close_reason::failed_probe) {
        rest_or_empty(slot, true);
    }
    const bool dead = why == close_reason::failed_check || why == close_reason::failed_probe ||
                      why == close_reason::broken;
    if (!dead) {
        close(slot, why);
        return;
    }
    pooled_resource& what = *tasks_[slot].owned;
    const resource_error error = what.error();
    note_error(error);
    if (why != close_reason::broken) {
        resource_event event;
        event.kind = resource_event_kind::check_failed;
        event.resource = leases_[slot].number.load(std::memory_order_relaxed);  // relaxed: own
        event.error = &error;
        tell(event);
    }
    tell_liveness(liveness_input::failure);
    drop(slot, why);
}

void resource_core::parts::step_tasks() noexcept {
    // Descriptors first: what is ready is served before its deadline is looked at.
    for (std::size_t i = 0; i != fds_.size(); ++i) {
        const std::uint32_t slot = fd_slots_[i];
        if (fds_[i].revents == 0) {
            continue;
        }
        if (tasks_[slot].running) {
            take_step(slot, tasks_[slot].owned->resume());
        } else {
            look_at(slot);
        }
    }
    fds_.clear();
    fd_slots_.clear();
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        if (tasks_[slot].running && now_ >= tasks_[slot].resume_at) {
            take_step(slot, tasks_[slot].owned->resume());
        }
        if (tasks_[slot].running && now_ >= tasks_[slot].deadline) {
            task_ended(slot, false, true);
        }
    }
}

void resource_core::parts::look_at(std::uint32_t slot) noexcept {
    lease_block& block = leases_[slot];
    std::uint64_t word = block.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    if (lease_word::phase(word) != slot_phase::idle ||
        // acquire: pairs with who made it idle
        !block.word.compare_exchange_strong(word, lease_word::into(word, slot_phase::checking),
                                            std::memory_order_acquire, std::memory_order_relaxed)) {
        watch_at_ = now_ + watch_every;  // somebody leased it: its input is his
        return;
    }
    switch (tasks_[slot].owned->check()) {
        case resource_health::usable: back_to_idle(slot); break;
        case resource_health::doubtful:
            begin(slot, resource_task::probe, params_.probe_timeout);
            break;
        case resource_health::dead:
            block.word.store(
                lease_word::make(lease_word::generation(word), slot_phase::returning, 0,
                                 static_cast<std::uint8_t>(close_reason::failed_check)),
                std::memory_order_relaxed);  // relaxed: read by this thread
            take_return(slot);
            break;
    }
}

void resource_core::parts::look_at_idle() noexcept {
    const bool evict = evict_.exchange(false, std::memory_order_acquire);  // pairs with soft_evict
    for (std::uint32_t slot = 0; slot != tasks_.size(); ++slot) {
        if (tasks_[slot].history.due(now_)) {
            end_rest(slot);
        }
        const bool too_many = slot >= most_;
        const bool aged = now_ >= tasks_[slot].expires_at;
        if (evict || too_many || aged) {
            retire(slot, aged && !evict && !too_many ? close_reason::age : close_reason::evicted);
        }
    }
    close_above(most_);
    probe_due();
}

void resource_core::parts::end_rest(std::uint32_t slot) noexcept {
    // It may be tried again, when one is needed; its history stays, so one failure ends that.
    // relaxed: this thread's own
    const std::uint64_t word = leases_[slot].word.load(std::memory_order_relaxed);
    if (lease_word::phase(word) == slot_phase::quarantined) {
        set_phase(slot, slot_phase::empty);
    }
}

void resource_core::parts::retire(std::uint32_t slot, close_reason why) noexcept {
    lease_block& block = leases_[slot];
    // relaxed: the CAS decides
    std::uint64_t word = block.word.load(std::memory_order_relaxed);
    for (;;) {
        const slot_phase phase = lease_word::phase(word);
        if (phase == slot_phase::idle) {
            // acquire: pairs with who made it idle
            if (block.word.compare_exchange_weak(word, lease_word::into(word, slot_phase::closing),
                                                 std::memory_order_acquire,
                                                 std::memory_order_relaxed)) {
                close(slot, why);
                return;
            }
        } else if (phase == slot_phase::active) {
            // The verdict says why; 0 stands for any other reason than age.
            const std::uint64_t verdict =
                why == close_reason::age ? static_cast<std::uint64_t>(why) << 8U : 0;
            if ((word & lease_word::retire) != 0) {
                return;
            }
            begin_flagging();
            // relaxed: invariant 5
            if (block.word.compare_exchange_weak(word, word | lease_word::retire | verdict,
                                                 std::memory_order_relaxed,
                                                 std::memory_order_relaxed)) {
                task_block& of = tasks_[slot];
                // An older flag whose lease ended unnoticed yet asked for the same.
                of.flag_retire = true;
                of.retire_reason = why;
                of.retired = low_half(lease_word::generation(word));
                return;
            }
        } else {
            if (phase == slot_phase::returning || phase == slot_phase::checking ||
                phase == slot_phase::opening) {
                tasks_[slot].retire = true;
                tasks_[slot].reason = why;
            }
            return;
        }
    }
}

}  // namespace ropeway::detail
