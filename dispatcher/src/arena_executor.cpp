// SPDX-License-Identifier: Apache-2.0
//
// Workers in a task arena of oneTBB's, with the global_control that lets as many run as were asked
// for. The one file that includes oneTBB.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <ropeway/dispatcher/executor.hpp>

namespace ropeway {
namespace {

/// Shared with the jobs, because one that never ends outlives its executor.
struct shared_state {
    explicit shared_state(std::string prefix) : name(std::move(prefix)) {}

    /// Names the calling thread, at its first job for this arena.
    void name_thread() noexcept {
        thread_local const shared_state* named_by = nullptr;
        if (std::exchange(named_by, this) != this) {
            // Relaxed: a number.
            const unsigned number = next_number.fetch_add(1, std::memory_order_relaxed);
            const std::string text = name.substr(0, 12) + std::to_string(number % 1000);
            pthread_setname_np(pthread_self(), text.c_str());
        }
    }

    std::string name;
    std::atomic<unsigned> next_number{0};
    std::atomic<unsigned> running{0};  ///< jobs, from their submission on
    std::atomic<unsigned> begun{0};    ///< jobs that a thread has taken, ever
    std::atomic<unsigned> in_main{0};  ///< of them, in the arena that is not for replacements
};

/// What all arenas of this library together need: of several global_controls the lowest counts, so
/// there is one for all of them.
class thread_allowance {
  public:
    thread_allowance() = default;
    thread_allowance(const thread_allowance&) = delete;
    thread_allowance& operator=(const thread_allowance&) = delete;
    ~thread_allowance() { give_back(); }

    /// Asks for `count` threads and up to `spare` more; returns how many of those it got.
    /// @throws parallelism_error when the host allows fewer than `count`.
    unsigned take(unsigned count, unsigned spare) {
        common& all = shared();
        const std::lock_guard lock{all.guard};
        set(all, all.threads + count + spare);
        // One more than the workers: oneTBB counts the calling thread too.
        const auto allowed = static_cast<unsigned>(control::active_value(parameter)) - 1;
        if (allowed < all.threads + count) {
            set(all, all.threads);
            throw parallelism_error(
                "oneTBB runs at most " + std::to_string(allowed + 1) +
                " threads in this process, and " + std::to_string(all.threads + count) +
                " workers need " + std::to_string(all.threads + count + 1) +
                ": another tbb::global_control holds max_allowed_parallelism down. Raise or "
                "remove it, ask for " +
                std::to_string(std::max(1U, allowed - std::min(allowed, all.threads))) +
                " workers (worker_params::count), or run them on own threads "
                "(worker_params::where = make_thread_executor()).");
        }
        taken_ = count + std::min(spare, allowed - all.threads - count);
        all.threads += taken_;
        set(all, all.threads);
        return taken_ - count;
    }
    void give_back() noexcept {
        if (taken_ != 0) {
            common& all = shared();
            const std::lock_guard lock{all.guard};
            all.threads -= std::exchange(taken_, 0);
            all.held.reset();
            if (all.threads != 0) {
                all.held.emplace(parameter, all.threads + 1);
            }
        }
    }

  private:
    using control = tbb::global_control;
    static constexpr control::parameter parameter = control::max_allowed_parallelism;
    struct common {
        std::mutex guard;  ///< guards what follows; taken when a group starts or stops
        unsigned threads = 0;
        std::optional<control> held;
    };
    /// Never destroyed: an executor may outlive static destruction.
    static common& shared() {
        static auto& all = *new common;
        return all;
    }
    static void set(common& all, unsigned threads) {
        all.held.reset();
        if (threads != 0) {
            all.held.emplace(parameter, threads + 1);
        }
    }

    unsigned taken_ = 0;
};

class arena_executor final : public executor {
  public:
    explicit arena_executor(std::string name)
        : state_(std::make_shared<shared_state>(std::move(name))) {}
    ~arena_executor() override { static_cast<void>(stop(std::chrono::steady_clock::now())); }

    unsigned start(unsigned count, unsigned spare, entry run, job what) override {
        if (used_) {
            throw std::logic_error(
                "an executor serves one group of workers: make another for this one.");
        }
        const unsigned spares = allowance_.take(count, spare);
        try {
            handle_ = tbb::task_scheduler_handle{tbb::attach{}};
            auto arena = std::make_unique<tbb::task_arena>(static_cast<int>(count), 0U);
            arena->initialize();
            // An arena of their own: threads of one with more slots than jobs look for work there,
            // each time that a job comes.
            auto spare_arena =
                std::make_unique<tbb::task_arena>(static_cast<int>(std::max(1U, spares)), 0U);
            spare_arena->initialize();
            const std::lock_guard lock{guard_};
            count_ = count;
            spare_arena_ = std::move(spare_arena);
            used_ = true;
            run_ = run;
            what_ = std::move(what);
            arena_ = std::move(arena);
        } catch (...) {
            allowance_.give_back();
            throw;
        }
        return spares;
    }

    void submit() noexcept override {
        const std::lock_guard lock{guard_};
        if (!arena_) {
            return;  // a handler that outlived the stop
        }
        // Relaxed: counted before the job exists; its end is the release below.
        state_->running.fetch_add(1, std::memory_order_relaxed);
        // Relaxed: one too many in the spare arena for a moment is no harm.
        const bool spare = state_->in_main.load(std::memory_order_relaxed) >= count_;
        state_->in_main.fetch_add(spare ? 0 : 1, std::memory_order_relaxed);
        // Relaxed: for nudge() only, which looks again.
        submitted_.fetch_add(1, std::memory_order_relaxed);
        (spare ? spare_arena_ : arena_)->enqueue([state = state_, run = run_, what = what_, spare] {
            state->begun.fetch_add(1, std::memory_order_relaxed);  // relaxed: as above
            state->name_thread();
            run(what.get());
            state->in_main.fetch_sub(spare ? 0 : 1,
                                     std::memory_order_relaxed);     // relaxed: as above
            state->running.fetch_sub(1, std::memory_order_release);  // pairs with stop()
        });
    }

    // oneTBB 2021.8 sometimes leaves all its threads asleep after an enqueue; what is enqueued next
    // wakes them, for both. So a job that nobody takes gets an empty task behind it, at the second
    // call that sees it waiting and then ever more seldom: on a busy machine it is only late.
    void nudge() noexcept override {
        // Relaxed (both): an old number costs a call.
        const unsigned begun = state_->begun.load(std::memory_order_relaxed);
        if (submitted_.load(std::memory_order_relaxed) == begun || begun != seen_begun_) {
            seen_begun_ = begun;
            calls_waiting_ = 0;
            return;
        }
        if (++calls_waiting_ < 2 || !std::has_single_bit(calls_waiting_)) {
            return;
        }
        const std::lock_guard lock{guard_};
        for (const auto* each : {&arena_, &spare_arena_}) {
            if (*each) {
                (*each)->enqueue([] {});
            }
        }
    }

    bool stop(std::chrono::steady_clock::time_point deadline) noexcept override {
        {
            const std::lock_guard lock{guard_};
            if (!arena_) {
                return true;
            }
        }
        // Acquire pairs with the end of a job: what it did is visible to the stopping thread.
        while (state_->running.load(std::memory_order_acquire) != 0 &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::microseconds{100});
        }
        const bool idle = state_->running.load(std::memory_order_acquire) == 0;
        {
            const std::lock_guard lock{guard_};
            arena_.reset();
            spare_arena_.reset();
            what_.reset();
        }
        allowance_.give_back();
        if (!idle) {
            // finalize() would wait for the job that does not end.
            handle_.release();
            return false;
        }
        // False when somebody else in the process uses oneTBB: its threads are theirs then.
        return tbb::finalize(handle_, std::nothrow);
    }

    [[nodiscard]] const char* kind() const noexcept override { return "arena"; }

  private:
    thread_allowance allowance_;
    tbb::task_scheduler_handle handle_;
    std::shared_ptr<shared_state> state_;
    std::atomic<unsigned> submitted_{0};  ///< jobs, ever
    unsigned seen_begun_ = 0;             ///< of nudge(), as the next
    unsigned calls_waiting_ = 0;
    std::mutex guard_;  ///< guards what follows; taken once per job, never per event
    std::unique_ptr<tbb::task_arena> arena_;
    std::unique_ptr<tbb::task_arena> spare_arena_;  ///< for replacements
    unsigned count_ = 0;
    entry run_ = nullptr;
    job what_;
    bool used_ = false;
};

}  // namespace

std::shared_ptr<executor> make_arena_executor(std::string name) {
    return std::make_shared<arena_executor>(std::move(name));
}

}  // namespace ropeway
