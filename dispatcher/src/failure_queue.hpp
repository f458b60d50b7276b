// SPDX-License-Identifier: Apache-2.0
//
// Carries failure records off the workers: moodycamel's queue behind the one header that includes
// it, bounded by a count of its own. push() from any worker, take() from one thread. Private.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

#include <concurrentqueue/concurrentqueue.h>

#include <ropeway/consumer/failure_sink.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/cache_line.hpp>

#include "spin.hpp"

namespace ropeway::detail {

class failure_queue final : public failure_sink {
  public:
    failure_queue(std::uint32_t capacity, std::chrono::nanoseconds wait)
        : capacity_(capacity), wait_(wait), queue_(capacity) {}
    virtual ~failure_queue() = default;

    bool push(const failure_record& record) noexcept override {
        if (!reserve() || !queue_.enqueue(record)) {
            dropped_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
            return false;
        }
        recorded_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
        return true;
    }
    std::size_t take(std::span<failure_record> out) noexcept {
        const std::size_t got = queue_.try_dequeue_bulk(out.data(), out.size());
        // Relaxed: only bounds the queue; the queue orders its records itself.
        waiting_.fetch_sub(static_cast<std::uint32_t>(got), std::memory_order_relaxed);
        return got;
    }
    [[nodiscard]] std::uint64_t recorded() const noexcept {
        return recorded_.load(std::memory_order_relaxed);  // relaxed: a count
    }
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);  // relaxed: a count
    }

  private:
    /// Takes one place, waiting at most `wait_` for the reader to make room.
    bool reserve() noexcept {
        if (try_reserve()) {
            return true;
        }
        const auto until = end_of_wait(wait_);
        while (steady_clock::now() < until) {
            sleep_for(std::chrono::microseconds{100});
            if (try_reserve()) {
                return true;
            }
        }
        return false;
    }
    bool try_reserve() noexcept {
        // Relaxed: a bound, not an order.
        if (waiting_.fetch_add(1, std::memory_order_relaxed) < capacity_) {
            return true;
        }
        waiting_.fetch_sub(1, std::memory_order_relaxed);
        return false;
    }

    std::uint32_t capacity_;
    std::chrono::nanoseconds wait_;
    moodycamel::ConcurrentQueue<failure_record> queue_;
    alignas(cache_block) atomic<std::uint32_t> waiting_{0};
    atomic<std::uint64_t> recorded_{0};
    atomic<std::uint64_t> dropped_{0};
};

}  // namespace ropeway::detail
