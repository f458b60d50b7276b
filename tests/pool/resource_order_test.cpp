// SPDX-License-Identifier: Apache-2.0
//
// Orders of the pool that meet a lease in the middle of its return, when its holder has looked for
// them already: none is lost, and none is obeyed twice.
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <ropeway/pool/resource_pool.hpp>

#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway::close_reason;
using ropeway::resource_event_kind;
using ropeway_test::made_by;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;
using ropeway_test::soon;

namespace {

/// Two open resources, of which one is leased.
class half_leased {
  public:
    explicit half_leased(std::chrono::milliseconds leak_timeout = 60s) {
        ropeway::resource_pool_params params;
        params.name = "ordered about";
        params.min_size = 2;
        params.max_size = 2;
        params.leak_timeout = leak_timeout;
        params.observer = [this](const ropeway::resource_event& event) {
            ++told_.at(static_cast<std::size_t>(event.kind));
        };
        pool_.emplace(made_by(end), params);
        REQUIRE_FALSE(pool_->start().has_value());
        held.emplace(pool_->acquire(5s));
        REQUIRE(*held);
    }
    scripted_pool& pool() { return *pool_; }
    int told(resource_event_kind kind) const { return told_.at(static_cast<std::size_t>(kind)); }
    std::uint64_t closed(close_reason why) {
        return pool_->snapshot().closed[static_cast<std::size_t>(why)];
    }
    scripted_end end;

  private:
    std::array<std::atomic<int>, 64> told_{};  ///< by kind
    std::optional<scripted_pool> pool_;

  public:
    std::optional<ropeway::acquired<ropeway_test::scripted_resource>> held;
};

}  // namespace

TEST_CASE("an eviction in the middle of a return closes the resource after all") {
    half_leased h;
    bool evicted = false;
    (*h.held)->before_return = [&] {
        h.pool().soft_evict();
        // Slot by slot: when the idle one behind it is closed, the leased one has been asked for.
        evicted = soon([&] { return h.closed(close_reason::evicted) == 1; });
    };
    h.held->held().reset();
    CHECK(evicted);
    CHECK(soon([&] { return h.closed(close_reason::evicted) == 2; }));
    CHECK(soon([&] { return h.pool().snapshot().idle == 2; }));
    CHECK(h.pool().snapshot().opened == 4);
    CHECK(h.pool().shutdown(5s).clean());
    CHECK(h.end.alive == 0);
}

TEST_CASE("an eviction closes a resource that comes back dirty") {
    half_leased h;
    h.pool().soft_evict();
    CHECK(soon([&] { return h.closed(close_reason::evicted) == 1; }));
    (*h.held)->come_back(ropeway::return_state::dirty);
    h.held->held().reset();
    CHECK(soon([&] { return h.closed(close_reason::evicted) == 2; }));
    CHECK(h.end.resets == 0);
    CHECK(h.pool().shutdown(5s).clean());
}

TEST_CASE("a leak that is found in the middle of a return is told to have come back, once") {
    half_leased h(20ms);
    bool found = false;
    (*h.held)->before_return = [&] {
        found = soon([&] { return h.told(resource_event_kind::leak) == 1; });
    };
    h.held->held().reset();
    CHECK(found);
    CHECK(soon([&] { return h.told(resource_event_kind::leak_returned) == 1; }));
    CHECK(soon([&] { return h.pool().snapshot().idle == 2; }));
    CHECK(h.pool().snapshot().overdue == 0);
    CHECK(h.pool().shutdown(5s).clean());
    CHECK(h.told(resource_event_kind::leak_returned) == 1);
}

TEST_CASE("a resource that comes back while the end of its pool cuts it off is dropped") {
    half_leased h;
    ropeway::resource_shutdown_report report;
    std::thread ender;
    (*h.held)->before_return = [&] {
        ender = std::thread([&] { report = h.pool().shutdown(10ms); });
        CHECK(soon([&] { return h.closed(close_reason::forced) == 1; }));
    };
    h.held->held().reset();
    ender.join();
    CHECK(report.forced.size() == 1);
    CHECK(h.closed(close_reason::forced) == 1);
    CHECK(h.closed(close_reason::evicted) == 0);
    CHECK(soon([&] { return h.end.alive == 0; }));
}

TEST_CASE("a shutdown that begins in the middle of a return does not wait for its deadline") {
    half_leased h;
    ropeway::resource_shutdown_report report;
    std::thread ender;
    (*h.held)->before_return = [&] {
        ender = std::thread([&] { report = h.pool().shutdown(60s); });
        CHECK(soon([&] { return h.told(resource_event_kind::shutdown_begun) == 1; }));
    };
    h.held->held().reset();
    ender.join();
    CHECK(report.clean());
    CHECK(report.lasted < 30s);
    CHECK(h.end.alive == 0);
}

TEST_CASE("a caller who begins to wait in the middle of a return is served by it") {
    scripted_end end;
    ropeway::resource_pool_params params;
    params.name = "waited for";
    params.min_size = 1;
    params.max_size = 1;
    scripted_pool pool(made_by(end), params);
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire(5s);
    REQUIRE(held);
    bool served = false;
    std::thread waiter;
    held->before_return = [&] {
        waiter = std::thread([&] { served = static_cast<bool>(pool.acquire(20s)); });
        CHECK(soon([&] { return pool.snapshot().waiting == 1; }));
    };
    held.held().reset();
    waiter.join();
    CHECK(served);
    CHECK(pool.snapshot().longest_wait_60s < 15s);
    CHECK(pool.shutdown(5s).clean());
}

TEST_CASE("an observer may change the sizes of a pool that ends") {
    scripted_end end;
    ropeway::resource_pool_params params;
    params.name = "resized at its end";
    params.min_size = 1;
    params.max_size = 2;
    scripted_pool* ending = nullptr;
    params.observer = [&ending](const ropeway::resource_event& event) {
        if (event.kind == resource_event_kind::shutdown_begun) {
            ending->resize(0, 1);
        }
    };
    scripted_pool pool(made_by(end), params);
    ending = &pool;
    REQUIRE_FALSE(pool.start().has_value());
    CHECK(pool.shutdown(5s).clean());
    CHECK(pool.snapshot().max_size == 1);
    CHECK(end.alive == 0);
}

namespace {

/// Notes on which thread it is opened. Its open takes so long; for ever if that is negative.
class opened_resource : public ropeway::pooled_resource {
  public:
    struct log {
        std::atomic<int> here{0};
        std::atomic<int> elsewhere{0};
        std::atomic<int> alive{0};
        std::thread::id caller = std::this_thread::get_id();
        std::chrono::milliseconds takes{0};
    };
    explicit opened_resource(log& of) : log_(of) {}
    ~opened_resource() override { opened_resource::drop(); }
    ropeway::resource_step begin(ropeway::resource_task task) noexcept override {
        if (task != ropeway::resource_task::open) {
            return {};
        }
        ++(std::this_thread::get_id() == log_.caller ? log_.here : log_.elsewhere);
        ++log_.alive;
        open_ = true;
        due_ = std::chrono::steady_clock::now() + log_.takes;
        return resume();
    }
    ropeway::resource_step resume() noexcept override {
        const auto left = due_ - std::chrono::steady_clock::now();
        if (log_.takes.count() >= 0 && left <= 0ns) {
            return {};
        }
        return {.state = ropeway::step_state::wants_read,
                .fd = -1,
                .after = log_.takes.count() < 0 ? -1ns : std::chrono::nanoseconds{left}};
    }
    ropeway::resource_health check() noexcept override { return ropeway::resource_health::usable; }
    [[nodiscard]] int idle_fd() const noexcept override { return -1; }
    ropeway::return_state on_return() noexcept override { return ropeway::return_state::clean; }
    void drop() noexcept override { log_.alive -= std::exchange(open_, false) ? 1 : 0; }
    [[nodiscard]] const ropeway::resource_error& error() const noexcept override { return none_; }

  private:
    log& log_;
    bool open_ = false;
    std::chrono::steady_clock::time_point due_{};
    ropeway::resource_error none_{};
};
using opened_pool = ropeway::resource_pool<opened_resource>;

ropeway::resource_pool_params opens(std::uint32_t least) {
    ropeway::resource_pool_params params;
    params.name = "opened";
    params.min_size = least;
    params.max_size = 8;
    return params;
}

}  // namespace

TEST_CASE("the thread in start() opens one of several resources, and never the only one") {
    for (const std::uint32_t least : {1U, 2U, 5U}) {
        opened_resource::log log;
        log.takes = 3ms;
        opened_pool pool([&] { return std::make_unique<opened_resource>(log); }, opens(least));
        REQUIRE_FALSE(pool.start().has_value());
        CHECK(pool.snapshot().idle == least);
        CHECK(log.here + log.elsewhere == static_cast<int>(least));
        CHECK(log.here <= (least > 1 ? 1 : 0));
        CHECK(pool.times().create.count() == least);
        CHECK(pool.shutdown(5s).clean());
        CHECK(log.alive == 0);
    }
}

TEST_CASE("an open on the thread in start() ends at its deadline, and start() says why") {
    opened_resource::log log;
    log.takes = -1ms;
    auto params = opens(2);
    params.connect_timeout = 100ms;
    params.startup_attempts = 1;
    opened_pool pool([&] { return std::make_unique<opened_resource>(log); }, params);
    const auto begun = std::chrono::steady_clock::now();
    const auto why = pool.start();
    REQUIRE(why.has_value());
    CHECK(why->kind == ropeway::resource_error_kind::unavailable);
    CHECK(std::chrono::steady_clock::now() - begun < 10s);
    CHECK(log.alive == 0);
}

TEST_CASE("a shutdown ends an open that goes on in start()") {
    for (int round = 0; round != 20; ++round) {
        opened_resource::log log;
        log.takes = -1ms;
        auto params = opens(3);
        params.connect_timeout = 60s;
        opened_pool pool([&] { return std::make_unique<opened_resource>(log); }, params);
        std::thread ender([&] {
            CHECK(soon([&] { return log.alive == 3 || round % 2 != 0; }));
            static_cast<void>(pool.shutdown(5s));
        });
        const auto why = pool.start();
        ender.join();
        REQUIRE(why.has_value());
        CHECK(why->kind == ropeway::resource_error_kind::closed);
        CHECK(log.alive == 0);
        CHECK(pool.snapshot().total == 0);
    }
}
