// SPDX-License-Identifier: Apache-2.0
//
// Handlers that run on publishing threads: inline subscriptions, and a publisher that helps while
// it waits. Whoever takes a subscription here looks at its rings once more after letting it go,
// because nobody else may have seen what came in meanwhile.
#include <bit>

#include <ropeway/dispatcher/binding.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "spin.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {

bool engine::serve_inline(worker_group* group, worker_seat* seat) noexcept {
    std::uint32_t turn = 0;  // publishers take turns to go first
    backoff wait;
    // Inside a handler: the thread's outermost loop serves. Acquire pairs with start().
    if (handler_depth() != 0 || started_.load(std::memory_order_acquire) == 0) {
        return true;
    }
    for (bool again = true; again && !stopping();) {
        again = false;
        // Between our tail and the look at `owned`: either we find it free, or whoever holds it
        // sees our tail when it looks once more. Pairs with the same fence after let_go().
        std::atomic_thread_fence(std::memory_order_seq_cst);
        // Relaxed: as in the caller.
        const std::uint64_t all = live() & inline_.load(std::memory_order_relaxed);
        tail_views tails;
        const served_together together =
            serve_together(group, seat, {tails, nullptr, turn++}, all, tick_clock::now());
        if (together.written_off) {
            return false;
        }
        if (together.turns != 0 && together.left == 0 && !together.more) {
            // The look again, where one at the tails will do.
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (nothing_new(tails) && changes() == together.changes) {
                return true;
            }
        }
        // Those with events that were taken and found to need more than that, or to wait for
        // others, are looked at here; they are no reason for another round. Nobody else may have
        // seen what came in while we had them: the fence is as above.
        again = together.turns != 0;
        if ((together.taken & together.left) != 0) {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
        for (std::uint64_t left = together.left; left != 0; left &= left - 1) {
            subscription_core& sub =
                subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
            std::uint32_t nobody = subscription_core::idle;
            // seq_cst: as in look_once().
            if (!ready(sub) || !sub.owned.compare_exchange_strong(nobody, subscription_core::served,
                                                                  std::memory_order_seq_cst,
                                                                  std::memory_order_relaxed)) {
                continue;
            }
            if (stopping()) {  // as in look_once(): stop() tells of what is left, or has told
                let_go(sub);
                return true;
            }
            if (seat != nullptr) {
                seat->begin(sub.site, tick_clock::now(), true);
            }
            const inline_turn went = serve_now(sub);
            let_go(sub);
            again |= went == inline_turn::worked || went == inline_turn::waited;
            if (went == inline_turn::waited) [[unlikely]] {
                wait.pause();  // for a rescue on another thread, say
            } else if (went == inline_turn::starved) [[unlikely]] {
                serve_inline_later();  // until slots are back
            }
            if (seat != nullptr) {
                const worker_seat::doing was = seat->end();
                if (was == worker_seat::written_off) {
                    return false;
                }
                if (was == worker_seat::serving_out) {
                    group->awake.fetch_add(1, std::memory_order_seq_cst);  // as in look_once()
                }
            }
        }
    }
    return true;
}

engine::inline_turn engine::serve_now(subscription_core& sub) noexcept {
    // Acquire pairs with remove_subscription().
    if (sub.closing.load(std::memory_order_acquire) != subscription_core::stays) {
        return inline_turn::worked;  // its end, perhaps
    }
    const std::uint64_t now = tick_clock::now();
    note_time(now);
    // Relaxed: as in serve().
    if (sub.market_data.load(std::memory_order_relaxed) != subscription_core::connected) {
        end_market_data(sub);
    }
    acknowledge(sub);  // no timer, no quarantine: inline ones have neither
    tail_views tails;
    serve_context context;
    context.owner = this;
    context.tails = &tails;
    context.slice_ticks = groups_[0]->slice_ticks;
    context.now = now;
    context.slice_end = ~std::uint64_t{0};  // all of it
    bool any = false;
    backoff wait;
    do {
        context.more = false;
        tails.forget();
        if (serve_round(sub, context) != 0) {
            any = true;
        } else if (context.more) [[unlikely]] {
            wait.pause();  // a rescue is at work
        }
        // What comes meanwhile the caller's next look finds.
    } while (context.more && !stopping() && !sub.ending());
    if (any) {
        call_idle(sub);
    }
    announce(sub);
    look_if_drained(sub);
    note_if_together(sub, groups_[0]->slice_ticks);
    sub.slices.add(1);
    if (any) {
        return inline_turn::worked;
    }
    if (context.starved) [[unlikely]] {
        return inline_turn::starved;
    }
    // Relaxed: drain_out() looks again, also when it begins meanwhile.
    return sub.draining.load(std::memory_order_relaxed) == subscription_core::flows
               ? inline_turn::waited
               : inline_turn::drained;
}

bool engine::help() noexcept {
    // Acquire pairs with start(): before it no handler runs.
    if (handler_depth() != 0 || started_.load(std::memory_order_acquire) == 0) {
        return false;
    }
    // Relaxed: a subscription more or less for a moment.
    std::uint64_t left = live() & ~inline_.load(std::memory_order_relaxed);
    for (; left != 0; left &= left - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        std::uint32_t nobody = subscription_core::idle;
        // seq_cst: as in look_once().
        if (sub.execution != execution_mode::group || !ready(sub) ||
            !sub.owned.compare_exchange_strong(nobody, subscription_core::served,
                                               std::memory_order_seq_cst,
                                               std::memory_order_relaxed)) {
            continue;
        }
        worker_group& group = *groups_[sub.group];
        std::uint32_t done = 0;
        if (sub.average_ticks != 0 && sub.average_ticks <= group.slice_ticks && !stopping()) {
            tail_views tails;
            std::uint64_t now = tick_clock::now();
            done = serve(group, sub, {tails, nullptr}, now);
        }
        let_go(sub);
        look_again(sub);
        if (done != 0) {
            serve_inline_later();  // what its handlers published, or let go on
            return true;
        }
    }
    return false;
}

void engine::serve_inline_later() noexcept {
    // For the compiler: what the caller changed comes before the look.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    // Relaxed: who joins meanwhile looks itself.
    if (inline_.load(std::memory_order_relaxed) == 0) {
        return;
    }
    // Release: whoever takes it sees what changed. An exchange, so that it sees what others changed
    // who had set it before.
    static_cast<void>(inline_left_.exchange(1, std::memory_order_release));
    // As in wake(), of the first group.
    if (fence_at_wake_) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    } else {
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    if ((asleep_.load(std::memory_order_relaxed) & bit_of(0)) != 0 && !stopping()) {
        wake_group(*groups_[0]);
    }
}

bool engine::inline_left(const worker_group& group) const noexcept {
    // Relaxed: a look, ordered as the look at a tail.
    return group.number == 0 && inline_left_.load(std::memory_order_relaxed) != 0;
}

void engine::look_again(subscription_core& sub) noexcept {
    // We do not count as a worker: between `owned` and the look at the rings. Pairs with wake().
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // Relaxed: ordered by the fence. Before start() nobody is woken; it looks itself.
    if (!stopping() && started_.load(std::memory_order_relaxed) != 0 &&
        sub.execution != execution_mode::inline_ && ready(sub)) {
        wake_group(*groups_[sub.group]);
    }
}

}  // namespace ropeway::detail
