// SPDX-License-Identifier: Apache-2.0
//
// Workers in a task arena of oneTBB's, with the global_control that lets as many run as were asked
// for. The one file that includes oneTBB.
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <thread>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <ropeway/dispatcher/executor.hpp>

namespace ropeway {
namespace {

/// Counts jobs; shared with them, because a job that never ends outlives its executor.
struct job_count {
    std::atomic<unsigned> running{0};
};

class arena_executor final : public executor {
  public:
    ~arena_executor() override { static_cast<void>(stop(std::chrono::steady_clock::now())); }

    void start(unsigned count, entry run, job what) override {
        using control = tbb::global_control;
        // One more than the workers: oneTBB counts the calling thread too.
        control_ = std::make_unique<control>(control::max_allowed_parallelism, count + 1);
        const std::size_t allowed = control::active_value(control::max_allowed_parallelism);
        if (allowed < count + 1) {
            control_.reset();
            throw parallelism_error(
                "oneTBB runs at most " + std::to_string(allowed) +
                " threads in this process, and " + std::to_string(count) + " workers need " +
                std::to_string(count + 1) +
                ": another tbb::global_control holds max_allowed_parallelism down. Raise or "
                "remove it, ask for " +
                std::to_string(allowed > 1 ? allowed - 1 : 1) +
                " workers (worker_params::count), or run them on own threads "
                "(worker_params::where = make_thread_executor()).");
        }
        handle_ = tbb::task_scheduler_handle{tbb::attach{}};
        run_ = run;
        what_ = std::move(what);
        arena_ = std::make_unique<tbb::task_arena>(static_cast<int>(count), 0U);
        arena_->initialize();
    }

    void submit() noexcept override {
        // Relaxed: counted before the job exists; its end is the release below.
        jobs_->running.fetch_add(1, std::memory_order_relaxed);
        arena_->enqueue([jobs = jobs_, run = run_, what = what_] {
            run(what.get());
            jobs->running.fetch_sub(1, std::memory_order_release);  // pairs with stop()
        });
    }

    bool stop(std::chrono::steady_clock::time_point deadline) noexcept override {
        if (!arena_) {
            return true;
        }
        // Acquire pairs with the end of a job: what it did is visible to the stopping thread.
        while (jobs_->running.load(std::memory_order_acquire) != 0 &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::microseconds{100});
        }
        const bool idle = jobs_->running.load(std::memory_order_acquire) == 0;
        arena_.reset();
        what_.reset();
        control_.reset();
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
    std::unique_ptr<tbb::global_control> control_;
    tbb::task_scheduler_handle handle_;
    std::unique_ptr<tbb::task_arena> arena_;
    std::shared_ptr<job_count> jobs_ = std::make_shared<job_count>();
    entry run_ = nullptr;
    job what_;
};

}  // namespace

std::shared_ptr<executor> make_arena_executor() { return std::make_shared<arena_executor>(); }

}  // namespace ropeway
