// SPDX-License-Identifier: Apache-2.0
//
// The driver: rounds of due turns and ready callers, and the moves of the clock between them. One
// thread runs at any time; who runs is handed on through words of which each has one waiter.
#include <ropeway/pool/testing/virtual_time.hpp>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include <ropeway/pool/end_of_wait.hpp>

namespace ropeway::testing {

namespace {

/// A word that one thread waits on and another sets: the baton.
void pass_to(std::atomic<std::uint32_t>& word) noexcept {
    // release: pairs with take(): all that this thread did is seen by the one that goes on
    word.store(1, std::memory_order_release);
    word.notify_one();
}
void take(std::atomic<std::uint32_t>& word) noexcept {
    // acquire: pairs with pass_to(): what the other thread did before
    while (word.exchange(0, std::memory_order_acquire) == 0) {
        // relaxed: only sleeps; the exchange above orders
        word.wait(0, std::memory_order_relaxed);
    }
}

}  // namespace

namespace detail {

/// One piece of work. Shared by its handle and the clock.
struct caller_job {
    std::function<void()> work{};
    caller_thread* thread = nullptr;  ///< null before it begins and after it ended
    bool ended = false;
    std::exception_ptr thrown{};
    virtual_time::wish what{};
};

/// A thread that runs callers, one after the other. Guarded by the baton.
struct caller_thread {
    std::atomic<std::uint32_t> turn{0};
    std::shared_ptr<caller_job> job{};
    bool quit = false;
    std::thread thread{};
};

}  // namespace detail

namespace {
/// The caller that this thread is; null on the driving thread.
thread_local detail::caller_thread* this_caller = nullptr;
}  // namespace

bool virtual_caller::ended() const noexcept { return job_ == nullptr || job_->ended; }

void virtual_caller::finish() {
    if (job_ != nullptr) {
        time_->finish(job_);
    }
}

virtual_time::virtual_time(resource_clock_point now) noexcept
    : now_ns_(std::chrono::nanoseconds{now.time_since_epoch()}.count()) {}

virtual_time::~virtual_time() {
    while (!running_.empty()) {
        const std::shared_ptr<detail::caller_job> first = running_.front();
        first->thrown = nullptr;
        try {
            finish(first);
        } catch (...) {
            // A caller's error that nobody asked for has nowhere to go in a destructor.
        }
    }
    for (const auto& one : threads_) {
        one->quit = true;
        pass_to(one->turn);
        one->thread.join();
    }
}

resource_clock_point virtual_time::now() noexcept {
    // relaxed: a time orders nothing; hand-overs of the baton order the rest
    return resource_clock_point{std::chrono::nanoseconds{now_ns_.load(std::memory_order_relaxed)}};
}

void virtual_time::move_to(resource_clock_point when) noexcept {
    if (when > now()) {
        // relaxed: see now()
        now_ns_.store(std::chrono::nanoseconds{when.time_since_epoch()}.count(),
                      std::memory_order_relaxed);
        rounds_here_ = 0;
    }
}

void virtual_time::start(resource_loop& loop, std::string_view /*name*/) {
    const std::lock_guard guard{loops_lock_};
    auto entry = std::make_unique<loop_entry>();
    entry->loop = &loop;
    loops_.push_back(std::move(entry));
}

void virtual_time::stop(resource_loop& loop) noexcept {
    const std::lock_guard guard{loops_lock_};
    std::erase_if(loops_, [&](const auto& one) { return one->loop == &loop; });
}

void virtual_time::wake(resource_loop& loop) noexcept {
    const std::lock_guard guard{loops_lock_};
    for (const auto& one : loops_) {
        one->woken = one->woken || one->loop == &loop;
    }
}

void virtual_time::notify(std::atomic<std::uint32_t>& /*word*/) noexcept {
    // Nothing to do: whoever waits on it is looked at in the next round.
}

void virtual_time::wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                        resource_clock_point until) noexcept {
    wait_for({.word = &word, .expected = expected, .until = until});
}

short virtual_time::poll(int fd, short events, resource_clock_point until) noexcept {
    return wait_for({.fd = fd, .events = events, .until = until});
}

bool virtual_time::is_met(wish& what) noexcept {
    // acquire: pairs with the change of the word by whoever ends the wait
    if (what.word != nullptr && what.word->load(std::memory_order_acquire) != what.expected) {
        return true;
    }
    if (what.fd >= 0) {
        pollfd one{.fd = what.fd, .events = what.events, .revents = 0};
        if (::poll(&one, 1, 0) > 0) {
            what.revents = one.revents;
            return true;
        }
    }
    return false;
}

short virtual_time::wait_for(wish what) noexcept {
    if (in_turn_ && this_caller == nullptr) {
        ++waits_in_turns_;
        return 0;
    }
    if (is_met(what)) {
        return what.revents;
    }
    if (this_caller == nullptr) {
        drive_until(what);
        return what.revents;
    }
    detail::caller_job& job = *this_caller->job;
    job.what = what;
    running_.push_back(this_caller->job);
    pass_to(driver_turn_);
    take(this_caller->turn);
    return job.what.revents;
}

void virtual_time::drive_until(wish& what) noexcept {
    while (!is_met(what)) {
        if (round()) {
            continue;
        }
        if (now() >= what.until) {
            return;
        }
        const resource_clock_point next = std::min(what.until, next_due());
        if (next == resource_clock_point::max()) {
            std::terminate();
        }
        move_to(next);
    }
}

bool virtual_time::round() {
    if (++rounds_here_ > turns_at_once) {
        ++runaways_;
        // Longer each time, so that a test of a program that is wrong comes to an end.
        const std::uint64_t doubled = std::min<std::uint64_t>(runaways_ - 1, 20);
        move_to(now() + std::chrono::milliseconds{std::int64_t{1} << doubled});
        return false;
    }
    const bool ran = run_due_loops();
    return run_ready_callers() || ran;
}

bool virtual_time::poll_now(loop_entry& entry) noexcept {
    bool any = false;
    for (pollfd& one : entry.fds) {
        one.revents = 0;
        any = any || one.fd >= 0;
    }
    return any && ::poll(entry.fds.data(), entry.fds.size(), 0) > 0;
}

bool virtual_time::run_due_loops() {
    std::vector<resource_loop*> due;
    {
        const std::lock_guard guard{loops_lock_};
        for (const auto& one : loops_) {
            const bool ready = poll_now(*one);
            if (ready || one->woken || one->next <= now()) {
                one->woken = false;
                due.push_back(one->loop);
            }
        }
    }
    for (resource_loop* const loop : due) {
        ++turns_;
        in_turn_ = true;
        const resource_loop::interest next = loop->turn();
        in_turn_ = false;
        const std::lock_guard guard{loops_lock_};
        for (const auto& one : loops_) {
            if (one->loop == loop) {
                one->next = next.next;
                one->fds = next.fds;
            }
        }
    }
    return !due.empty();
}

bool virtual_time::run_ready_callers() {
    // Only those that wait now: who begins to wait in this round comes in the next.
    std::vector<std::shared_ptr<detail::caller_job>> ready;
    for (const auto& job : running_) {
        if (job->thread == nullptr || is_met(job->what) || job->what.until <= now()) {
            ready.push_back(job);
        }
    }
    for (const auto& job : ready) {
        std::erase(running_, job);
        if (job->thread == nullptr) {
            give_work(job);
        } else {
            hand_to(*job->thread);
        }
    }
    return !ready.empty();
}

resource_clock_point virtual_time::next_due() noexcept {
    resource_clock_point next = resource_clock_point::max();
    for (const auto& job : running_) {
        next = std::min(next, job->thread == nullptr ? now() : job->what.until);
    }
    const std::lock_guard guard{loops_lock_};
    for (const auto& one : loops_) {
        next = std::min(next, one->woken ? now() : one->next);
    }
    return next;
}

void virtual_time::settle() {
    while (round()) {
    }
}

bool virtual_time::step() {
    settle();
    const resource_clock_point next = next_due();
    if (next == resource_clock_point::max()) {
        return false;
    }
    move_to(next);
    settle();
    return true;
}

void virtual_time::advance(std::chrono::nanoseconds by) {
    advance_to(ropeway::detail::end_of_wait(now(), by));
}

void virtual_time::advance_to(resource_clock_point when) {
    if (this_caller != nullptr) {
        wait_for({.until = when});
        return;
    }
    settle();
    for (;;) {
        const resource_clock_point next = next_due();
        if (next > when || next == resource_clock_point::max()) {
            break;
        }
        move_to(next);
        settle();
    }
    move_to(when);
}

virtual_caller virtual_time::call(std::function<void()> work) {
    auto job = std::make_shared<detail::caller_job>();
    job->work = std::move(work);
    if (this_caller == nullptr && !in_turn_) {
        give_work(job);
    } else {
        running_.push_back(job);
    }
    return {*this, std::move(job)};
}

void virtual_time::give_work(const std::shared_ptr<detail::caller_job>& job) {
    if (idle_.empty()) {
        threads_.push_back(std::make_unique<detail::caller_thread>());
        detail::caller_thread& fresh = *threads_.back();
        fresh.thread = std::thread{[this, &fresh] { run_caller(fresh); }};
        idle_.push_back(&fresh);
    }
    detail::caller_thread& thread = *idle_.back();
    idle_.pop_back();
    thread.job = job;
    job->thread = &thread;
    hand_to(thread);
}

void virtual_time::hand_to(detail::caller_thread& thread) {
    pass_to(thread.turn);
    take(driver_turn_);
}

void virtual_time::run_caller(detail::caller_thread& thread) {
    this_caller = &thread;
    for (;;) {
        take(thread.turn);
        if (thread.quit) {
            return;
        }
        const std::shared_ptr<detail::caller_job> job = thread.job;
        try {
            job->work();
        } catch (...) {
            job->thrown = std::current_exception();
        }
        job->work = nullptr;
        job->thread = nullptr;
        job->ended = true;
        thread.job = nullptr;
        idle_.push_back(&thread);
        pass_to(driver_turn_);
    }
}

void virtual_time::finish(const std::shared_ptr<detail::caller_job>& job) {
    while (!job->ended && step()) {
    }
    if (job->thrown != nullptr) {
        std::rethrow_exception(std::exchange(job->thrown, nullptr));
    }
}

}  // namespace ropeway::testing
