// SPDX-License-Identifier: Apache-2.0
//
// Callers whose time is shorter than what they ask for: nothing is lost by them, for themselves or
// for others.
#include <ropeway/pool/resource_pool.hpp>

#include <chrono>

#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>
#include <ropeway_test.hpp>

using namespace std::chrono_literals;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;

TEST_CASE("a deadline shorter than a round trip costs the caller, not the connection") {
    virtual_time time;
    fake_server server{time, {.probe = 20ms}};
    ropeway::resource_pool<fake_resource> pool{
        server.maker(),
        {.min_size = 1, .max_size = 1, .validate = ropeway::validation::always, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    for (int i = 0; i != 20; ++i) {
        const auto began = time.now();
        auto none = pool.acquire(1ms);
        CHECK_FALSE(none);
        CHECK(none.error().kind == ropeway::resource_error_kind::timeout);
        CHECK(time.now() - began <= 2ms);
        time.advance(50ms);
    }
    CHECK(pool.acquire(1s));
    CHECK(server.counts().opened == 1);
    CHECK(pool.snapshot().closed[static_cast<std::size_t>(ropeway::close_reason::failed_probe)] ==
          0);
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
}

TEST_CASE("a probe that nobody waits for any more still finds a silent connection") {
    virtual_time time;
    fake_server server{time};
    ropeway::resource_pool<fake_resource> pool{
        server.maker(),
        {.min_size = 1, .max_size = 1, .validate = ropeway::validation::always, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    server.set_silent(true);
    CHECK_FALSE(pool.acquire(1ms));
    server.set_silent(false);
    time.advance(2s);
    CHECK(pool.snapshot().closed[static_cast<std::size_t>(ropeway::close_reason::failed_probe)] ==
          1);
    CHECK(pool.acquire(1s));
    CHECK(server.counts().opened == 2);
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
}

TEST_CASE("who gives up below the reserve makes room for the next in the queue") {
    virtual_time time;
    fake_server server{time, {.probe = 100ms}};
    ropeway::resource_pool<fake_resource> pool{server.maker(),
                                               {.min_size = 2,
                                                .max_size = 2,
                                                .reserved = 1,
                                                .validate = ropeway::validation::always,
                                                .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    const auto began = time.now();
    bool first_got = true;
    bool second_got = false;
    std::chrono::nanoseconds waited{};
    auto hurried = time.call([&] { first_got = static_cast<bool>(pool.acquire(10ms)); });
    auto next = time.call([&] {
        second_got = static_cast<bool>(pool.acquire(1s));
        waited = time.now() - began;
    });
    hurried.finish();
    next.finish();
    CHECK_FALSE(first_got);
    CHECK(second_got);
    // 10 ms for the first one to give up, 100 ms for the probe of the other connection; not the
    // 200 ms that the first connection would take.
    CHECK(waited < 150ms);
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
}

TEST_CASE("a deadline of for ever outlasts a probe, a long lease, and a day") {
    virtual_time time;
    fake_server server{time, {.probe = 20ms}};
    ropeway::resource_pool<fake_resource> pool{server.maker(),
                                               {.min_size = 1,
                                                .max_size = 1,
                                                .max_age = 0ms,
                                                .validate = ropeway::validation::always,
                                                .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire(std::chrono::nanoseconds::max());
    REQUIRE(held);
    bool got = false;
    std::chrono::nanoseconds waited{};
    const auto began = time.now();
    auto patient = time.call([&] {
        got = static_cast<bool>(pool.acquire(std::chrono::nanoseconds::max()));
        waited = time.now() - began;
    });
    time.advance(24h);
    CHECK(pool.snapshot().waiting == 1);
    held.held().reset();
    patient.finish();
    CHECK(got);
    CHECK(waited >= 24h);
    CHECK(server.counts().opened == 1);
    CHECK(pool.snapshot().timeouts == 0);
    CHECK(pool.shutdown(std::chrono::nanoseconds::max()).clean());
    CHECK(server.misuses().empty());
}

TEST_CASE("a deadline that has passed gets what is ready, and waits for nothing") {
    virtual_time time;
    fake_server server{time, {.probe = 20ms}};
    ropeway::resource_pool<fake_resource> pool{
        server.maker(), {.min_size = 1, .max_size = 1, .validate_after = 100ms, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    for (const std::chrono::nanoseconds passed : {-1ns, std::chrono::nanoseconds::min()}) {
        auto held = pool.acquire(passed);
        REQUIRE(held);
        const auto began = time.now();
        const auto none = pool.acquire(passed);
        CHECK_FALSE(none);
        CHECK(none.error().kind == ropeway::resource_error_kind::timeout);
        CHECK(none.error().waited == 0ns);
        held.held().reset();
        CHECK(pool.acquire(passed));
        CHECK(time.now() == began);
        time.advance(200ms);  // now it is to be probed, which is a wait
        const auto later = time.now();
        CHECK_FALSE(pool.acquire(passed));
        CHECK(time.now() == later);
        CHECK(pool.acquire(1s));
    }
    CHECK(server.counts().opened == 1);
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
}
