// SPDX-License-Identifier: Apache-2.0
//
// Groups of workers: who may run, who counts, who is woken. Protocol: a worker that is counted
// looks at every ring before it leaves; whoever leaves the count sets the group's bit in `asleep`,
// then executes a barrier on every thread, then looks once more. A publish reads `asleep` after its
// tail, so one of the two sees the other. The bit may be set for a group that is awake (the next
// publish takes it away), never the reverse.
#include "worker_group.hpp"

#include <bit>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "supervisor.hpp"
#include "system.hpp"

namespace ropeway::detail {
namespace {

[[nodiscard]] std::uint64_t ticks(std::chrono::nanoseconds time) noexcept {
    return tick_clock::from_ns(static_cast<std::uint64_t>(time.count()));
}

}  // namespace

worker_group::worker_group(engine& of, unsigned index, worker_params with, unsigned count)
    : owner(&of),
      number(index),
      workers(count),
      seats(std::make_unique<worker_seat[]>(count + with.replacements)),
      seat_count(count + with.replacements),
      jobs(std::uint64_t{count} * job_word::one_allowed) {
    use(std::move(with));
}

void worker_group::use(worker_params with) {
    params = std::move(with);
    slice_ticks = ticks(params.slice);
    linger_ticks = ticks(params.linger);
    replace_ticks = ticks(params.replace_after);
    stall_ticks = ticks(params.stall_limit);
    where = params.where ? std::move(params.where) : make_arena_executor(params.name);
    params.where.reset();
}

executor::job worker_group::job() { return {owner->shared_from_this(), this}; }

worker_group& engine::own_group(std::string_view name, const subscription_params& params) {
    worker_params with = params_.workers;  // its slice and limits
    with.name = name.empty() ? "own" : std::string{name.substr(0, 12)};
    with.count = 1;
    with.replacements = 0;
    with.wait = params.wait;
    thread_params thread = params.thread;
    thread.name = thread.name.empty() ? with.name : thread.name;
    with.where = make_thread_executor(std::move(thread));
    const std::lock_guard lock{faces_};  // nobody reads the name meanwhile
    for (unsigned i = 0; i < group_count(); ++i) {
        worker_group& group = *groups_[i];
        // Acquire pairs with end_retired(): its former thread is gone.
        if (group.own && group.life.load(std::memory_order_acquire) == worker_group::vacant) {
            group.use(std::move(with));
            group.wakes.store(0, std::memory_order_relaxed);  // relaxed: a count
            group.stalls.set(0);
            return group;
        }
    }
    if (group_count() == max_groups) {
        throw std::length_error("subscription \"" + std::string{name} + "\": all " +
                                std::to_string(max_groups) +
                                " groups of workers and own threads are in use. Let it join a "
                                "group of workers (subscription_params::group).");
    }
    return add_group(std::move(with), 1, true);
}

void engine::begin_own(worker_group& group) {
    // Relaxed: written under the registry's lock, which we hold.
    if (started_.load(std::memory_order_relaxed) != 0) {
        group.replacements = group.where->start(1, 0, &run_worker, group.job());
        group.life.store(worker_group::active, std::memory_order_release);  // pairs: supervise()
        // Of a reused one: a publish that still took it for asleep may have asked for a worker.
        if (!may_start_another(group)) {
            allow_one_more(group);
        }
        asleep_.fetch_or(bit_of(group.number), std::memory_order_seq_cst);
        if (group.params.wait != wait_strategy::park) {
            wake_group(group);
        }
    } else {
        group.life.store(worker_group::active, std::memory_order_release);  // as above
    }
}

void engine::retire(subscription_core& sub) noexcept {
    worker_group& group = *groups_[sub.group];
    // Relaxed: written under the registry's lock, which we hold.
    if (started_.load(std::memory_order_relaxed) == 0) {
        group.life.store(worker_group::vacant, std::memory_order_relaxed);
        return;
    }
    // Release pairs with end_retired(): nobody is a member any more.
    group.life.store(worker_group::retiring, std::memory_order_release);
    supervisor_->unpark();
}

bool engine::end_retired(worker_group& group) noexcept {
    std::uint64_t was = group.jobs.load(std::memory_order_acquire);  // pairs with job_over()
    if (job_word::running(was) != 0) {
        return false;
    }
    // A publish that took it for asleep may ask for a worker until the next life: it is owed one.
    // acq_rel: one order with submit().
    if (!group.jobs.compare_exchange_strong(
            was, was - std::uint64_t{job_word::allowed(was)} * job_word::one_allowed,
            std::memory_order_acq_rel, std::memory_order_relaxed)) {
        return false;
    }
    asleep_.fetch_and(~bit_of(group.number), std::memory_order_seq_cst);
    static_cast<void>(group.where->stop(std::chrono::steady_clock::time_point::max()));
    group.life.store(worker_group::vacant, std::memory_order_release);  // pairs with own_group()
    return true;
}

void engine::wake_slow() noexcept {
    if (stopping()) {
        return;  // nobody is woken any more
    }
    // Relaxed: the bits are looked at again below.
    std::uint64_t left = asleep_.load(std::memory_order_relaxed);
    for (; left != 0; left &= left - 1) {
        wake_group(*groups_[static_cast<std::size_t>(std::countr_zero(left))]);
    }
}

void engine::wake_group(worker_group& group) noexcept {
    // The bit first: a worker that leaves the count after our CAS sets it again. seq_cst on all of
    // this: one order with out_of_count().
    asleep_.fetch_and(~bit_of(group.number), std::memory_order_seq_cst);
    std::uint32_t nobody = 0;
    if (group.awake.compare_exchange_strong(nobody, 1, std::memory_order_seq_cst,
                                            std::memory_order_relaxed)) {
        submit(group);
    }
}

void engine::submit(worker_group& group) noexcept {
    group.wakes.fetch_add(1, std::memory_order_relaxed);             // relaxed: a count
    std::uint64_t was = group.jobs.load(std::memory_order_relaxed);  // the CAS re-checks it
    bool starts = false;
    do {
        starts = job_word::running(was) < job_word::allowed(was);
        // acq_rel: one order with job_over(), so that an owed job is seen by the next one to end.
    } while (!group.jobs.compare_exchange_weak(
        was, was + (starts ? job_word::one_running : job_word::one_owed), std::memory_order_acq_rel,
        std::memory_order_relaxed));
    if (starts) {
        group.where->submit();
        supervisor_->unpark();  // should no thread take it, the supervisor nudges
    }
}

bool engine::job_over(worker_group& group) noexcept {
    std::uint64_t was = group.jobs.load(std::memory_order_relaxed);  // the CAS re-checks it
    bool again = false;
    do {
        again = job_word::owed(was) != 0 && job_word::running(was) <= job_word::allowed(was) &&
                !stopping();
        // acq_rel: as in submit(); the release pairs with stop()'s look.
    } while (!group.jobs.compare_exchange_weak(
        was, was - (again ? job_word::one_owed : job_word::one_running), std::memory_order_acq_rel,
        std::memory_order_relaxed));
    return again;
}

bool engine::may_start_another(const worker_group& group) const noexcept {
    // Relaxed: a worker too many or too few for a moment is no harm.
    const std::uint64_t word = group.jobs.load(std::memory_order_relaxed);
    return job_word::running(word) < job_word::allowed(word);
}

void engine::out_of_count(worker_group& group) noexcept {
    if (group.awake.fetch_sub(1, std::memory_order_seq_cst) == 1) {
        asleep_.fetch_or(bit_of(group.number), std::memory_order_seq_cst);  // see wake_group()
    }
    // Pairs with wake(): a publish that still saw us counted is seen by the look that follows, and
    // one that this look misses sees the bit. Some microseconds, on the way to sleep or to a long
    // handler, instead of a fence in every publish.
    if (fence_at_wake_) {
        std::atomic_thread_fence(std::memory_order_seq_cst);
    } else {
        barrier_everywhere();
    }
}

bool engine::leave(worker_group& group) noexcept {
    out_of_count(group);
    if (!planted(planted_bug::no_last_look) && anything_left(group, nullptr)) {
        asleep_.fetch_and(~bit_of(group.number), std::memory_order_seq_cst);  // see wake_group()
        std::uint32_t nobody = 0;
        if (group.awake.compare_exchange_strong(nobody, 1, std::memory_order_seq_cst,
                                                std::memory_order_relaxed)) {
            return false;
        }
    }
    return true;
}

bool engine::step_out(worker_group& group, const subscription_core& about_to_serve) noexcept {
    // Relaxed: only the supervisor changes it, and either answer is right for a moment.
    if (job_word::allowed(group.jobs.load(std::memory_order_relaxed)) == 1) {
        return false;  // nobody could take our place; should the handler hang, the supervisor sees
    }
    // Even while as many run as may: the others leave when they find nothing, and then nobody
    // looks.
    out_of_count(group);
    if (anything_left(group, &about_to_serve)) {
        wake_group(group);
    }
    return true;
}

void engine::ramp() noexcept {
    for (unsigned i = 0; i < group_count(); ++i) {
        ramp_group(*groups_[i], nullptr);
    }
}

void engine::ramp_in(std::uint32_t group, const subscription_core* served) noexcept {
    ramp_group(*groups_[group], served);
}

void engine::ramp_group(worker_group& group, const subscription_core* served) noexcept {
    // Acquire pairs with start(). After the stop the executor has ended: a handler may outlive it.
    if (stopping() || started_.load(std::memory_order_acquire) == 0) {
        return;
    }
    // Relaxed: an extra worker too many or too few for a moment is no harm.
    std::uint32_t awake = group.awake.load(std::memory_order_relaxed);
    if (may_start_another(group) && any_ready(group, served) &&
        group.awake.compare_exchange_strong(awake, awake + 1, std::memory_order_seq_cst,
                                            std::memory_order_relaxed)) {
        submit(group);
    }
}

bool engine::replace(worker_group& group, worker_seat& seat, std::uint64_t word) noexcept {
    const bool counted = worker_seat::what(word) == worker_seat::serving;
    if (may_start_another(group)) {
        if (counted && seat.change(word, worker_seat::serving_out)) {
            out_of_count(group);
        }
    } else {
        // Relaxed: only the supervisor raises `allowed`, and one that falls meanwhile is no harm.
        const std::uint64_t jobs = group.jobs.load(std::memory_order_relaxed);
        if (job_word::allowed(jobs) >= group.workers + group.replacements) {
            return false;
        }
        if (!seat.change(word, worker_seat::written_off)) {
            return true;  // it came back just now
        }
        allow_one_more(group);
        group.replaced.add(1);
        if (counted) {
            out_of_count(group);
        }
    }
    if (anything_left(group, nullptr)) {
        wake_group(group);
    }
    return true;
}

void engine::allow_one_more(worker_group& group) noexcept {
    std::uint64_t was = group.jobs.load(std::memory_order_relaxed);  // the CAS re-checks it
    bool starts = false;
    do {
        starts = job_word::owed(was) != 0;
        // acq_rel: as in submit().
    } while (!group.jobs.compare_exchange_weak(
        was,
        was + job_word::one_allowed +
            (starts ? job_word::one_running - job_word::one_owed : std::uint64_t{0}),
        std::memory_order_acq_rel, std::memory_order_relaxed));
    if (starts) {
        group.where->submit();
    }
}

void engine::written_off_returns(worker_group& group) noexcept {
    // Our subscription is free again, and nobody who counts may have seen that. Pairs with wake().
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (any_ready(group, nullptr)) {
        wake_group(group);
    }
    serve_inline();  // what comes after the subscription that we served
    // acq_rel: as in job_over().
    group.jobs.fetch_sub(job_word::one_running + job_word::one_allowed, std::memory_order_acq_rel);
}

}  // namespace ropeway::detail
