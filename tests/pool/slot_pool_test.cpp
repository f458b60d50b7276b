// SPDX-License-Identifier: Apache-2.0
//
// Magazines, depot and accounts of an untyped pool.
#include <ropeway/pool/slot_pool.hpp>

#include <ropeway_test.hpp>

#include <set>
#include <thread>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

slot_pool_params params(std::uint32_t slots, guard_level level = guard_level::guard) {
    slot_pool_params p;
    p.storage.name = "slots";
    p.storage.slots = slots;
    p.storage.slot_bytes = 128;
    p.storage.guard = level;
    p.storage.ops = slab_ops::of<market_event>();
    return p;
}

std::uint64_t here() { return make_meta(known_site::unknown, thread_number(), coarse_now_ms()); }

void check_sum(const slot_pool& pool) {
    const pool_stats s = pool.stats();
    REQUIRE(s.outstanding + s.parked + s.available == s.capacity);
}

}  // namespace

TEST_CASE("every slot is handed out exactly once until it returns") {
    recycler back;
    for (const guard_level level : {guard_level::off, guard_level::guard, guard_level::full}) {
        slot_pool pool{params(1000, level)};
        back.bind(pool);
        std::set<std::uint32_t> seen;
        std::vector<slot_ref> held;
        slot_ref ref;
        while (pool.get(ref, here())) {
            REQUIRE(seen.insert(ref.index).second);
            held.push_back(ref);
            check_sum(pool);
        }
        REQUIRE(held.size() == 1000);
        REQUIRE(pool.outstanding() == 1000);
        REQUIRE(pool.high_water_mark() == 1000);
        REQUIRE(pool.stats().exhausted == 1);
        for (const slot_ref& r : held) {
            REQUIRE(back.recycle_one<market_event>(pool, r));
            check_sum(pool);
        }
        REQUIRE(pool.outstanding() == 0);
        pool.flush_thread();
        REQUIRE(pool.parked() == 0);
        REQUIRE(pool.available() == 1000);
    }
}

TEST_CASE("get_n and recycle_n move runs, across magazines, and never wait") {
    recycler back;
    slot_pool pool{params(500)};
    std::vector<slot_ref> refs(600);
    for (const std::size_t n : {1U, 32U, 64U, 65U, 200U, 499U, 500U}) {
        REQUIRE(pool.get_n(refs.data(), n, here()) == n);
        REQUIRE(pool.outstanding() == n);
        back.recycle_n<market_event>(pool, refs.data(), n);
        REQUIRE(pool.outstanding() == 0);
        check_sum(pool);
    }
    REQUIRE(pool.get_n(refs.data(), 600, here()) == 500);
    std::set<std::uint32_t> indices;
    for (std::size_t i = 0; i != 500; ++i) {
        indices.insert(refs[i].index);
    }
    REQUIRE(indices.size() == 500);
    back.recycle_n<market_event>(pool, refs.data(), 500);
    REQUIRE(pool.stats().recycled == 1U + 32 + 64 + 65 + 200 + 499 + 500 + 500);
}

TEST_CASE("renewed slots are other lives of the same slots, and counted as returned") {
    const auto level = GENERATE(guard_level::off, guard_level::guard);
    recorder seen;
    recycler back;
    slot_pool pool{params(64, level)};
    back.bind(pool);
    std::array<slot_ref, 40> held{};
    REQUIRE(pool.get_n(held.data(), held.size(), make_meta(1, 2, 3)) == held.size());
    const auto before = held;
    for (const slot_ref& one : held) {
        static_cast<market_event*>(pool.payload(one.index))->kind = event_kind::quote;
    }
    REQUIRE(back.renew_n<market_event>(pool, held, make_meta(7, 2, 3)) == held.size());
    for (std::size_t i = 0; i != held.size(); ++i) {
        CHECK(held[i].index == before[i].index);
        CHECK(held[i].generation == before[i].generation + 1);
        CHECK_FALSE(pool.storage().is_current(before[i]));
        CHECK(pool.storage().is_current(held[i]));
    }
    CHECK(back.stats().recycled == held.size());
    CHECK(back.stats().recycled_by_kind[kind_cell(static_cast<std::uint32_t>(event_kind::quote))] ==
          held.size());
    CHECK(pool.outstanding() == held.size());
    CHECK(pool.leaks().outstanding == held.size());
    back.recycle_n<market_event>(pool, held.data(), held.size());
    CHECK(pool.outstanding() == 0);
    CHECK(seen.count() == 0);
}

TEST_CASE("a slot that is not the holder's is not renewed, and reported when it is given back") {
    recorder seen;
    recycler back;
    slot_pool pool{params(64, guard_level::guard)};
    back.bind(pool);
    std::array<slot_ref, 8> held{};
    REQUIRE(pool.get_n(held.data(), held.size(), make_meta(1, 2, 3)) == held.size());
    const slot_ref twice = held[5];
    REQUIRE(back.recycle_one<market_event>(pool, twice));
    CHECK(back.renew_n<market_event>(pool, held, make_meta(1, 2, 3)) == 5);
    CHECK(held[5].generation == twice.generation);
    CHECK(seen.count() == 0);
    back.recycle_n<market_event>(pool, held.data(), held.size());
    CHECK(seen.count() == 1);
    CHECK(pool.outstanding() == 0);
}

TEST_CASE("what ensure promises, get_n finds") {
    recycler back;
    slot_pool pool{params(2000)};
    std::vector<slot_ref> refs(64);
    std::size_t rounds = 0;
    std::vector<slot_ref> kept;
    while (const std::size_t ready = pool.ensure(40)) {
        REQUIRE(ready <= 40);
        REQUIRE(pool.get_n(refs.data(), ready, here()) == ready);
        kept.insert(kept.end(), refs.begin(), refs.begin() + static_cast<std::ptrdiff_t>(ready));
        ++rounds;
    }
    REQUIRE(kept.size() == 2000);
    REQUIRE(rounds >= 50);
    back.recycle_n<market_event>(pool, kept.data(), kept.size());
    REQUIRE(pool.outstanding() == 0);
}

TEST_CASE("a thread's magazines go back to the depot when it ends") {
    recycler back;
    slot_pool pool{params(1024)};
    std::thread worker{[&] {
        std::vector<slot_ref> refs(100);
        static_cast<void>(pool.get_n(refs.data(), 100, here()));
        back.recycle_n<market_event>(pool, refs.data(), 100);
    }};
    worker.join();
    REQUIRE(pool.parked() == 0);
    REQUIRE(pool.available() == 1024);
    REQUIRE(pool.stats().recycled == 100);
}

TEST_CASE("threads that come and go leave no scraps behind that could fill the depot") {
    recycler back;
    slot_pool pool{params(640)};  // magazines of 40
    for (int i = 0; i != 300; ++i) {
        std::thread worker{[&, i] {
            slot_ref ref;
            for (int k = 0; k <= i % 7; ++k) {
                if (pool.get(ref, here())) {
                    back.recycle_one<market_event>(pool, ref);
                }
            }
        }};
        worker.join();
    }
    REQUIRE(pool.outstanding() == 0);
    std::vector<slot_ref> all(640);
    REQUIRE(pool.get_n(all.data(), 640, here()) == 640);
    back.recycle_n<market_event>(pool, all.data(), 640);
}

TEST_CASE("threads beyond max_threads work without magazines") {
    recycler back;
    slot_pool_params p = params(256);
    p.max_threads = 1;
    slot_pool pool{std::move(p)};
    slot_ref mine;
    REQUIRE(pool.get(mine, here()));
    std::size_t got = 0;
    std::thread other{[&] {
        std::vector<slot_ref> refs(300);
        got = pool.get_n(refs.data(), pool.ensure(300), here());
        back.recycle_n<market_event>(pool, refs.data(), got);
        for (int i = 0; i != 100; ++i) {
            slot_ref ref;
            if (pool.get(ref, here())) {
                back.recycle_one<market_event>(pool, ref);
            }
        }
    }};
    other.join();
    REQUIRE(got == 256 - pool.magazine_entries());  // the rest is this thread's magazine
    REQUIRE(pool.outstanding() == 1);
    check_sum(pool);
    back.recycle_one<market_event>(pool, mine);
    REQUIRE(pool.outstanding() == 0);
    REQUIRE(pool.stats().recycled == got + 101);
}

TEST_CASE("more pools than a thread's table has places are still told apart") {
    recycler back;
    std::vector<std::unique_ptr<slot_pool>> pools;
    for (int i = 0; i != 150; ++i) {
        pools.push_back(std::make_unique<slot_pool>(params(32)));
    }
    for (int round = 0; round != 3; ++round) {
        for (auto& pool : pools) {
            slot_ref ref;
            REQUIRE(pool->get(ref, here()));
            REQUIRE(back.recycle_one<market_event>(*pool, ref));
            REQUIRE(pool->outstanding() == 0);
        }
    }
}

TEST_CASE("small pools have small magazines, so that one thread cannot park everything") {
    REQUIRE(slot_pool{params(8)}.magazine_entries() == 1);
    REQUIRE(slot_pool{params(160)}.magazine_entries() == 10);
    REQUIRE(slot_pool{params(100'000)}.magazine_entries() == 64);
}

TEST_CASE("the memory report counts slots, tables and magazines") {
    slot_pool pool{params(1024)};
    const memory_report before = pool.memory();
    REQUIRE(before.slot_bytes == 1024 * 128);
    REQUIRE(before.guard_bytes == 0);
    REQUIRE(before.magazine_bytes > 0);
    REQUIRE(pool.set_guard(guard_level::full));
    REQUIRE(pool.memory().guard_bytes > 0);
    REQUIRE(pool.memory().total_bytes() > before.total_bytes());
}

TEST_CASE("bad pool parameters are refused with the value and the remedy") {
    using Catch::Matchers::Contains;
    auto p = params(16);
    p.magazine_entries = 65;
    REQUIRE_THROWS_WITH(slot_pool{p}, Contains("65") && Contains("1 to 64"));
    p = params(16);
    p.quarantine = 65;
    REQUIRE_THROWS_WITH(slot_pool{p}, Contains("quarantine is 65"));
    p = params(16);
    p.max_threads = 0;
    REQUIRE_THROWS_WITH(slot_pool{p}, Contains("max_threads is 0"));
    p = params(16);
    p.exhausted = on_exhausted::callback;
    REQUIRE_THROWS_WITH(slot_pool{p}, Contains("Set `callback`"));
    p.exhausted = on_exhausted::grow;
    REQUIRE_THROWS_WITH(slot_pool{p}, Contains("larger max_slots"));
}
