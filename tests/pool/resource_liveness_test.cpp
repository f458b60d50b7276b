// SPDX-License-Identifier: Apache-2.0
//
// A pool's liveness, from the outside: how soon a server that falls silent is called unhealthy,
// whatever the pool does meanwhile, and that each change is told once.
#include <ropeway/pool/resource_pool.hpp>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include <ropeway_test.hpp>

using ropeway::liveness_change;
using ropeway::liveness_state;
using ropeway::resource_event;
using ropeway::resource_event_kind;
using ropeway::resource_pool;
using ropeway::resource_pool_params;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;
using namespace std::chrono_literals;

namespace {

/// A pool on virtual time that notes each change of liveness.
struct world {
    explicit world(std::uint32_t min_size,
                   ropeway::liveness_params liveness = ropeway::liveness_presets::fast(),
                   std::chrono::milliseconds probe_interval = 30s)
        : pool{server.maker(), params(min_size, liveness, probe_interval)} {
        REQUIRE_FALSE(pool.start().has_value());
        time.settle();
    }

    resource_pool_params params(std::uint32_t min_size, ropeway::liveness_params liveness,
                                std::chrono::milliseconds probe_interval) {
        resource_pool_params made{.min_size = min_size, .max_size = 10, .time = &time};
        made.liveness = liveness;
        made.probe_interval = probe_interval;
        made.observer = [this](const resource_event& event) {
            if (event.kind == resource_event_kind::liveness_changed) {
                changes.push_back({event.from_liveness, event.to_liveness});
            }
        };
        return made;
    }

    /// Time from now until the pool is called unhealthy, at most a minute; turns are caused each
    /// `disturbed` besides.
    std::chrono::nanoseconds until_unhealthy(std::chrono::nanoseconds disturbed) {
        const auto begin = time.now();
        while (pool.snapshot().liveness != liveness_state::unhealthy && time.now() - begin < 1min) {
            time.advance(disturbed);
            pool.resume();  // makes a turn due
        }
        return time.now() - begin;
    }

    virtual_time time{};
    fake_server server{time};
    std::vector<liveness_change> changes{};
    resource_pool<fake_resource> pool;
};

}  // namespace

TEST_CASE("a server that falls silent is unhealthy within 1.75 s, in a pool of any size") {
    for (const std::uint32_t min_size : {1U, 2U, 3U, 10U}) {
        for (const auto silent_after : {0ms, 1ms, 250ms, 499ms, 500ms, 750ms}) {
            for (const auto disturbed : {1ms, 99ms, 490ms}) {
                world w{min_size};
                w.time.advance(3s + silent_after);
                w.server.set_silent(true);
                const auto took = w.until_unhealthy(disturbed);
                CAPTURE(min_size, silent_after.count(), disturbed.count(), took.count());
                CHECK(took <= 1750ms + disturbed);
                w.server.set_silent(false);
                w.time.advance(30s);
                CHECK(w.pool.snapshot().liveness == liveness_state::healthy);
                CHECK(w.pool.snapshot().total >= min_size);
                CHECK(w.server.misuses().empty());
            }
        }
    }
}

TEST_CASE("what is probed in a minute: each idle resource by probe_interval, one by liveness") {
    const auto fast = ropeway::liveness_presets::fast();
    auto rare = fast;
    rare.interval = 1h;
    const auto probes = [](ropeway::liveness_params liveness, std::chrono::milliseconds interval) {
        world w{10, liveness, interval};
        const auto before = w.server.counts().probes;
        w.time.advance(1min);
        return w.server.counts().probes - before;
    };
    CHECK(probes(rare, 0ms) == 0);
    CHECK(probes(rare, 25s) == 20);
    const auto by_liveness = probes(fast, 0ms);
    CHECK(by_liveness >= 118);  // one each 500 ms, not one each for ten
    CHECK(by_liveness <= 120);
}

TEST_CASE("without a probe_interval a silent server is unhealthy within 1.75 s all the same") {
    world w{3, ropeway::liveness_presets::fast(), 0ms};
    w.time.advance(3s);
    w.server.set_silent(true);
    CHECK(w.until_unhealthy(1ms) <= 1751ms);
}

TEST_CASE("preset seed_002 calls a silent server unhealthy within 25 s") {
    for (const std::uint32_t min_size : {1U, 2U, 10U}) {
        world w{min_size, ropeway::liveness_presets::seed_002()};
        w.time.advance(12'345ms);
        w.server.set_silent(true);
        CHECK(w.until_unhealthy(100ms) <= 25'100ms);
    }
}

TEST_CASE("each change of liveness is told once, and follows the one before it") {
    world w{2};
    for (int round = 0; round != 3; ++round) {
        w.server.go_down();
        w.time.advance(20s);
        w.server.come_up();
        w.time.advance(20s);
        w.server.set_silent(true);
        w.time.advance(20s);
        w.server.set_silent(false);
        w.time.advance(20s);
    }
    CHECK(w.pool.shutdown(1s).clean());
    REQUIRE(w.changes.size() >= 10);
    liveness_state last = liveness_state::connecting;
    for (const liveness_change& change : w.changes) {
        CHECK(change.from == last);
        CHECK(change.to != change.from);
        last = change.to;
    }
    CHECK(last == liveness_state::disconnected);
}

TEST_CASE("a server that answers is never suspect, for a day") {
    world w{2};
    w.time.advance(24h);
    REQUIRE(w.changes.size() == 1);
    CHECK(w.changes[0].from == liveness_state::connecting);
    CHECK(w.changes[0].to == liveness_state::healthy);
    CHECK(w.server.misuses().empty());
}
