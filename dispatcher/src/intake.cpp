// SPDX-License-Identifier: Apache-2.0
//
// The shared intake: lines of slots per thread (moodycamel's queue, one token per thread), and the
// pump that lets them go on through one publisher.
#include <ropeway/dispatcher/intake.hpp>

#include <array>
#include <new>

#include <concurrentqueue/concurrentqueue.h>

#include <ropeway/dispatcher/binding.hpp>

#include "params_check.hpp"
#include "spin.hpp"

namespace ropeway::detail {

/// Tokens by thread number, in pages made at a thread's first publish. A thread's number is never
/// given again, so each entry has one user.
struct intake_core::line {
    using queue = moodycamel::ConcurrentQueue<slot_ref>;
    static constexpr std::size_t page_size = 256;
    struct page {
        std::array<std::unique_ptr<moodycamel::ProducerToken>, page_size> tokens;
    };

    explicit line(std::size_t capacity) : events(capacity) {}
    ~line() {
        for (auto& one : pages) {
            // Relaxed: nobody publishes any more.
            std::unique_ptr<page>{one.load(std::memory_order_relaxed)}.reset();
        }
    }
    line(const line&) = delete;
    line& operator=(const line&) = delete;

    /// The calling thread's; null for the number that threads beyond the last one share.
    [[nodiscard]] moodycamel::ProducerToken* token() {
        const std::uint16_t number = thread_number();
        if (number == last_thread_number) {
            return nullptr;
        }
        atomic<page*>& place = pages[number / page_size];
        page* here = place.load(std::memory_order_acquire);  // pairs with the exchange below
        if (here == nullptr) {
            auto made = std::make_unique<page>();
            if (place.compare_exchange_strong(here, made.get(), std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
                here = made.release();
            }
        }
        auto& mine = here->tokens[number % page_size];
        if (mine == nullptr) {
            mine = std::make_unique<moodycamel::ProducerToken>(events);
        }
        return mine.get();
    }

    queue events;
    std::array<atomic<page*>, 65536 / page_size> pages{};
};

intake_core::intake_core(engine& owner, std::string name, slot_pool_params pool)
    : owner_(&owner),
      name_(std::move(name)),
      pool_(std::move(pool)),
      line_(std::make_unique<line>(pool_.capacity())) {}

intake_core::~intake_core() = default;

bool intake_core::put_in_line(slot_ref event) noexcept {
    try {
        moodycamel::ProducerToken* const mine = line_->token();
        if (!(mine != nullptr ? line_->events.enqueue(*mine, event)
                              : line_->events.enqueue(event))) {
            return false;
        }
    } catch (const std::bad_alloc&) {
        return false;
    }
    taken_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    // seq_cst: before the look at `pumping_`, in one order with pump().
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    return true;
}

bool intake_core::take(slot_ref& out) noexcept { return line_->events.try_dequeue(out); }

bool intake_core::pump() noexcept {
    const handler_scope nobody_serves;  // a handler in here would hold up all who pump, and stop()
    bool passed = false;
    bool again = true;
    while (again) {
        // seq_cst: whoever finds it taken has counted its event before, and we look at the count
        // after we have given it back.
        if (pumping_.exchange(1, std::memory_order_seq_cst) != 0) {
            return passed;
        }
        blocked_ = false;
        while (!blocked_ && (has_next_ || take(next_))) {
            has_next_ = true;
            if (pass_on(next_)) {
                passed = true;
                has_next_ = false;
                waiting_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a count of ours
            } else {
                blocked_ = true;
            }
        }
        const bool blocked = blocked_;
        pumping_.store(0, std::memory_order_seq_cst);
        again = waits() && !blocked;
        if (blocked) {
            owner_->something_to_tell();  // the supervisor pumps, and whoever makes room
        }
    }
    return passed;
}

void intake_core::close() noexcept {
    closed_.store(1, std::memory_order_seq_cst);  // see enter()
    backoff wait;
    while (inside_.load(std::memory_order_acquire) != 0) {  // pairs with leave()
        wait.pause();
    }
}

bool intake_core::take_left(slot_ref& out) noexcept {
    // seq_cst: as in pump(); nobody gives it back to us meanwhile but a pump that ends.
    backoff wait;
    while (pumping_.exchange(1, std::memory_order_seq_cst) != 0) {
        wait.pause();
    }
    bool found = has_next_;
    if (found) {
        out = next_;
        has_next_ = false;
    } else {
        found = take(out);
    }
    if (found) {
        waiting_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a count
    }
    pumping_.store(0, std::memory_order_seq_cst);
    return found;
}

intake_stats intake_core::stats() const {
    intake_stats out;
    out.name = name_;
    // Relaxed throughout: numbers.
    out.taken = taken_.load(std::memory_order_relaxed);
    out.refused = refused_.load(std::memory_order_relaxed);
    out.waiting = waiting_.load(std::memory_order_relaxed);
    out.capacity = pool_.capacity();
    return out;
}

void engine::add_intake(std::unique_ptr<intake_core> made) {
    const std::lock_guard lock{registry_};
    const std::uint32_t count = intake_count_.load(std::memory_order_relaxed);  // under the lock
    if (stopped_) {
        made->close();
    }
    intakes_[count] = std::move(made);  // each has a publisher, of which there are no more
    intake_count_.store(count + 1, std::memory_order_release);  // pairs with pump_intakes()
}

slot_pool_params engine::intake_pool(std::string_view name, const intake_params& params) const {
    in_range("intake_params::capacity", params.capacity, 64, 1U << 20U);
    slot_pool_params pool;
    pool.storage = storage("/" + std::string{name} + " intake", params.capacity,
                           duplicates_->storage().level());
    pool.storage.meta = meta_use::site;
    pool.magazine_entries = 1;  // many threads get, one puts: what one parks the others lack
    pool.max_threads = 64;
    return pool;
}

bool engine::pump_intakes() noexcept {
    bool waits = false;
    bool passed = false;
    // Acquire pairs with add_intake().
    const std::uint32_t count = intake_count_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < count; ++i) {
        if (intakes_[i]->waits()) {
            passed |= intakes_[i]->pump();
            waits |= intakes_[i]->waits();
        }
    }
    if (passed) {
        serve_inline_later();  // the supervisor runs no handlers
    }
    return waits;
}

void engine::close_intakes(std::chrono::steady_clock::time_point until) noexcept {
    const std::uint32_t count = intake_count_.load(std::memory_order_acquire);  // add_intake()
    for (std::uint32_t i = 0; i < count; ++i) {
        intakes_[i]->close();
    }
    const bool started = started_.load(std::memory_order_acquire) != 0;  // pairs with start()
    backoff wait;
    while (pump_intakes() && started && steady_clock::now() < until) {
        wake();
        ramp();
        serve_inline();
        wait.pause();
    }
}

void engine::collect_intakes(stop_report& report, const undelivered_callback& tell) noexcept {
    const std::uint32_t count = intake_count_.load(std::memory_order_acquire);  // add_intake()
    for (std::uint32_t i = 0; i < count; ++i) {
        intake_core& from = *intakes_[i];
        std::uint64_t left = 0;
        for (slot_ref slot; from.take_left(slot); from.recycle(slot)) {
            const void* const event = from.pool().payload(slot.index);
            ++left;
            ++report.undelivered;
            if (from.critical(event)) {
                ++report.undelivered_critical;
                if (tell) {
                    const handler_scope inside;
                    tell(from.stats().name, event);
                }
            }
        }
        if (left != 0) {
            report.unfinished.push_back(from.stats().name);
        }
        from.pool().flush_thread();
        report.slots_outstanding += from.pool().outstanding();
    }
}

}  // namespace ropeway::detail
