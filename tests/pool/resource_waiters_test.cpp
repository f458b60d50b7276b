// SPDX-License-Identifier: Apache-2.0
//
// Who is served when: callers that wait, in virtual time. Each test is a few callers of one pool
// with one or two slots.
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include "ropeway_test.hpp"

using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_caller;
using ropeway::testing::virtual_time;
using fake_pool = ropeway::resource_pool<fake_resource>;

namespace {

struct stage {
    explicit stage(std::uint32_t slots, std::uint32_t reserved = 0, std::uint32_t waiters = 1000)
        : pool(server.maker(), params_of(slots, reserved, waiters, time)) {
        REQUIRE_FALSE(pool.start().has_value());
    }
    static ropeway::resource_pool_params params_of(std::uint32_t slots, std::uint32_t reserved,
                                                   std::uint32_t waiters, virtual_time& time) {
        ropeway::resource_pool_params params;
        params.name = "waited for";
        params.min_size = slots;
        params.max_size = slots;
        params.reserved = reserved;
        params.max_waiters = waiters;
        params.acquire_timeout = 10s;
        params.time = &time;
        return params;
    }
    /// A caller that notes its name when it is served, holds for a second, and goes.
    virtual_caller caller(const std::string& name, bool priority = false,
                          std::chrono::nanoseconds timeout = 10s) {
        return time.call([this, name, priority, timeout] {
            auto got = pool.acquire({.timeout = timeout, .priority = priority});
            order.push_back(got ? name
                                : name + " " + std::string(ropeway::to_string(got.error().kind)));
            if (got) {
                time.advance(1s);
            }
        });
    }

    virtual_time time;
    fake_server server{time};
    std::vector<std::string> order;
    fake_pool pool;
};

using names = std::vector<std::string>;

}  // namespace

TEST_CASE("callers are served in the order in which they came") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    std::vector<virtual_caller> callers;
    for (const char* const name : {"a", "b", "c", "d"}) {
        callers.push_back(s.caller(name));
    }
    CHECK(s.pool.snapshot().waiting == 4);
    held.held().reset();
    s.time.advance(5s);
    CHECK(s.order == names{"a", "b", "c", "d"});
    CHECK(s.pool.snapshot().waiting == 0);
}

TEST_CASE("a newcomer does not overtake a caller who waits") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    auto first = s.caller("first");
    held.held().reset();  // handed over at once, though the caller has not run yet
    CHECK_FALSE(s.pool.try_acquire());
    auto second = s.caller("second");
    s.time.advance(3s);
    CHECK(s.order == names{"first", "second"});
}

TEST_CASE("callers with priority are served before the others, each kind in its order") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    std::vector<virtual_caller> callers;
    callers.push_back(s.caller("a"));
    callers.push_back(s.caller("A", true));
    callers.push_back(s.caller("b"));
    callers.push_back(s.caller("B", true));
    held.held().reset();
    s.time.advance(5s);
    CHECK(s.order == names{"A", "B", "a", "b"});
}

TEST_CASE("the reserve is lent to callers with priority alone") {
    stage s(2, 1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    CHECK_FALSE(s.pool.try_acquire());
    auto plain = s.caller("plain");
    CHECK(s.pool.snapshot().waiting == 1);
    auto urgent = s.pool.acquire({.timeout = 1ms, .priority = true});
    REQUIRE(urgent);
    urgent.held().reset();
    s.time.settle();
    CHECK(s.order.empty());  // one is idle, and reserved
    held.held().reset();
    s.time.settle();
    CHECK(s.order == names{"plain"});
}

TEST_CASE("one caller more than may wait is refused at once") {
    stage s(1, 0, 2);
    auto held = s.pool.acquire();
    REQUIRE(held);
    auto a = s.caller("a");
    auto b = s.caller("b");
    auto refused = s.pool.acquire();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == resource_error_kind::queue_full);
    CHECK(refused.error().waited == 0ns);
    CHECK(s.pool.snapshot().refused == 1);
    held.held().reset();
    s.time.advance(3s);
    CHECK(s.order == names{"a", "b"});
}

TEST_CASE("a caller leaves at its deadline to the instant, and those behind move up") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    auto hasty = s.caller("hasty", false, 250ms);
    auto patient = s.caller("patient");
    s.time.advance(249ms);
    CHECK(s.order.empty());
    s.time.advance(1ms);
    CHECK(s.order == names{"hasty timeout"});
    CHECK(s.pool.snapshot().timeouts == 1);
    CHECK(s.pool.snapshot().waiting == 1);
    held.held().reset();
    s.time.settle();
    CHECK(s.order == names{"hasty timeout", "patient"});
}

TEST_CASE("a caller whose resource was dead when it was handed over keeps its place") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    auto first = s.caller("first");
    auto second = s.caller("second");
    CHECK(s.server.kill_all() == 1);
    held.held().reset();
    s.time.advance(5s);
    CHECK(s.order == names{"first", "second"});
    CHECK(s.server.misuses().empty());
}

TEST_CASE("while suspended nobody is served and nobody new may wait; afterwards all goes on") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    auto waiting = s.caller("waiting");
    s.pool.suspend();
    auto refused = s.pool.acquire();
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == resource_error_kind::suspended);
    held.held().reset();
    s.time.advance(1s);
    CHECK(s.order.empty());
    s.pool.resume();
    s.time.settle();
    CHECK(s.order == names{"waiting"});
}

TEST_CASE("a shutdown ends the waits at once") {
    stage s(1);
    auto held = s.pool.acquire();
    REQUIRE(held);
    auto a = s.caller("a");
    auto b = s.caller("b");
    const auto report = s.pool.shutdown(2s);
    CHECK(report.lasted == 2s);
    CHECK(report.forced.size() == 1);
    CHECK(s.order == names{"a closed", "b closed"});
}

TEST_CASE("a refusal that no retry mends ends the waits at once, with its kind") {
    stage s(1);
    s.server.go_down(resource_error_kind::authentication);
    s.time.advance(20s);
    const auto began = s.time.now();
    auto none = s.pool.acquire();
    REQUIRE_FALSE(none);
    CHECK(none.error().kind == resource_error_kind::authentication);
    CHECK(s.time.now() - began <= 200ms);
}
