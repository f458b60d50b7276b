// SPDX-License-Identifier: Apache-2.0
//
// Workers on own named threads, parked on a semaphore while there is no job.
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <fstream>
#include <memory>
#include <mutex>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/executor.hpp>

#include "system.hpp"

namespace ropeway {
namespace {

using detail::ask_for_short_turns;

/// Shared with the threads, because one whose job never ends outlives its executor.
struct shared_state {
    struct place {
        bool idle = false;  ///< guarded by `guard`
        std::binary_semaphore wake{0};
    };
    std::unique_ptr<place[]> places;  ///< constant while threads run, as the next two
    unsigned count = 0;
    executor::entry run = nullptr;
    std::atomic<unsigned> alive{0};
    std::mutex guard;      ///< guards what follows; taken once per job, never per event
    unsigned pending = 0;  ///< jobs that found every thread busy
    bool quit = false;
    executor::job what;
};

/// The processors of a NUMA node, from the system's list such as "0-3,8".
[[nodiscard]] std::vector<int> processors_of(int node) {
    const std::string path = "/sys/devices/system/node/node" + std::to_string(node) + "/cpulist";
    std::ifstream list{path};
    std::vector<int> out;
    for (std::string part; std::getline(list, part, ',');) {
        int first = 0;
        const char* const end = part.data() + part.size();
        const auto [at, error] = std::from_chars(part.data(), end, first);
        int last = first;
        if (error != std::errc{} ||
            (at != end && *at == '-' && std::from_chars(at + 1, end, last).ec != std::errc{})) {
            continue;
        }
        for (int cpu = first; cpu <= last; ++cpu) {
            out.push_back(cpu);
        }
    }
    if (out.empty()) {
        throw std::invalid_argument("thread_params::numa_node is " + std::to_string(node) +
                                    ", and " + path +
                                    " lists no processor. See /sys/devices/system/node.");
    }
    return out;
}

void name_thread(const std::string& prefix, unsigned number) noexcept {
    const std::string name = prefix.substr(0, 12) + std::to_string(number % 1000);
    pthread_setname_np(pthread_self(), name.c_str());
}

/// @return false: the system refuses the processor.
[[nodiscard]] bool pin(int cpu) noexcept {
    if (cpu < 0 || cpu >= CPU_SETSIZE) {
        return false;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

[[nodiscard]] bool make_realtime(int priority) noexcept {
    sched_param wanted{};
    wanted.sched_priority = priority;
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &wanted) == 0;
}

/// Waits for a job; empty when it is time to end.
[[nodiscard]] executor::job next_job(shared_state& state, unsigned number) noexcept {
    std::unique_lock lock{state.guard};
    if (state.pending == 0 && !state.quit) {
        state.places[number].idle = true;
        lock.unlock();
        state.places[number].wake.acquire();
        lock.lock();
    } else if (state.pending != 0) {
        --state.pending;
    }
    return state.quit ? nullptr : state.what;
}

void serve_jobs(const std::shared_ptr<shared_state>& state, unsigned number) noexcept {
    while (const executor::job what = next_job(*state, number)) {
        state->run(what.get());
    }
    state->alive.fetch_sub(1, std::memory_order_release);  // pairs with stop()'s acquire
}

class thread_executor final : public executor {
  public:
    explicit thread_executor(thread_params params) : params_(std::move(params)) {}
    ~thread_executor() override { static_cast<void>(stop(std::chrono::steady_clock::now())); }

    unsigned start(unsigned count, unsigned spare, entry run, job what) override {
        if (used_) {
            throw std::logic_error(
                "an executor serves one group of workers: make another for this one.");
        }
        if (params_.cpus.empty() && params_.numa_node >= 0) {
            params_.cpus = processors_of(params_.numa_node);
        }
        used_ = true;
        const unsigned all = count + spare;
        state_->run = run;
        state_->count = all;
        state_->places = std::make_unique<shared_state::place[]>(all);
        state_->what = std::move(what);
        threads_.reserve(all);
        std::atomic<unsigned> named{0};
        std::atomic<unsigned> refused{none};
        std::atomic<bool> too_low{false};
        try {
            for (unsigned i = 0; i < all; ++i) {
                // Relaxed: before the thread exists.
                state_->alive.fetch_add(1, std::memory_order_relaxed);
                threads_.emplace_back([&named, &refused, &too_low, this, i, count, state = state_] {
                    name_thread(params_.name, i);
                    if (params_.realtime == 0) {
                        ask_for_short_turns();
                    } else if (!make_realtime(params_.realtime)) {
                        too_low.store(true, std::memory_order_relaxed);  // relaxed: as `refused`
                    }
                    // A spare takes the place of one whose handler may burn that one's processor.
                    if (i < count && !params_.cpus.empty() &&
                        !pin(params_.cpus[i % params_.cpus.size()])) {
                        refused.store(i, std::memory_order_relaxed);  // relaxed: ordered by `named`
                    }
                    // Release pairs with the wait below, after which these two are gone.
                    named.fetch_add(1, std::memory_order_release);
                    serve_jobs(state, i);
                });
            }
        } catch (...) {
            // Relaxed: the one that could not be made.
            state_->alive.fetch_sub(1, std::memory_order_relaxed);
            await(named, static_cast<unsigned>(threads_.size()));
            static_cast<void>(stop(std::chrono::steady_clock::time_point::max()));
            throw;
        }
        await(named, all);
        if (const unsigned bad = refused.load(std::memory_order_relaxed); bad != none) {
            static_cast<void>(stop(std::chrono::steady_clock::time_point::max()));
            throw std::invalid_argument(
                "thread_params::cpus has " +
                std::to_string(params_.cpus[bad % params_.cpus.size()]) +
                ", which this process may not use. See Cpus_allowed_list in /proc/self/status.");
        }
        if (too_low.load(std::memory_order_relaxed)) {
            static_cast<void>(stop(std::chrono::steady_clock::time_point::max()));
            throw std::invalid_argument("thread_params::realtime is " +
                                        std::to_string(params_.realtime) +
                                        ", and the system refuses it: give the process "
                                        "CAP_SYS_NICE or a limit on real-time "
                                        "priority as high (RLIMIT_RTPRIO, ulimit -r), or use 0.");
        }
        return spare;
    }

    /// The first idle thread takes it: spares work only while others are held.
    void submit() noexcept override {
        unsigned i = 0;
        {
            const std::lock_guard lock{state_->guard};
            while (i < state_->count && !state_->places[i].idle) {
                ++i;
            }
            if (i == state_->count) {
                ++state_->pending;
                return;
            }
            state_->places[i].idle = false;
        }
        state_->places[i].wake.release();
    }

    bool stop(std::chrono::steady_clock::time_point deadline) noexcept override {
        if (threads_.empty()) {
            return true;
        }
        for (unsigned i = 0; i < state_->count; ++i) {
            const std::lock_guard lock{state_->guard};
            state_->quit = true;
            if (std::exchange(state_->places[i].idle, false)) {
                state_->places[i].wake.release();
            }
        }
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
            for (std::thread& thread : threads_) {
                thread.detach();  // a job never ended: its thread is left behind by intent
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
