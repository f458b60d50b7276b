// SPDX-License-Identifier: Apache-2.0
//
// The way back: single, merged, in bulk, through a raw pointer; counters and policies.
#include <ropeway/pool/recycler.hpp>

#include <ropeway_test.hpp>

#include <numeric>
#include <vector>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

TEST_CASE("an injected recycler counts what went through it, by kind") {
    recycler back;
    {
        event_pool<market_event> pool{{.back = &back}};
        for (const event_kind kind : {event_kind::trade, event_kind::quote, event_kind::quote}) {
            auto event = pool.get();
            event->kind = kind;
            back.recycle(std::move(event));
            REQUIRE_FALSE(event);  // NOLINT(bugprone-use-after-move): what is asked
        }
        auto odd = pool.get();
        REQUIRE(odd);
        odd->kind = static_cast<event_kind>(200);
        odd.reset();
        REQUIRE(back.stats().recycled == 4);
        REQUIRE(back.stats().recycled_by_kind[1] == 2);
        REQUIRE(back.stats().recycled_by_kind[max_event_kinds - 1] == 1);
    }
    REQUIRE(back.stats().recycled == 4);  // also after the pool has ended
}

TEST_CASE("an empty handle is ignored") {
    recycler back;
    back.recycle(pooled<market_event>{});
    back.recycle_merged(pooled<market_event>{});
    REQUIRE(back.lend(pooled<market_event>{}).event == nullptr);
    REQUIRE(back.stats().recycled == 0);
}

TEST_CASE("a merged partial goes back exactly once") {
    recycler back;
    event_pool<market_event> pool{{.back = &back}};
    auto partial = pool.get();
    back.recycle_merged(std::move(partial));
    auto a = pool.get();
    auto b = pool.get();
    REQUIRE(a.get() != b.get());
    REQUIRE(pool.stats().merged == 1);
    REQUIRE(pool.stats().recycled == 1);
    REQUIRE(pool.stats().outstanding == 2);
}

TEST_CASE("a batch goes back whole, from several pools, with gaps") {
    recycler back;
    event_pool<market_event> one{{.slots = 4096, .back = &back}};
    event_pool<market_event> two{{.slots = 4096, .back = &back}};
    std::vector<pooled<market_event>> batch;
    for (int i = 0; i != 1000; ++i) {
        batch.push_back(i % 10 == 0     ? pooled<market_event>{}
                        : i % 300 < 150 ? one.get()
                                        : two.get());
    }
    back.recycle_many(std::span{batch});
    for (const auto& handle : batch) {
        REQUIRE_FALSE(handle);
    }
    REQUIRE(one.stats().outstanding == 0);
    REQUIRE(two.stats().outstanding == 0);
    REQUIRE(back.stats().recycled == 900);
}

TEST_CASE("an event crosses a C edge as a pointer and a ticket") {
    for (const guard_level level : {guard_level::off, guard_level::guard, guard_level::sampled,
                                    guard_level::full, guard_level::degenerate}) {
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{{.guard = level, .back = &back}};
        for (int i = 0; i != 2000; ++i) {
            auto event = pool.get();
            REQUIRE(event);
            event->user = 5;
            const raw_event<market_event> raw = back.lend(std::move(event));
            REQUIRE(raw.event->user == 5);
            REQUIRE(pool.peek(raw.ticket) == raw.event);
            REQUIRE(back.recycle_raw(pool, raw.event, raw.ticket));
        }
        REQUIRE(pool.stats().outstanding == 0);
        REQUIRE(pool.stats().recycled == 2000);
        REQUIRE(seen.count() == 0);
    }
}

TEST_CASE("one return in 1024 is timed") {
    recycler back;
    event_pool<market_event> pool{{.back = &back}};
    for (int i = 0; i != 4096; ++i) {
        pool.get().reset();
    }
    const auto durations = back.stats().durations;
    REQUIRE(std::accumulate(durations.begin(), durations.end(), std::uint64_t{0}) == 4);
}

TEST_CASE("policy throw_error throws from explicit calls only, after the work is done") {
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{{.policy = violation_policy::throw_error, .back = &back}};
    const raw_event<market_event> raw = back.lend(pool.get());
    REQUIRE(back.recycle_raw(pool, raw.event, raw.ticket));
    REQUIRE_THROWS_AS(back.recycle_raw(pool, raw.event, raw.ticket), violation_error);
    REQUIRE_THROWS_AS(pool.peek(raw.ticket), violation_error);

    auto event = pool.get();
    const slot_ref stale = event.slot();
    back.recycle(std::move(event));
    REQUIRE_NOTHROW(back.recycle_one<market_event>(pool.slots(), stale));  // a worker's call
    REQUIRE(seen.count() == 3);

    // A handle whose slot was returned behind its back.
    auto victim = pool.get();
    REQUIRE(back.recycle_one<market_event>(pool.slots(), victim.slot()));
    std::vector<pooled<market_event>> batch;
    batch.push_back(std::move(victim));
    batch.push_back(pool.get());
    REQUIRE_THROWS_AS(back.recycle_many(std::span{batch}), violation_error);
    REQUIRE_FALSE(batch[1]);
    {
        auto in_scope = pool.get();
        REQUIRE(back.recycle_one<market_event>(pool.slots(), in_scope.slot()));
    }  // the destructor reports and does not throw
    REQUIRE(seen.count() == 5);
    REQUIRE(back.stats().violations[static_cast<std::size_t>(violation_kind::double_put)] >= 3);
}
