// SPDX-License-Identifier: Apache-2.0
//
// The process-wide handler and counters, and each thread's latest violation. The handler and its
// context are read as a pair through a sequence counter: reports are rare and may retry.
#include <ropeway/pool/violation.hpp>

#include <cstdlib>

namespace ropeway {

namespace {

struct handler_cell {
    std::atomic<std::uint32_t> sequence{0};  ///< odd while being changed
    std::atomic<violation_handler> handler{nullptr};
    std::atomic<void*> context{nullptr};
};
constinit handler_cell current_handler;
constinit violation_counts process_counts;

struct thread_violations {
    std::uint64_t count = 0;
    violation last{};
};
thread_local constinit thread_violations this_thread_violations;

}  // namespace

void set_violation_handler(violation_handler handler, void* context) noexcept {
    handler_cell& cell = current_handler;
    std::uint32_t even = cell.sequence.load(std::memory_order_relaxed);  // re-checked by the CAS
    do {
        even &= ~std::uint32_t{1};
        // acquire: the stores below stay behind it; pairs with the release of another setter
    } while (!cell.sequence.compare_exchange_weak(even, even + 1, std::memory_order_acquire,
                                                  std::memory_order_relaxed));
    // release (both): a reader that sees a new value also sees the odd sequence
    cell.handler.store(handler, std::memory_order_release);
    cell.context.store(context, std::memory_order_release);
    cell.sequence.store(even + 2, std::memory_order_release);  // pairs with report_violation
}

std::uint64_t violation_counts::total() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& count : counts_) {
        sum += count.load(std::memory_order_relaxed);  // relaxed: a number for a report
    }
    return sum;
}

const violation_counts& all_violations() noexcept { return process_counts; }

void report_violation(const violation& what, violation_policy policy) noexcept {
    process_counts.add(what.kind);
    this_thread_violations.last = what;
    ++this_thread_violations.count;
    const handler_cell& cell = current_handler;
    violation_handler handler = nullptr;
    void* context = nullptr;
    std::uint32_t before = 0;
    do {
        before = cell.sequence.load(std::memory_order_acquire);  // pairs with the setter's last
        // acquire (both): the sequence is read again after them
        handler = cell.handler.load(std::memory_order_acquire);
        context = cell.context.load(std::memory_order_acquire);
    } while ((before & 1) != 0 ||
             before != cell.sequence.load(std::memory_order_relaxed));  // ordered by the acquires
    if (handler != nullptr) {
        violation told = what;
        told.ends_process = told.ends_process || policy == violation_policy::abort;
        handler(told, context);
    }
    if (policy == violation_policy::abort) {
        std::abort();
    }
}

std::uint64_t violations_of_this_thread() noexcept { return this_thread_violations.count; }

const violation& last_violation_of_this_thread() noexcept { return this_thread_violations.last; }

void throw_if_new(std::uint64_t before, violation_policy policy) {
    if (policy == violation_policy::throw_error && this_thread_violations.count != before)
        [[unlikely]] {
        throw violation_error{this_thread_violations.last};
    }
}

violation_error::violation_error(const violation& what)
    : std::runtime_error(to_string(what)), what_(what) {}

}  // namespace ropeway
