// SPDX-License-Identifier: Apache-2.0
#include "host_jitter.hpp"

#include "child_process.hpp"

#include <algorithm>
#include <cstddef>
#include <fstream>

#include <sched.h>

namespace ropeway_test {
namespace {

// How long the calling thread was ready to run but did not; zero where the kernel does not say.
std::chrono::nanoseconds waited_for_a_processor() {
    std::ifstream in{"/proc/thread-self/schedstat"};
    std::int64_t ran = 0;
    std::int64_t waited = 0;
    in >> ran >> waited;
    return std::chrono::nanoseconds{waited};
}

std::vector<std::size_t> processors_of_this_process() {
    cpu_set_t set{};
    std::vector<std::size_t> out;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (std::size_t one = 0; one < CPU_SETSIZE; ++one) {
            if (CPU_ISSET(one, &set)) {
                out.push_back(one);
            }
        }
    }
    return out;
}

void stay_on(std::size_t processor) {
    cpu_set_t set{};
    CPU_SET(processor, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

std::int64_t now_ns() {
    return std::chrono::nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

}  // namespace

host_jitter::host_jitter() : began_waiting_(waited_for_a_processor()) {
    for (const std::size_t processor : processors_of_this_process()) {
        lateness& mine = each_.emplace_back();
        threads_.emplace_back([this, processor, &mine] {
            stay_on(processor);
            wait_for_deadlines(mine);
        });
    }
    for (const lateness& one : each_) {
        one.due_ns.wait(0, std::memory_order_relaxed);  // relaxed: the deadline is all it reads
    }
}

host_jitter::~host_jitter() {
    ended_.store(true, std::memory_order_relaxed);  // relaxed: publishes nothing else
    for (std::thread& one : threads_) {
        one.join();
    }
}

void host_jitter::wait_for_deadlines(lateness& mine) const {
    constexpr std::chrono::milliseconds step{1};
    std::int64_t worst = 0;
    // Relaxed: a flag that publishes nothing else.
    while (!ended_.load(std::memory_order_relaxed)) {
        const std::int64_t due = now_ns() + std::chrono::nanoseconds{step}.count();
        // Release: pairs with worst(), which sees the deadlines before this one judged.
        mine.due_ns.store(due, std::memory_order_release);
        mine.due_ns.notify_one();
        pause_for(step);
        worst = std::max(worst, now_ns() - due);
        // Relaxed: published by the next due_ns; until then worst() judges this deadline itself.
        mine.worst_ns.store(worst, std::memory_order_relaxed);
    }
}

std::chrono::nanoseconds host_jitter::worst() const {
    // Before any deadline is read: one that is found met since then has its lateness in worst_ns.
    const std::int64_t now = now_ns();
    std::int64_t sum = 0;
    for (const lateness& one : each_) {
        // Acquire: pairs with wait_for_deadlines(): the worst of all deadlines before this one.
        const std::int64_t due = one.due_ns.load(std::memory_order_acquire);
        // Relaxed: ordered by the load above.
        sum += std::max(one.worst_ns.load(std::memory_order_relaxed), now - due);
    }
    return std::chrono::nanoseconds{sum} + waited_for_a_processor() - began_waiting_;
}

}  // namespace ropeway_test
