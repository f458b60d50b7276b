// SPDX-License-Identifier: Apache-2.0
//
// A resource whose end is a struct of switches, for tests of resource_pool on real time. The
// switches are set by the test, from any thread; the resource itself obeys the pool's rules and
// counts where the pool breaks them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include <ropeway/pool/resource_pool.hpp>

namespace ropeway_test {

/// Whether `holds()` comes true within 10 s.
template <class Condition>
bool soon(const Condition& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{10};
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

/// The other end of all resources of one test.
struct scripted_end {
    std::atomic<bool> up{true};
    std::atomic<int> fail_opens{0};  ///< so many opens fail from now on
    std::atomic<ropeway::resource_error_kind> kind{ropeway::resource_error_kind::unavailable};
    std::atomic<int> epoch{0};  ///< a resource opened in an older one is dead
    std::atomic<bool> hang_probes{false};
    std::atomic<int> alive{0};
    std::atomic<int> most_alive{0};
    std::atomic<int> opens{0};
    std::atomic<int> probes{0};
    std::atomic<int> resets{0};
    std::atomic<int> farewells{0};
    std::atomic<int> shared{0};  ///< two threads at once in one resource: the pool's fault
};

class scripted_resource : public ropeway::pooled_resource {
  public:
    explicit scripted_resource(scripted_end& end) : end_(end) {}
    ~scripted_resource() override { scripted_resource::drop(); }

    ropeway::resource_step begin(ropeway::resource_task task) noexcept override {
        const entry one(*this);
        using ropeway::resource_task;
        using ropeway::step_state;
        switch (task) {
            case resource_task::open:
                ++end_.opens;
                if (!end_.up || end_.fail_opens.fetch_sub(1) > 0) {
                    return fail(end_.kind);
                }
                end_.fail_opens = std::max(end_.fail_opens.load(), 0);
                open_ = true;
                epoch_ = end_.epoch;
                {
                    const int alive = ++end_.alive;
                    int most = end_.most_alive;
                    while (alive > most && !end_.most_alive.compare_exchange_weak(most, alive)) {
                    }
                }
                return {};
            case resource_task::probe:
                ++end_.probes;
                if (end_.hang_probes) {
                    return {.state = step_state::wants_read, .fd = -1};
                }
                return dead() ? fail(ropeway::resource_error_kind::broken)
                              : ropeway::resource_step{};
            case resource_task::reset:
                ++end_.resets;
                returns_ = ropeway::return_state::clean;
                return dead() ? fail(ropeway::resource_error_kind::broken)
                              : ropeway::resource_step{};
            case resource_task::close: ++end_.farewells; return {};
        }
        return {};
    }
    ropeway::resource_step resume() noexcept override {
        return {.state = ropeway::step_state::wants_read, .fd = -1};
    }
    ropeway::resource_health check() noexcept override {
        const entry one(*this);
        return dead() ? ropeway::resource_health::dead : health_;
    }
    [[nodiscard]] int idle_fd() const noexcept override { return -1; }
    ropeway::return_state on_return() noexcept override {
        if (const auto first = std::exchange(before_return, nullptr)) {
            first();
        }
        const entry one(*this);
        return dead() ? ropeway::return_state::broken : returns_;
    }
    void drop() noexcept override {
        const entry one(*this);
        if (open_) {
            open_ = false;
            --end_.alive;
        }
    }
    [[nodiscard]] const ropeway::resource_error& error() const noexcept override { return error_; }

    /// What the holder does with it.
    void use() noexcept {
        const entry one(*this);
        ++uses;
    }
    /// The same with so many statements, which count towards max_uses.
    void run(std::uint64_t statements) noexcept {
        use();
        count_use(statements);
    }
    void come_back(ropeway::return_state as) noexcept { returns_ = as; }
    void look(ropeway::resource_health as) noexcept { health_ = as; }
    std::uint64_t uses = 0;
    /// Done once, in the middle of its next return: after the pool has looked whether it is asked
    /// for, and before the slot is idle.
    std::function<void()> before_return{};

  private:
    /// Counts where two threads are inside at once.
    class entry {
      public:
        explicit entry(scripted_resource& of) noexcept : of_(of) {
            if (of_.inside_.fetch_add(1) != 0) {
                ++of_.end_.shared;
            }
        }
        entry(const entry&) = delete;
        entry& operator=(const entry&) = delete;
        ~entry() { --of_.inside_; }

      private:
        scripted_resource& of_;
    };
    [[nodiscard]] bool dead() const noexcept { return !open_ || epoch_ != end_.epoch; }
    ropeway::resource_step fail(ropeway::resource_error_kind kind) noexcept {
        error_.kind = kind;
        error_.text = "scripted";
        return {.state = ropeway::step_state::failed};
    }

    scripted_end& end_;
    std::atomic<int> inside_{0};
    bool open_ = false;
    int epoch_ = 0;
    ropeway::return_state returns_ = ropeway::return_state::clean;
    ropeway::resource_health health_ = ropeway::resource_health::usable;
    ropeway::resource_error error_{};
};

using scripted_pool = ropeway::resource_pool<scripted_resource>;

[[nodiscard]] inline auto made_by(scripted_end& end) {
    return [&end] { return std::make_unique<scripted_resource>(end); };
}

}  // namespace ropeway_test
