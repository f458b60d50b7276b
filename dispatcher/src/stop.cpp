// SPDX-License-Identifier: Apache-2.0
//
// How all of it ends: publishers are closed, what is left is served to the deadline, workers and
// threads go, and what remains is counted and told.
#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/intake.hpp>

#include "spin.hpp"
#include "supervisor.hpp"
#include "system.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {

bool engine::kept_for(const subscription_core& sub) const noexcept {
    for (const auto& from : publishers()) {
        for (const ring& places : from->rings) {
            // Acquire pairs with rescue().
            if (places.cursors[sub.number].kept.load(std::memory_order_acquire) != 0) {
                return true;
            }
        }
    }
    return false;
}

bool engine::anything_runs() const noexcept {
    for (unsigned i = 0; i < group_count(); ++i) {
        // Acquire pairs with job_over(): what a worker did is visible once it is gone.
        if (job_word::running(groups_[i]->jobs.load(std::memory_order_acquire)) != 0) {
            return true;
        }
    }
    for (const auto& from : publishers()) {
        if (from->helping()) {
            return true;
        }
    }
    // Acquire: a publisher's inline handler is over, and visible.
    for (std::uint64_t left = inline_.load(std::memory_order_acquire); left != 0;
         left &= left - 1) {
        if (subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))].owned.load(
                std::memory_order_acquire) == subscription_core::served) {
            return true;
        }
    }
    return false;
}

void engine::close_publishers(steady_clock::time_point until) noexcept {
    for (const auto& from : publishers()) {
        // Release: what follows is refused.
        from->closed_.store(publisher_core::stopped, std::memory_order_release);
    }
    // Every publish that read `closed` before this shows its `inside` to us after it.
    barrier_everywhere();
    for (const auto& from : publishers()) {
        backoff wait;
        // One whose helping handler hangs publishes nothing any more; anything_runs() tells of it.
        while (from->busy() && !(from->helping() && steady_clock::now() >= until)) {
            wait.pause();
        }
    }
}

bool engine::all_taken() const noexcept {
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        const subscription_core& sub =
            subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        // The rings first, which nobody fills any more: what was taken out of them is seen by the
        // looks that follow. Acquire: idle with nothing pending means its last slice is over and
        // visible.
        if (lag_of(sub, ring_class::market) + lag_of(sub, ring_class::critical) != 0 ||
            kept_for(sub) ||
            sub.owned.load(std::memory_order_acquire) == subscription_core::served ||
            sub.pending.load(std::memory_order_acquire) != subscription_core::nothing) {
            return false;
        }
    }
    return true;
}

void engine::drain(stop_report& report, std::chrono::steady_clock::time_point until) noexcept {
    const bool started = started_.load(std::memory_order_acquire) != 0;  // pairs with start()
    report.drained = all_taken();
    while (started && !report.drained && steady_clock::now() < until) {
        wake();
        ramp();
        serve_inline();  // what nobody could serve, on this thread
        sleep_for(std::chrono::microseconds{100});
        report.drained = all_taken();
    }
    stopping_.store(1, std::memory_order_release);  // pairs with stopping()
    // Before the looks below: who is woken after them sees it.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // Workers look at `stopping` between slices; a stuck handler keeps its worker.
    const auto grace = std::max(until, steady_clock::now() + std::chrono::milliseconds{50});
    // One look decides: a worker that another one wakes after it finds `stopping`, and nothing
    // else.
    while (report.workers_gone = !anything_runs(),
           !report.workers_gone && steady_clock::now() < grace) {
        sleep_for(std::chrono::microseconds{50});
    }
    supervisor_->stop();
    report.threads_gone = true;
    for (unsigned i = 0; started && i < group_count(); ++i) {
        report.threads_gone =
            (!groups_[i]->in_use() || groups_[i]->where->stop(grace)) && report.threads_gone;
    }
    if (!report.workers_gone) {
        // Release pairs with remove_subscription(): nobody waits for the handler that hangs.
        gave_up_.store(1, std::memory_order_release);
    }
}

stop_report engine::stop(std::chrono::nanoseconds deadline) noexcept {
    const std::uint32_t me = caller();
    // Relaxed: only this thread can have written its own number.
    if (stopper_.load(std::memory_order_relaxed) == me) {
        return {};  // from inside on_undelivered: the stop in progress reports
    }
    if (supervisor_->is_this_thread()) {
        return {};  // from inside on_alert: it would wait for itself
    }
    const std::lock_guard one_at_a_time{stop_};
    undelivered_callback tell;
    {
        const std::lock_guard lock{registry_};
        if (stopped_) {
            return last_report_;
        }
        stopped_ = true;  // from here nobody subscribes, and a new publisher is closed
        tell = undelivered_;
    }
    stopper_.store(me, std::memory_order_relaxed);  // as above
    stop_report report;
    const auto until = end_of_wait(deadline);
    close_intakes(until);
    close_publishers(until);
    drain(report, until);
    collect(report, tell);
    stopper_.store(0, std::memory_order_relaxed);  // as above
    const std::lock_guard lock{registry_};
    last_report_ = report;
    return report;
}

template <class See>
void engine::for_each_left(const subscription_core& sub, ring_class c, See&& see) const noexcept {
    for (const auto& from : publishers()) {
        const ring& places = from->rings[index_of(c)];
        // Acquire: whoever moved it last is done with it.
        const std::uint64_t word =
            places.cursors[sub.number].cursor.load(std::memory_order_acquire);
        if (cursor_word::busy(word) || word == cursor_word::join) {
            continue;
        }
        std::uint64_t at = cursor_word::position(word);
        for (const std::uint64_t end = from->committed(c); at < end; ++at) {
            // Relaxed: no publisher is inside, but to help, and close_publishers() saw it.
            const std::uint32_t slot =
                places.entries[at & places.mask].load(std::memory_order_relaxed);
            const void* const event = from->payload(slot);
            if (from->sequence_of(slot) < end_for(sub, *from) && sub.face.wants(sub, event)) {
                see(event);
            }
        }
    }
}

void engine::collect_from(subscription_core& sub, stop_report& report,
                          const undelivered_callback& tell) noexcept {
    inbox& critical = sub.box[index_of(ring_class::critical)];
    inbox& market = sub.box[index_of(ring_class::market)];
    std::uint64_t of_critical = critical.count - critical.head;
    std::uint64_t of_market = market.count - market.head;
    const auto lost = [&](const void* event) {
        if (tell) {
            const handler_scope inside;  // what it unsubscribes is marked, and ended by let_go()
            tell(sub.name, event);
        }
    };
    for (std::uint32_t i = critical.head; i != critical.count; ++i) {
        lost(critical.events[i]);
    }
    for (const auto& from : publishers()) {
        backlog& kept = from->stores_[sub.number]->critical;
        for (; !kept.empty(); kept.pop()) {
            if (kept.front().sequence < end_for(sub, *from)) {
                ++of_critical;
                lost(kept_->payload(kept.front().slot.index));
            }
            sub.face.recycle(*this, *kept_, kept.front().slot);
        }
    }
    for_each_left(sub, ring_class::critical, [&](const void* event) {
        ++of_critical;
        lost(event);
    });
    for_each_left(sub, ring_class::market, [&](const void*) { ++of_market; });
    of_market += discard_all(sub);
    report.undelivered += of_critical + of_market;
    report.undelivered_critical += of_critical;
    if (of_critical + of_market != 0) {
        report.unfinished.push_back(sub.name);
    }
}

void engine::collect(stop_report& report, const undelivered_callback& tell) noexcept {
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        std::uint32_t was = subscription_core::idle;
        // Acquire: its inboxes as the last worker left them; nobody else serves or ends it now.
        if (sub.owned.compare_exchange_strong(was, subscription_core::served,
                                              std::memory_order_acquire,
                                              std::memory_order_relaxed)) {
            collect_from(sub, report, tell);
            let_go(sub);
        } else if (was == subscription_core::served) {  // a handler hangs, and owns the inbox
            const std::uint64_t critical = lag_of(sub, ring_class::critical);
            report.undelivered += critical + lag_of(sub, ring_class::market);
            report.undelivered_critical += critical;
            report.unfinished.push_back(sub.name);
        }
    }
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        // Acquire pairs with leave_to_worker(): marked by `tell` after its turn in the loop above.
        if (sub.closing.load(std::memory_order_acquire) == subscription_core::marked) {
            static_cast<void>(end_if_idle(sub));
        }
    }
    collect_intakes(report, tell);
    duplicates_->flush_thread();
    kept_->flush_thread();
    report.slots_outstanding += duplicates_->outstanding() + kept_->outstanding();
    for (const auto& from : publishers()) {
        report.slots_outstanding +=
            report.workers_gone ? from->recycle_all() : from->stats().claims_out;
    }
}

}  // namespace ropeway::detail
