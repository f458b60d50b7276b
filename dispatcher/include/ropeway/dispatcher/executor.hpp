// SPDX-License-Identifier: Apache-2.0
//
// Where workers run: the seam between the dispatcher and threads. An arena of oneTBB's (default) or
// own threads; an executor serves one group of workers.
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace ropeway {

/// The host allows oneTBB fewer threads than the workers need.
class parallelism_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Runs jobs. Ownership: held by its dispatcher. Thread safety: submit() from any thread; start()
/// and stop() from the thread that starts and stops the dispatcher.
class executor {
  public:
    using job = std::shared_ptr<void>;       ///< keeps what the job works on alive
    using entry = void (*)(void*) noexcept;  ///< called with the job's pointer

    executor() = default;
    executor(const executor&) = delete;
    executor& operator=(const executor&) = delete;
    virtual ~executor() = default;

    /// Makes ready to run `run(what.get())` up to `count` times at once, and up to `spare` times
    /// more while that many are held, and keeps `what` until stop(). Returns how many spares it
    /// has. Throws parallelism_error with the remedy when `count` cannot run, and std::logic_error
    /// at a second call: an executor serves one group of workers. Whatever it throws, it keeps
    /// nothing.
    virtual unsigned start(unsigned count, unsigned spare, entry run, job what) = 0;
    /// Runs the job once more, soon, on one of its threads.
    virtual void submit() noexcept = 0;
    /// Called about once a millisecond, by one thread, while a submitted job may not have begun: an
    /// executor whose threads can sleep through a submit() wakes them again. Default: nothing.
    virtual void nudge() noexcept {}
    /// Ends its threads, waiting until the deadline for jobs to finish. Returns true when all are
    /// gone; false when a job still runs (its thread is then left behind, by intent).
    virtual bool stop(std::chrono::steady_clock::time_point deadline) noexcept = 0;
    /// What kind it is, for reports: "arena" or "threads".
    [[nodiscard]] virtual const char* kind() const noexcept = 0;
};

/// An own tbb::task_arena; owns a tbb::global_control so that as many workers run as were asked
/// for, whatever the number of processors. Its threads are gone after stop() when nobody else in
/// the process uses oneTBB. A thread that runs a job is named after `name`, cut at 12 characters,
/// and a number, until another arena's job names it differently.
[[nodiscard]] std::shared_ptr<executor> make_arena_executor(std::string name = "ropeway");

struct thread_params {
    std::string name = "ropeway";  ///< thread name prefix
    /// Processor of each thread in turn; empty: not pinned. start() throws std::invalid_argument
    /// for one that this process may not use.
    std::vector<int> cpus{};
    /// Processors of this NUMA node, when `cpus` is empty; -1 (default): any. start() throws
    /// std::invalid_argument for a node that the system does not have.
    int numa_node = -1;
    /// Real-time priority (SCHED_FIFO), 1..99; 0 (default): none, but turns of 0.1 ms are asked
    /// for. What keeps latency where others burn every processor: the system hands one over to a
    /// real-time thread at once, to others at its next tick. Needs CAP_SYS_NICE or RLIMIT_RTPRIO;
    /// start() throws std::invalid_argument when refused. Not with a wait strategy that never
    /// sleeps, unless the thread has a processor of its own: nothing else runs there.
    int realtime = 0;
};

/// Own named threads, parked on a semaphore while there is nothing to do. Right wherever the host
/// uses oneTBB itself, and under ThreadSanitizer, which does not see into oneTBB.
[[nodiscard]] std::shared_ptr<executor> make_thread_executor(thread_params params = {});

}  // namespace ropeway
