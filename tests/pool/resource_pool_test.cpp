// SPDX-License-Identifier: Apache-2.0
//
// What a resource pool promises to one or two callers, on real time.
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>

#include "host_jitter.hpp"
#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway_test::made_by;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;
using ropeway_test::soon;

namespace {

ropeway::resource_pool_params params_of(std::uint32_t least, std::uint32_t most) {
    ropeway::resource_pool_params params;
    params.name = "tested";
    params.min_size = least;
    params.max_size = most;
    params.acquire_timeout = 5s;
    return params;
}

}  // namespace

TEST_CASE("a started pool has its minimum open and lends it") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(2, 5));
    REQUIRE_FALSE(pool.start().has_value());
    CHECK(pool.snapshot().total == 2);
    CHECK(pool.snapshot().idle == 2);
    {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        got->use();
        CHECK(pool.snapshot().active == 1);
        CHECK(pool.snapshot().acquired == 1);
        CHECK(pool.snapshot().released == 0);
    }
    CHECK(pool.snapshot().active == 0);
    CHECK(pool.snapshot().released == 1);
    const auto report = pool.shutdown(1s);
    CHECK(report.clean());
    CHECK(report.closed == 2);
    CHECK(end.alive == 0);
    CHECK(end.farewells == 2);
    CHECK(end.shared == 0);
}

TEST_CASE(
    "a pool opens more on demand, up to its maximum, and then callers wait to their deadline") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(0, 3));
    REQUIRE_FALSE(pool.start().has_value());
    std::vector<ropeway::lease<ropeway_test::scripted_resource>> held;
    for (int i = 0; i != 3; ++i) {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        held.push_back(got.take());
    }
    CHECK(end.most_alive == 3);
    const ropeway_test::host_jitter jitter;
    const auto began = std::chrono::steady_clock::now();
    auto none = pool.acquire(50ms);
    const auto waited = std::chrono::steady_clock::now() - began;
    REQUIRE_FALSE(none);
    CHECK(none.error().kind == ropeway::resource_error_kind::timeout);
    CHECK(none.error().holders.size() == 3);
    CHECK(waited >= 50ms);
    CHECK(waited < 500ms + jitter.lost());
    CHECK_FALSE(pool.try_acquire());
    held.pop_back();
    CHECK(pool.try_acquire());
    CHECK(pool.snapshot().peak_active == 3);
    CHECK(pool.snapshot().timeouts == 1);
}

TEST_CASE("a return hands its resource to the caller who waits") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(1, 1));
    REQUIRE_FALSE(pool.start().has_value());
    auto first = pool.acquire(1s);
    REQUIRE(first);
    std::atomic<bool> got{false};
    std::thread other([&] {
        auto second = pool.acquire(5s);
        got = static_cast<bool>(second);
    });
    REQUIRE(soon([&] { return pool.snapshot().waiting == 1; }));
    first.held().reset();
    other.join();
    CHECK(got);
    CHECK(pool.snapshot().immediate == 1);
    CHECK(pool.snapshot().acquired == 2);
}

TEST_CASE("a dirty resource is reset before it is lent again, a broken one is replaced") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(1, 1));
    REQUIRE_FALSE(pool.start().has_value());
    {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        got->come_back(ropeway::return_state::dirty);
    }
    CHECK(pool.acquire(1s));
    CHECK(end.resets == 1);
    {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        got.held().doom();
    }
    CHECK(pool.acquire(1s));
    CHECK(end.opens == 2);
    CHECK(soon([&] { return pool.snapshot().total == 1; }));
}

TEST_CASE("a dead resource is not lent; its place is opened anew") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(2, 2));
    REQUIRE_FALSE(pool.start().has_value());
    ++end.epoch;
    auto got = pool.acquire(5s);
    REQUIRE(got);
    got->use();
    CHECK(soon([&] { return pool.snapshot().total == 2; }));
    CHECK(end.shared == 0);
}

TEST_CASE("start fails after its tries where nothing answers, and says why") {
    scripted_end end;
    end.up = false;
    scripted_pool pool(made_by(end), params_of(1, 2));
    const auto why = pool.start();
    REQUIRE(why.has_value());
    CHECK(why->kind == ropeway::resource_error_kind::unavailable);
    CHECK(end.opens == 3);
    auto none = pool.acquire(10ms);
    REQUIRE_FALSE(none);
    CHECK(none.error().kind == ropeway::resource_error_kind::closed);
}

TEST_CASE("a start that is under way ends when another thread shuts the pool down") {
    scripted_end end;
    end.up = false;
    auto params = params_of(1, 2);
    params.startup_attempts = 100;
    scripted_pool pool(made_by(end), params);
    bool clean = false;
    std::thread other([&] {
        while (end.opens == 0) {
            std::this_thread::yield();
        }
        clean = pool.shutdown(1s).clean();
    });
    const auto why = pool.start();
    other.join();
    REQUIRE(why.has_value());
    CHECK(why->kind == ropeway::resource_error_kind::closed);
    CHECK(clean);
}

TEST_CASE("a pool that is shut down while it starts is closed, whichever was first") {
    int started = 0;
    int refused = 0;
    for (int i = 0; i != 300; ++i) {
        scripted_end end;
        scripted_pool pool(made_by(end), params_of(1, 2));
        std::atomic<bool> begins{false};
        std::thread other([&] {
            while (!begins) {
            }
            // The answer takes some ten microseconds: before, about and after it.
            const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds{i};
            while (std::chrono::steady_clock::now() < until) {
            }
            static_cast<void>(pool.shutdown(1s));
        });
        begins = true;
        const auto why = pool.start();
        ++(why ? refused : started);
        other.join();
        const bool closed = !why || why->kind == ropeway::resource_error_kind::closed;
        REQUIRE(closed);
        const auto none = pool.acquire(1s);
        REQUIRE_FALSE(none);
        REQUIRE(none.error().kind == ropeway::resource_error_kind::closed);
        REQUIRE(end.alive == 0);
    }
    CHECK(started + refused == 300);
}

TEST_CASE("a shutdown waits for leases until its deadline and lists those held beyond it") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(2, 2));
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire(1s);
    REQUIRE(held);
    const ropeway_test::host_jitter jitter;
    const auto report = pool.shutdown(50ms);
    CHECK_FALSE(report.clean());
    REQUIRE(report.forced.size() == 1);
    CHECK(report.forced[0].site.find("resource_pool_test.cpp") != std::string::npos);
    CHECK(report.lasted >= 50ms);
    CHECK(report.lasted < 1s + jitter.lost());
    held.held().reset();
    CHECK(end.alive == 0);
    CHECK(pool.snapshot().state == ropeway::pool_state::terminated);
}
