// SPDX-License-Identifier: Apache-2.0
//
// Workers on own named threads, parked on a semaphore while there is no job.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ropeway/dispatcher/executor.hpp>

namespace ropeway {
namespace {

/// Shared with the threads, because one whose job never ends outlives its executor.
struct shared_state {
    std::counting_semaphore<> jobs{0};
    std::atomic<bool> quit{false};
    std::atomic<unsigned> alive{0};
    executor::entry run = nullptr;
    std::mutex guard;  ///< guards `what`; taken once per job, never per event
    executor::job what;
};

/// @return false: the system refuses the processor.
[[nodiscard]] bool name_and_pin(const thread_params& params, unsigned number) noexcept {
    const std::string name = params.name.substr(0, 12) + std::to_string(number % 1000);
    pthread_setname_np(pthread_self(), name.c_str());
    if (params.cpus.empty()) {
        return true;
    }
    const int cpu = params.cpus[number % params.cpus.size()];
    if (cpu < 0 || cpu >= CPU_SETSIZE) {
        return false;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

void serve_jobs(const std::shared_ptr<shared_state>& state) noexcept {
    for (;;) {
        state->jobs.acquire();
        if (state->quit.load(std::memory_order_acquire)) {  // pairs with stop()
            break;
        }
        executor::job what;
        {
            const std::lock_guard lock{state->guard};
            what = state->what;
        }
        if (what) {
            state->run(what.get());
        }
    }
    state->alive.fetch_sub(1, std::memory_order_release);  // pairs with stop()'s acquire
}

class thread_executor final : public executor {
  public:
    explicit thread_executor(thread_params params) : params_(std::move(params)) {}
    ~thread_executor() override { static_cast<void>(stop(std::chrono::steady_clock::now())); }

    void start(unsigned count, entry run, job what) override {
        if (used_) {
            throw std::logic_error("an executor serves one dispatcher: make another for this one.");
        }
        used_ = true;
        state_->run = run;
        threads_.reserve(count);
        std::atomic<unsigned> named{0};
        std::atomic<unsigned> refused{none};
        try {
            for (unsigned i = 0; i < count; ++i) {
                // Relaxed: before the thread exists.
                state_->alive.fetch_add(1, std::memory_order_relaxed);
                threads_.emplace_back([&named, &refused, this, i, state = state_] {
                    if (!name_and_pin(params_, i)) {
                        refused.store(i, std::memory_order_relaxed);  // relaxed: ordered by `named`
                    }
                    // Release pairs with the wait below, after which these two are gone.
                    named.fetch_add(1, std::memory_order_release);
                    serve_jobs(state);
                });
            }
        } catch (...) {
            // Relaxed: the one that could not be made.
            state_->alive.fetch_sub(1, std::memory_order_relaxed);
            await(named, static_cast<unsigned>(threads_.size()));
            static_cast<void>(stop(std::chrono::steady_clock::time_point::max()));
            throw;
        }
        await(named, count);
        if (const unsigned bad = refused.load(std::memory_order_relaxed); bad != none) {
            static_cast<void>(stop(std::chrono::steady_clock::time_point::max()));
            throw std::invalid_argument(
                "thread_params::cpus has " +
                std::to_string(params_.cpus[bad % params_.cpus.size()]) +
                ", which this process may not use. See Cpus_allowed_list in /proc/self/status.");
        }
        const std::lock_guard lock{state_->guard};
        state_->what = std::move(what);
    }

    void submit() noexcept override { state_->jobs.release(); }

    bool stop(std::chrono::steady_clock::time_point deadline) noexcept override {
        if (threads_.empty()) {
            return true;
        }
        state_->quit.store(true, std::memory_order_release);  // pairs with serve_jobs()
        state_->jobs.release(static_cast<std::ptrdiff_t>(threads_.size()));
        // Acquire: what a thread did is visible once it counts as gone.
        while (state_->alive.load(std::memory_order_acquire) != 0 &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::microseconds{100});
        }
        const bool gone = state_->alive.load(std::memory_order_acquire) == 0;
        if (gone) {
            for (std::thread& thread : threads_) {
                thread.join();
            }
        } else {
            // A job never ended: its thread is left behind by intent, and std::thread must not be
            // destroyed while it can be joined.
            static std::mutex guard;
            static auto& left_behind = *new std::vector<std::thread>;
            const std::lock_guard lock{guard};
            for (std::thread& thread : threads_) {
                left_behind.push_back(std::move(thread));
            }
        }
        threads_.clear();
        const std::lock_guard lock{state_->guard};
        state_->what.reset();
        return gone;
    }

    [[nodiscard]] const char* kind() const noexcept override { return "threads"; }

  private:
    static constexpr unsigned none = ~0U;

    static void await(const std::atomic<unsigned>& count, unsigned until) noexcept {
        while (count.load(std::memory_order_acquire) != until) {  // pairs with the threads' add
            std::this_thread::yield();
        }
    }

    thread_params params_;
    std::shared_ptr<shared_state> state_ = std::make_shared<shared_state>();
    std::vector<std::thread> threads_;
    bool used_ = false;
};

}  // namespace

std::shared_ptr<executor> make_thread_executor(thread_params params) {
    return std::make_shared<thread_executor>(std::move(params));
}

}  // namespace ropeway
