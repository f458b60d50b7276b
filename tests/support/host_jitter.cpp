// SPDX-License-Identifier: Apache-2.0
#include "host_jitter.hpp"

#include "child_process.hpp"
#include "processors.hpp"

namespace ropeway_test {
namespace {

// What a deadline missed by so much tells of: nothing where a timer is just as late as timers are.
std::int64_t stall(std::int64_t late) {
    constexpr std::int64_t a_timers_ns = 500'000;
    return late > a_timers_ns ? late : 0;
}

std::int64_t now_ns() {
    return std::chrono::nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

}  // namespace

host_jitter::host_jitter() : began_waiting_(processor_wait{}.total()) {
    const std::vector<std::size_t> processors = processors_of_this_process();
    running_.emplace(static_cast<std::ptrdiff_t>(processors.size()));
    for (const std::size_t processor : processors) {
        lateness& mine = each_.emplace_back();
        threads_.emplace_back([this, processor, &mine] {
            stay_on(processor);
            wait_for_deadlines(mine);
        });
    }
    running_->wait();
}

host_jitter::~host_jitter() {
    ended_.store(true, std::memory_order_relaxed);  // relaxed: publishes nothing else
    for (std::thread& one : threads_) {
        one.join();
    }
}

void host_jitter::wait_for_deadlines(lateness& mine) {
    constexpr std::chrono::milliseconds step{1};
    mine.due_ns = now_ns();
    running_->count_down();
    // Relaxed: a flag that publishes nothing else.
    while (!ended_.load(std::memory_order_relaxed)) {
        {
            const std::lock_guard lock{mine.guard};
            const std::int64_t now = now_ns();
            mine.late_ns += stall(now - mine.due_ns);
            mine.due_ns = now + std::chrono::nanoseconds{step}.count();
        }
        pause_for(step);
    }
}

std::chrono::nanoseconds host_jitter::lost() const {
    const std::int64_t now = now_ns();  // what comes later is not what was measured
    std::int64_t sum = 0;
    for (lateness& one : each_) {
        const std::lock_guard lock{one.guard};
        sum += one.late_ns + stall(now - one.due_ns);
    }
    return std::chrono::nanoseconds{sum} + processor_wait{}.total() - began_waiting_;
}

}  // namespace ropeway_test
