// SPDX-License-Identifier: Apache-2.0
//
// The reference of the pool rows: a mutex, a condition variable and a stack of free resources, as
// a careful author writes it. It counts nothing, traces nothing, checks nothing: it is what a pool
// costs that only lends. Any thread; must outlive its loans.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace ropeway::bench {

template <class R>
class mutex_pool {
  public:
    /// Gives its resource back when destroyed.
    class [[nodiscard]] loan {
      public:
        loan() noexcept = default;
        loan(mutex_pool& from, R& what) noexcept : from_(&from), what_(&what) {}
        loan(loan&& other) noexcept
            : from_(other.from_), what_(std::exchange(other.what_, nullptr)) {}
        loan& operator=(loan&&) = delete;
        ~loan() {
            if (what_ != nullptr) {
                from_->give_back(*what_);
            }
        }
        [[nodiscard]] explicit operator bool() const noexcept { return what_ != nullptr; }
        [[nodiscard]] R* operator->() const noexcept { return what_; }

      private:
        mutex_pool* from_ = nullptr;
        R* what_ = nullptr;
    };

    explicit mutex_pool(std::size_t resources) {
        free_.reserve(resources);
        for (std::size_t i = 0; i < resources; ++i) {
            all_.push_back(std::make_unique<R>());
            free_.push_back(all_.back().get());
        }
    }

    /// Empty when the time is over.
    [[nodiscard]] loan acquire(std::chrono::nanoseconds timeout) {
        std::unique_lock<std::mutex> held{mutex_};
        if (free_.empty()) {
            ++waiting_;
            const bool in_time =
                came_back_.wait_for(held, timeout, [this] { return !free_.empty(); });
            --waiting_;
            if (!in_time) {
                return {};
            }
        }
        R* const got = free_.back();  // the one used last: its lines are the warmest
        free_.pop_back();
        return {*this, *got};
    }

    /// Of all resources; nobody holds one.
    [[nodiscard]] const std::vector<std::unique_ptr<R>>& all() const noexcept { return all_; }

  private:
    void give_back(R& what) noexcept {
        bool somebody_waits = false;
        {
            const std::lock_guard<std::mutex> held{mutex_};
            free_.push_back(&what);  // there is room: see the constructor
            somebody_waits = waiting_ != 0;
        }
        if (somebody_waits) {
            came_back_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable came_back_;
    std::vector<R*> free_;                 ///< guarded by mutex_
    unsigned waiting_ = 0;                 ///< guarded by mutex_
    std::vector<std::unique_ptr<R>> all_;  ///< constant after construction
};

}  // namespace ropeway::bench
