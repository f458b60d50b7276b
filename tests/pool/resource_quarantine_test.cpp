// SPDX-License-Identifier: Apache-2.0
//
// Quarantine in a pool, from the outside: a slot whose resource fails again and again rests, is
// replaced, retried and comes back; an outage of the whole server is no slot's fault.
#include <ropeway/pool/resource_pool.hpp>

#include <algorithm>
#include <chrono>
#include <vector>

#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include <ropeway_test.hpp>

using ropeway::resource_event;
using ropeway::resource_event_kind;
using ropeway::resource_pool;
using ropeway::resource_pool_params;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;
using namespace std::chrono_literals;

namespace {

/// A pool on virtual time that notes the kinds of its events.
struct world {
    explicit world(resource_pool_params params)
        : pool{server.maker(), with_world(std::move(params))} {
        REQUIRE_FALSE(pool.start().has_value());
        time.settle();
    }

    resource_pool_params with_world(resource_pool_params params) {
        params.time = &time;
        params.observer = [this](const resource_event& event) { events.push_back(event.kind); };
        return params;
    }

    [[nodiscard]] std::ptrdiff_t told(resource_event_kind kind) const {
        return std::count(events.begin(), events.end(), kind);
    }

    /// Ends one idle connection as its server does, and lets the pool find out by a probe.
    void fail_one() {
        server.fail_probes(1);
        const auto failed = told(resource_event_kind::check_failed);
        for (int i = 0; i != 100 && told(resource_event_kind::check_failed) == failed; ++i) {
            time.advance(100ms);
        }
        REQUIRE(told(resource_event_kind::check_failed) == failed + 1);
        time.advance(10ms);
    }

    virtual_time time{};
    fake_server server{time};
    std::vector<resource_event_kind> events{};
    resource_pool<fake_resource> pool;
};

/// Three connections are the minimum and the maximum: a slot that rests is missed. The liveness
/// never reaches its threshold; other slots' probes succeed.
resource_pool_params three_slots() {
    return {
        .min_size = 3,
        .max_size = 3,
        .liveness = {.threshold = 100, .interval = 500ms, .fast_interval = 250ms, .timeout = 500ms},
        .quarantine = {.failures = 3, .history = 64, .rest = 5s}};
}

}  // namespace

TEST_CASE("a slot that failed three times rests, then is tried again and is well") {
    world w{three_slots()};
    while (w.told(resource_event_kind::quarantined) == 0) {
        w.fail_one();
        REQUIRE(w.told(resource_event_kind::check_failed) < 20);
    }
    CHECK(w.told(resource_event_kind::check_failed) >= 3);
    CHECK(w.pool.snapshot().quarantined == 1);
    CHECK(w.pool.snapshot().total == 2);
    CHECK(w.pool.snapshot().state == ropeway::pool_state::degraded);
    w.time.advance(4s);
    CHECK(w.pool.snapshot().quarantined == 1);
    w.time.advance(1100ms);
    CHECK(w.told(resource_event_kind::quarantine_over) == 1);
    CHECK(w.pool.snapshot().quarantined == 0);
    CHECK(w.pool.snapshot().total == 3);
    CHECK(w.pool.snapshot().state == ropeway::pool_state::healthy);
    CHECK(w.pool.shutdown(1s).clean());
    CHECK(w.server.misuses().empty());
}

TEST_CASE("another slot takes a resting one's place, and its rest ends though nobody needs it") {
    resource_pool_params params = three_slots();
    params.max_size = 10;
    world w{std::move(params)};
    while (w.told(resource_event_kind::quarantined) == 0) {
        w.fail_one();
        REQUIRE(w.told(resource_event_kind::check_failed) < 50);
    }
    w.time.advance(100ms);
    CHECK(w.pool.snapshot().quarantined == 1);
    CHECK(w.pool.snapshot().total == 3);
    w.time.advance(5s);
    CHECK(w.pool.snapshot().quarantined == 0);
    CHECK(w.pool.snapshot().state == ropeway::pool_state::healthy);
}

TEST_CASE("however often the whole server goes away, no slot rests when it is back") {
    resource_pool_params params;
    params.min_size = params.max_size = 2;
    world w{std::move(params)};
    for (int round = 0; round != 20; ++round) {
        w.server.go_down();
        w.time.advance(round % 2 == 0 ? 3s : 20s);
        CHECK(w.pool.snapshot().total == 0);
        w.server.come_up();
        const auto lease = w.pool.acquire(1s);
        CAPTURE(round);
        CHECK(lease);
        w.time.advance(20s);
        CHECK(w.pool.snapshot().total == 2);
        CHECK(w.pool.snapshot().quarantined == 0);
    }
    CHECK(w.told(resource_event_kind::lost) == 20);
    CHECK(w.told(resource_event_kind::recovered) == 20);
    CHECK(w.told(resource_event_kind::quarantined) == w.told(resource_event_kind::quarantine_over));
}

TEST_CASE("an outage costs a turn now and then, not one after the other") {
    resource_pool_params params;
    params.min_size = params.max_size = 2;
    world w{std::move(params)};
    for (int round = 0; round != 10; ++round) {
        const auto before = w.time.turns();
        w.server.go_down();
        w.time.advance(60s);
        w.server.come_up();
        w.time.advance(20s);
        w.server.set_silent(true);
        w.time.advance(60s);
        w.server.set_silent(false);
        w.time.advance(20s);
        CHECK(w.time.turns() - before < 1000);
    }
    CHECK(w.time.runaways() == 0);
}
