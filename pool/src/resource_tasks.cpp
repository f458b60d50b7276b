// SPDX-License-Identifier: Apache-2.0
//
// Tasks of the I/O thread: opening, probing, resetting and closing, step by step, and what follows
// from their ends.
#include <algorithm>
#include <utility>

#include <sys/stat.h>

#include "resource_parts.hpp"

namespace ropeway::detail {

namespace {

constexpr auto forever = resource_clock_point::max();

/// A number in [0, 1) from a state that it advances (splitmix64).
double next_random(std::uint64_t& state) noexcept {
    state += 0x9E37'79B9'7F4A'7C15U;
    std::uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58'476D'1CE4'E5B9U;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D0'49BB'1331'11EBU;
    mixed ^= mixed >> 31;
    return static_cast<double>(mixed >> 11) * 0x1.0p-53;
}

resource_error late_error(resource_task task, std::chrono::nanoseconds limit) {
    const char* const what = task == resource_task::open    ? "opening a connection"
                             : task == resource_task::probe ? "a probe"
                             : task == resource_task::reset ? "a reset"
                                                            : "a farewell";
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(limit).count();
    return {.kind = resource_error_kind::unavailable,
            .code = {},
            .text = std::string(what) + " was not done within " + std::to_string(ms) + " ms"};
}

}  // namespace

std::uint32_t inode_of(int fd) noexcept {
    struct stat found {};
    return fd >= 0 && ::fstat(fd, &found) == 0 ? static_cast<std::uint32_t>(found.st_ino) : 0;
}

void resource_core::parts::begin(std::uint32_t slot, resource_task task,
                                 std::chrono::nanoseconds timeout) noexcept {
    task_block& of = tasks_[slot];
    of.task = task;
    of.running = true;
    of.began_at = now_;
    of.deadline = now_ + timeout;
    of.fd = -1;
    of.resume_at = forever;
    take_step(slot, of.owned->begin(task));
}

void resource_core::parts::go_on_probing(std::uint32_t slot) noexcept {
    task_block& of = tasks_[slot];
    of.task = resource_task::probe;
    of.running = true;
    of.began_at = now_;
    of.deadline = now_ + params_.probe_timeout;
    of.fd = -1;
    of.resume_at = forever;
    take_step(slot, of.owned->resume());
}

void resource_core::parts::take_step(std::uint32_t slot, const resource_step& step) noexcept {
    task_block& of = tasks_[slot];
    if (step.state == step_state::done || step.state == step_state::failed) {
        task_ended(slot, step.state == step_state::done, false);
        return;
    }
    of.fd = step.fd;
    of.events = step.state == step_state::wants_read    ? POLLIN
                : step.state == step_state::wants_write ? POLLOUT
                                                        : POLLIN | POLLOUT;
    of.resume_at = step.after.count() >= 0 ? end_of_wait(now_, step.after) : forever;
}

void resource_core::parts::task_ended(std::uint32_t slot, bool well, bool late) noexcept {
    task_block& of = tasks_[slot];
    of.running = false;
    of.fd = -1;
    switch (of.task) {
        case resource_task::open: open_ended(slot, well, late); break;
        case resource_task::probe: probe_ended(slot, well, late); break;
        case resource_task::reset:
            if (well) {
                of.unused_since = 0;
                to_idle(slot);
            } else {
                note_error(late ? late_error(of.task, params_.reset_timeout) : of.owned->error());
                rest_or_empty(slot, true);
                drop(slot, close_reason::failed_reset);
            }
            break;
        case resource_task::close: drop(slot, of.reason); break;
    }
}

void resource_core::parts::open_ended(std::uint32_t slot, bool well, bool late) noexcept {
    task_block& of = tasks_[slot];
    if (!well) {
        failed_open(slot, late ? late_error(of.task, params_.connect_timeout) : of.owned->error());
        return;
    }
    lease_block& block = leases_[slot];
    // relaxed (all): numbers; the slot itself is handed on by to_idle()
    block.number.store(++numbers_, std::memory_order_relaxed);
    block.ends_at.store(params_.max_uses == 0
                            ? ~std::uint64_t{0}
                            : block.released.load(std::memory_order_relaxed) + params_.max_uses,
                        std::memory_order_relaxed);
    static_cast<void>(of.owned->take_uses());  // what an open before this one left
    of.opened_at = now_;
    of.checked_at = now_;
    of.unused_since = 0;
    const double share = 1.0 - params_.max_age_jitter * next_random(random_);
    const std::chrono::duration<double, std::nano> life =
        std::chrono::nanoseconds{params_.max_age} * share;
    of.expires_at = params_.max_age.count() == 0
                        ? forever
                        : now_ + std::chrono::duration_cast<std::chrono::nanoseconds>(life);
    const auto lasted = now_ - of.began_at;
    opened_.fetch_add(1, std::memory_order_relaxed);
    checked_at_.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
    {
        const std::lock_guard hold(figures_lock_);
        creates_.record(static_cast<std::uint64_t>(lasted.count()));
    }
    resource_event event;
    event.kind = resource_event_kind::opened;
    event.resource = numbers_;
    event.lasted = lasted;
    tell(event);
    if (params_.hooks.on_connect && !params_.hooks.on_connect(*of.owned)) {
        // It answers, and is of no use: the next try comes when one after a failure would.
        note_failed_try({.kind = resource_error_kind::unavailable,
                         .code = {},
                         .text = "the hook on_connect refused the connection"});
        tell_liveness(liveness_input::success);
        close(slot, close_reason::hook);
        return;
    }
    open_kind_.store(resource_error_kind::none, std::memory_order_relaxed);
    {
        const std::lock_guard hold(figures_lock_);
        open_error_ = {};
    }
    schedule_.succeeded();
    retry_pending_ = false;
    rest_or_empty(slot, false);
    tell_liveness(liveness_input::success);
    to_idle(slot);
}

void resource_core::parts::note_failed_try(const resource_error& error) noexcept {
    note_error(error);
    {
        const std::lock_guard hold(figures_lock_);
        open_error_ = error;
    }
    open_kind_.store(error.kind, std::memory_order_relaxed);  // relaxed: a number
    // relaxed: a hint; whoever comes to wait later wakes this thread
    const bool waited_for = (door_.load(std::memory_order_relaxed) & door_bits::waiters) != 0;
    if (!retry_pending_) {
        retry_pending_ = true;
        planned_delay_ = schedule_.next(waited_for);
        retry_at_ = planned_delay_ == reconnect_schedule::never ? forever : now_ + planned_delay_;
        ++start_failures_;
    }
}

void resource_core::parts::failed_open(std::uint32_t slot, const resource_error& why) noexcept {
    const resource_error error = why;  // drop() may change what it refers to
    note_failed_try(error);
    open_failed_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a number
    if (tasks_[slot].owned != nullptr) {                   // null: it could not even be made
        tasks_[slot].owned->drop();
    }
    tasks_[slot].retire = false;
    set_phase(slot, slot_phase::empty);
    if (count().open() != 0) {
        rest_or_empty(slot, true);
    }
    resource_event event;
    event.kind = resource_event_kind::open_failed;
    event.count = schedule_.attempts();
    event.error = &error;
    tell(event);
    tell_liveness(liveness_input::failure);
    const bool hopeless = error.kind == resource_error_kind::authentication ||
                          error.kind == resource_error_kind::invalid;
    if (hopeless && count().open() == 0) {
        end_waiters(error.kind);
    }
}

void resource_core::parts::probe_ended(std::uint32_t slot, bool well, bool late) noexcept {
    task_block& of = tasks_[slot];
    if (well) {
        of.checked_at = now_;
        // relaxed: a number
        checked_at_.store(now_.time_since_epoch().count(), std::memory_order_relaxed);
        {
            const std::lock_guard hold(figures_lock_);
            validates_.record(static_cast<std::uint64_t>((now_ - of.began_at).count()));
        }
        rest_or_empty(slot, false);
        tell_liveness(liveness_input::success);
        back_to_idle(slot);
        return;
    }
    const resource_error error =
        late ? late_error(of.task, of.deadline - of.began_at) : of.owned->error();
    note_error(error);
    resource_event event;
    event.kind = resource_event_kind::check_failed;
    event.resource = leases_[slot].number.load(std::memory_order_relaxed);  // relaxed: own
    event.error = &error;
    tell(event);
    tell_liveness(liveness_input::failure);
    probe_all_ = true;
    rest_or_empty(slot, true);
    drop(slot, close_reason::failed_probe);
}

void resource_core::parts::back_to_idle(std::uint32_t slot) noexcept {
    task_block& of = tasks_[slot];
    // relaxed: this thread has the slot
    const std::uint64_t before = leases_[slot].returned_at.load(std::memory_order_relaxed);
    if (of.unused_since == 0 || before != of.idled_at) {
        of.unused_since = before;
    }
    to_idle(slot);
}

void resource_core::parts::to_idle(std::uint32_t slot) noexcept {
    task_block& of = tasks_[slot];
    const bool ending = end_at_.load(std::memory_order_relaxed) != 0;  // relaxed: an order
    if (of.retire || ending) {
        close(slot, ending ? close_reason::shutdown : of.reason);
        return;
    }
    lease_block& block = leases_[slot];
    of.watch_fd = of.owned->idle_fd();
    of.watch_inode = inode_of(of.watch_fd);
    of.idled_at = stamp_now_;
    // relaxed: handed on by the next store
    block.returned_at.store(of.idled_at, std::memory_order_relaxed);
    const std::uint64_t word = block.word.load(std::memory_order_relaxed);  // relaxed: own
    // seq_cst: invariant 2, before the look at the door; release half: the resource is handed on
    block.word.store(lease_word::into(word, slot_phase::idle), std::memory_order_seq_cst);
    if ((door_.load(std::memory_order_seq_cst) & door_bits::waiters) != 0) {  // invariant 2
        serve_waiters();
    }
}

void resource_core::parts::close(std::uint32_t slot, close_reason why) noexcept {
    task_block& of = tasks_[slot];
    of.reason = why;
    set_phase(slot, slot_phase::closing);
    if (params_.hooks.on_close) {
        params_.hooks.on_close(*of.owned);
    }
    of.told_close = true;
    const std::int64_t end = end_at_.load(std::memory_order_relaxed);  // relaxed: an order
    const std::chrono::nanoseconds rest =
        end == 0
            ? std::chrono::nanoseconds{params_.close_timeout}
            : std::max<std::chrono::nanoseconds>(end_point() - now_, std::chrono::nanoseconds{0});
    begin(slot, resource_task::close,
          std::min<std::chrono::nanoseconds>(rest, params_.close_timeout));
}

void resource_core::parts::drop(std::uint32_t slot, close_reason why) noexcept {
    task_block& of = tasks_[slot];
    if (!of.told_close && params_.hooks.on_close) {
        params_.hooks.on_close(*of.owned);
    }
    of.told_close = false;
    of.owned->drop();
    of.running = false;
    of.retire = false;
    of.flag_retire = false;  // what was flagged is gone
    of.watch_fd = -1;
    of.expires_at = forever;
    if (of.forced) {
        set_phase(slot, slot_phase::empty);
        return;
    }
    // relaxed: a number, written by this thread
    closed_[static_cast<std::size_t>(why)].fetch_add(1, std::memory_order_relaxed);
    if (why == close_reason::shutdown) {
        ++closed_at_end_;
    }
    const bool rests = of.history.resting();
    set_phase(slot, rests ? slot_phase::quarantined : slot_phase::empty);
    resource_event event;
    event.kind = resource_event_kind::closed;
    event.resource = leases_[slot].number.load(std::memory_order_relaxed);  // relaxed: own
    event.reason = why;
    event.lasted = now_ - of.opened_at;
    tell(event);
}

void resource_core::parts::rest_or_empty(std::uint32_t slot, bool failed) noexcept {
    task_block& of = tasks_[slot];
    if (of.history.resting() && !of.history.due(now_)) {
        return;
    }
    const quarantine_change change = of.history.record(!failed, params_.quarantine, now_);
    resource_event event;
    event.resource = leases_[slot].number.load(std::memory_order_relaxed);  // relaxed: own
    // One that could not be made has no error of its own: it was noted a moment ago.
    const resource_error unmade = of.owned == nullptr ? last_error() : resource_error{};
    event.error = of.owned == nullptr ? &unmade : &of.owned->error();
    if (change == quarantine_change::entered) {
        event.kind = resource_event_kind::quarantined;
        tell(event);
    } else if (change == quarantine_change::left) {
        event.kind = resource_event_kind::quarantine_over;
        event.error = nullptr;
        tell(event);
    }
    const slot_phase phase =
        lease_word::phase(leases_[slot].word.load(std::memory_order_relaxed));  // relaxed: own
    if (of.history.resting() && phase == slot_phase::empty) {
        set_phase(slot, slot_phase::quarantined);
    }
}

}  // namespace ropeway::detail
