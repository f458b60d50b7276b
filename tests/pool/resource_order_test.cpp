// SPDX-License-Identifier: Apache-2.0
//
// Orders of the pool that meet a lease in the middle of its return, when its holder has looked for
// them already: none is lost, and none is obeyed twice.
#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include <ropeway/pool/resource_pool.hpp>

#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway::close_reason;
using ropeway::resource_event_kind;
using ropeway_test::made_by;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;

namespace {

template <class Condition>
bool soon(const Condition& holds) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end) {
            return false;
        }
        std::this_thread::yield();
    }
    return true;
}

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
