// SPDX-License-Identifier: Apache-2.0
//
// The life of a resource in a pool, in virtual time: why one is replaced, what hooks may say, and
// what is told of leases that are held too long.
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway::close_reason;
using ropeway::resource_event_kind;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;
using fake_pool = ropeway::resource_pool<fake_resource>;

namespace {

struct life {
    life() {
        params.name = "lived in";
        params.min_size = 1;
        params.max_size = 4;
        params.time = &time;
        params.seed = 7;
        params.observer = [this](const ropeway::resource_event& event) {
            ++told[event.kind];
            if (event.kind == resource_event_kind::closed) {
                reasons.push_back(event.reason);
            } else if (event.kind == resource_event_kind::open_failed) {
                failures.push_back(*event.error);
            }
        };
    }
    virtual_time time;
    fake_server server{time};
    ropeway::resource_pool_params params;
    std::map<resource_event_kind, int> told;
    std::vector<close_reason> reasons;
    std::vector<ropeway::resource_error> failures;
};

using maker = std::function<std::unique_ptr<fake_resource>()>;
using reasons_of = std::vector<close_reason>;

}  // namespace

TEST_CASE("a resource is replaced after so many leases, and statements count as leases") {
    life l;
    l.params.max_uses = 3;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    for (int i = 0; i != 2; ++i) {
        CHECK(pool.acquire()->number() == 1);
    }
    CHECK(pool.acquire()->number() == 1);
    l.time.advance(10ms);
    CHECK(l.reasons == reasons_of{close_reason::uses});
    auto got = pool.acquire();
    CHECK(got->number() == 2);
    got.held().add_uses(2);
    got.held().reset();
    l.time.advance(10ms);
    CHECK(pool.acquire()->number() == 3);
    CHECK(pool.snapshot().closed[static_cast<std::size_t>(close_reason::uses)] == 2);
}

TEST_CASE(
    "what a resource counts in a lease is what the lease counts, at least one, if it is clean or "
    "not") {
    life l;
    l.params.max_uses = 6;
    l.params.time = nullptr;
    ropeway_test::scripted_end end;
    ropeway_test::scripted_pool pool(ropeway_test::made_by(end), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    const auto worn_out = [&] {
        return pool.snapshot().closed[static_cast<std::size_t>(close_reason::uses)];
    };
    pool.acquire(5s)->run(3);
    static_cast<void>(pool.acquire(5s));
    pool.acquire(5s)->run(1);
    CHECK(end.opens == 1);
    pool.acquire(5s)->run(1);  // the sixth
    pool.acquire(5s)->run(2);
    CHECK(end.opens == 2);
    CHECK(worn_out() == 1);
    {
        auto got = pool.acquire(5s);
        REQUIRE(got);
        got->run(2);
        got->come_back(ropeway::return_state::dirty);
        got.held().add_uses(1);
    }
    CHECK(end.opens == 2);
    pool.acquire(5s)->run(100);
    static_cast<void>(pool.acquire(5s));
    CHECK(end.opens == 3);
    CHECK(worn_out() == 2);
}

TEST_CASE("without max_uses nothing that a resource counts ends it") {
    life l;
    l.params.max_uses = 0;
    l.params.time = nullptr;
    ropeway_test::scripted_end end;
    ropeway_test::scripted_pool pool(ropeway_test::made_by(end), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    for (int i = 0; i != 3; ++i) {
        pool.acquire(5s)->run(std::uint64_t{1} << 40);
    }
    CHECK(pool.acquire(5s));
    CHECK(end.opens == 1);
}

TEST_CASE("age ends a resource that is never idle at its return, and not all at one time") {
    life l;
    l.params.min_size = 4;
    l.params.max_age = 100s;
    l.params.max_age_jitter = 0.2;
    l.params.leak_timeout = 0ms;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    std::vector<int> closed_at(4, 0);
    for (int second = 1; second <= 101; ++second) {
        std::vector<ropeway::lease<fake_resource>> held;
        for (int i = 0; i != 4; ++i) {
            held.push_back(pool.acquire().take());
        }
        l.time.advance(1s);
        held.clear();
        l.time.advance(5ms);
        for (std::size_t i = 0; i != l.reasons.size() && i != 4; ++i) {
            if (closed_at[i] == 0) {
                closed_at[i] = second;
            }
        }
    }
    REQUIRE(l.reasons.size() == 4);
    for (std::size_t i = 0; i != 4; ++i) {
        CHECK(l.reasons[i] == close_reason::age);
        CHECK(closed_at[i] >= 79);
    }
    CHECK(closed_at[0] != closed_at[3]);
    CHECK(pool.snapshot().total == 4);
    CHECK(l.server.misuses().empty());
}

TEST_CASE("what lies idle above the minimum is closed in time, and it is told once") {
    life l;
    l.params.max_idle = 60s;
    l.params.maintenance_interval = 10s;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    {
        std::vector<ropeway::lease<fake_resource>> held;
        for (int i = 0; i != 4; ++i) {
            held.push_back(pool.acquire().take());
        }
    }
    l.time.advance(59s);
    CHECK(pool.snapshot().total == 4);
    l.time.advance(12s);
    CHECK(pool.snapshot().total == 1);
    CHECK(l.told[resource_event_kind::shrunk] == 1);
    l.time.advance(1h);
    CHECK(pool.snapshot().total == 1);
}

TEST_CASE("soft_evict closes idle ones now and leased ones at their return") {
    life l;
    l.params.min_size = 2;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire();
    REQUIRE(held);
    pool.soft_evict();
    l.time.advance(20ms);
    CHECK(l.reasons == reasons_of{close_reason::evicted});
    CHECK(held->use());
    held.held().reset();
    l.time.advance(20ms);
    CHECK(l.reasons == reasons_of{close_reason::evicted, close_reason::evicted});
    CHECK(pool.snapshot().idle == 2);
    CHECK(l.server.counts().farewells == 2);
}

TEST_CASE("soft_evict closes what was being opened when it was asked for") {
    life l;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    pool.resize(2, 4);
    l.time.advance(100us);  // the second one is under way
    REQUIRE(pool.snapshot().opening == 1);
    pool.soft_evict();
    l.time.advance(50ms);
    CHECK(l.reasons == reasons_of(2, close_reason::evicted));
    CHECK(pool.snapshot().idle == 2);
    CHECK(l.server.counts().opened == 4);
}

TEST_CASE("each hook is asked at its place, and its no is obeyed") {
    life l;
    int connects = 0;
    int closes = 0;
    bool lend = true;
    bool keep = true;
    l.params.hooks.on_connect = [&](ropeway::pooled_resource&) { return ++connects != 1; };
    l.params.hooks.before_acquire = [&](ropeway::pooled_resource&) {
        return std::exchange(lend, true);
    };
    l.params.hooks.after_release = [&](ropeway::pooled_resource&) {
        return std::exchange(keep, true);
    };
    l.params.hooks.on_close = [&](ropeway::pooled_resource&) { ++closes; };
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    CHECK(connects == 2);  // the first was refused
    CHECK(closes == 1);
    lend = false;
    CHECK(pool.acquire()->number() == 3);
    keep = false;
    pool.acquire().held().reset();
    l.time.advance(20ms);
    CHECK(l.reasons == reasons_of(3, close_reason::hook));
    CHECK(closes == 3);
    CHECK(pool.snapshot().total == 1);
}

TEST_CASE("a resize in the middle of a turn counts from the next turn on") {
    life l;
    l.params.max_size = 2;
    fake_pool* resized = nullptr;
    // Called after the turn has made room for what it knew of, and before it opens what is missing.
    l.params.hooks.on_close = [&](ropeway::pooled_resource&) {
        if (fake_pool* const pool = std::exchange(resized, nullptr)) {
            pool->resize(6, 8);
        }
    };
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    resized = &pool;
    pool.soft_evict();
    l.time.advance(20ms);
    CHECK(l.told[resource_event_kind::resized] == 1);
    CHECK(pool.snapshot().idle == 6);
    const auto counts = l.server.counts();
    CHECK(counts.opens == 7);
    CHECK(counts.opened == 7);
    CHECK(counts.abandoned == 0);
    CHECK(counts.open_now == 6);
    CHECK(pool.shutdown(1s).clean());
}

TEST_CASE("a pool whose connections are all refused by its hook backs off, and its start fails") {
    life l;
    l.params.hooks.on_connect = [&](ropeway::pooled_resource&) { return false; };
    fake_pool pool(l.server.maker(), l.params);
    const auto why = pool.start();
    REQUIRE(why.has_value());
    CHECK(why->kind == ropeway::resource_error_kind::unavailable);
    CHECK(why->cause.text == "the hook on_connect refused the connection");
    CHECK(l.server.counts().opened == l.params.startup_attempts);
    CHECK(l.reasons == reasons_of(l.params.startup_attempts, close_reason::hook));
}

TEST_CASE("a running pool whose new connections are refused tries again as after failures") {
    life l;
    bool wanted = true;
    l.params.hooks.on_connect = [&](ropeway::pooled_resource&) { return wanted; };
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    wanted = false;
    pool.soft_evict();
    l.time.advance(10s);
    const auto tried = l.server.counts().opened - 1;
    CHECK(tried >= 5);
    CHECK(tried <= 10);  // after 0, 10, 50, 250 ms, 1, 2, 4 s
    wanted = true;
    l.time.advance(10s);
    CHECK(pool.snapshot().idle == 1);
}

TEST_CASE("a start whose schedule allows fewer tries than it has fails after the last of them") {
    life l;
    l.params.reconnect.max_attempts = 1;
    l.params.startup_attempts = 3;
    l.server.fail_opens(100, {.kind = ropeway::resource_error_kind::unavailable});
    fake_pool pool(l.server.maker(), l.params);
    const auto why = pool.start();
    REQUIRE(why.has_value());
    CHECK(why->kind == ropeway::resource_error_kind::unavailable);
    CHECK(l.server.counts().refused == 2);
}

TEST_CASE("the resource that lay idle longest is lent first where the pool is told so") {
    life l;
    l.params.min_size = 3;
    l.params.max_size = 3;
    l.params.order = ropeway::idle_order::oldest_idle;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    std::vector<std::uint64_t> lent;
    for (int i = 0; i != 7; ++i) {
        l.time.advance(1ms);
        lent.push_back(pool.acquire()->number());
    }
    CHECK(lent == std::vector<std::uint64_t>{1, 2, 3, 1, 2, 3, 1});
}

TEST_CASE("a lease held too long is reported once, and that it came back after all") {
    life l;
    l.params.leak_timeout = 10s;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire();
    REQUIRE(held);
    l.time.advance(9s);
    CHECK(l.told[resource_event_kind::leak] == 0);
    l.time.advance(1100ms);
    CHECK(l.told[resource_event_kind::leak] == 1);
    CHECK(pool.snapshot().overdue == 1);
    CHECK(pool.snapshot().recent_leaks == 1);
    CHECK(pool.snapshot().state == ropeway::pool_state::degraded);
    REQUIRE(pool.holders().size() == 1);
    CHECK(pool.holders()[0].overdue);
    CHECK(pool.holders()[0].site.find("resource_life_test.cpp") != std::string::npos);
    l.time.advance(20s);
    CHECK(l.told[resource_event_kind::leak] == 1);
    CHECK(l.told[resource_event_kind::leak_returned] == 0);
    held.held().reset();
    l.time.settle();
    CHECK(l.told[resource_event_kind::leak_returned] == 1);
    CHECK(pool.snapshot().leaks == 1);
    CHECK(pool.snapshot().overdue == 0);
    l.time.advance(61s);
    CHECK(pool.snapshot().recent_leaks == 0);
    CHECK(pool.snapshot().state == ropeway::pool_state::healthy);
}

TEST_CASE("an idle connection whose end is seen is replaced before anybody asks for it") {
    life l;
    l.params.min_size = 2;
    l.server.use_descriptors(true);
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    CHECK(l.server.kill(1));
    l.time.advance(60ms);
    CHECK(l.reasons == reasons_of{close_reason::failed_check});
    CHECK(pool.snapshot().idle == 2);
    CHECK(l.server.counts().alive_now == 2);
}

TEST_CASE("an open that hangs ends at its own deadline and never holds up the others") {
    life l;
    l.params.connect_timeout = 500ms;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire();
    REQUIRE(held);
    l.server.set_silent(true);
    const auto began = l.time.now();
    auto none = pool.acquire(2s);
    REQUIRE_FALSE(none);
    CHECK(l.time.now() - began == 2s);
    CHECK(pool.snapshot().open_failed >= 2);
    l.server.set_silent(false);
    CHECK(pool.acquire(1s));
    CHECK(l.server.misuses().empty());
}

TEST_CASE("times and counts of what happened are exact on the pool's clock") {
    life l;
    fake_pool pool(l.server.maker(), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    for (int i = 0; i != 10; ++i) {
        auto got = pool.acquire();
        REQUIRE(got);
        l.time.advance(5ms);
    }
    const auto times = pool.times();
    CHECK(times.hold.count() == 10);
    CHECK(times.hold.min() == 5'000'000);
    CHECK(times.hold.max() == 5'000'000);
    CHECK(times.wait.count() == 10);
    CHECK(times.create.count() == 1);
    CHECK(times.create.max() == 2'000'000);
    CHECK(pool.snapshot().immediate == 10);
    CHECK(pool.snapshot().peak_active == 1);
}

TEST_CASE("a `make` that throws or returns null is a failed open, and start says so") {
    struct row {
        maker make;
        std::string text;
    };
    const std::vector<row> rows = {
        {[]() -> std::unique_ptr<fake_resource> { throw std::runtime_error("no such host"); },
         "the pool's `make` threw: no such host"},
        {[]() -> std::unique_ptr<fake_resource> { throw 7; },
         "the pool's `make` threw something that is no std::exception"},
        {[]() -> std::unique_ptr<fake_resource> { throw std::bad_alloc(); }, "out of memory"},
        {[] { return std::unique_ptr<fake_resource>(); }, "the pool's `make` returned null"},
        {maker(), "the pool's `make` threw: bad_function_call"}};
    for (const row& each : rows) {
        CAPTURE(each.text);
        life l;
        fake_pool pool(each.make, l.params);
        const auto why = pool.start();
        REQUIRE(why.has_value());
        CHECK(why->kind == ropeway::resource_error_kind::invalid);
        CHECK(why->cause.text == each.text);
        CHECK(l.told[resource_event_kind::start_failed] == 1);
        REQUIRE(l.failures.size() == 1);
        CHECK(l.failures[0].kind == ropeway::resource_error_kind::invalid);
        CHECK(l.failures[0].text == each.text);
        CHECK(pool.snapshot().open_failed == 1);
        CHECK(pool.shutdown(1s).clean());
    }
}

TEST_CASE("a `make` that fails is tried again until it succeeds") {
    life l;
    l.params.min_size = 2;
    l.params.on_startup = ropeway::startup::start_degraded;
    bool fails = true;
    int calls = 0;
    fake_pool pool(maker([&] {
                       ++calls;
                       return fails ? nullptr : l.server.make();
                   }),
                   l.params);
    REQUIRE_FALSE(pool.start().has_value());
    CHECK(calls == 2);
    CHECK(pool.snapshot().open_failed == 2);
    CHECK(pool.snapshot().state == ropeway::pool_state::recovering);
    // Nothing is open and no try would help: who waits is told at the next one.
    const auto none = pool.acquire(5s);
    REQUIRE_FALSE(none);
    CHECK(none.error().kind == ropeway::resource_error_kind::invalid);
    l.time.advance(30s);
    CHECK(calls > 3);
    CHECK(l.failures.size() == static_cast<std::size_t>(calls));
    fails = false;
    l.time.advance(20s);
    CHECK(pool.snapshot().idle == 2);
    CHECK(pool.snapshot().state == ropeway::pool_state::healthy);
    CHECK(pool.shutdown(1s).clean());
    CHECK(l.server.misuses().empty());
}

TEST_CASE("slots whose `make` fails rest like others while one is open") {
    life l;
    l.params.max_size = 2;
    bool fails = false;
    fake_pool pool(maker([&] { return fails ? nullptr : l.server.make(); }), l.params);
    REQUIRE_FALSE(pool.start().has_value());
    fails = true;
    auto held = pool.acquire();
    REQUIRE(held);
    CHECK_FALSE(pool.acquire(20s));
    CHECK(l.told[resource_event_kind::quarantined] >= 1);
    fails = false;
    CHECK(pool.acquire(20s));
    CHECK(l.server.misuses().empty());
}

TEST_CASE("a shutdown while start waits ends it, and the pool stays closed") {
    life l;
    l.server.set_latencies({.open = 100ms});
    // Before the answer, in its very round, and after it.
    for (const auto at : {50ms, 100ms, 150ms}) {
        CAPTURE(at.count());
        fake_pool pool(l.server.maker(), l.params);
        bool clean = false;
        const auto began = l.time.now();
        auto ender = l.time.call([&] {
            l.time.advance(at);
            clean = pool.shutdown(1s).clean();
        });
        const auto why = pool.start();
        CHECK(why.has_value() == (at <= 100ms));
        if (why) {
            CHECK(why->kind == ropeway::resource_error_kind::closed);
        }
        CHECK(l.time.now() - began <= 100ms);
        ender.finish();
        CHECK(clean);
        const auto before = l.time.now();
        const auto none = pool.acquire(1s);
        REQUIRE_FALSE(none);
        CHECK(none.error().kind == ropeway::resource_error_kind::closed);
        CHECK(l.time.now() == before);
        CHECK(pool.snapshot().state == ropeway::pool_state::terminated);
    }
    CHECK(l.server.counts().open_now == 0);
    CHECK(l.server.misuses().empty());
}
