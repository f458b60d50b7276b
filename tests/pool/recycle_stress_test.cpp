// SPDX-License-Identifier: Apache-2.0
//
// Many threads get, give back, and give back what others got. Every event is counted on its way out
// and on its way in by the test itself, and the pool must agree. One thread asserts.
#include <ropeway/pool/event_pool.hpp>

#include <ropeway_test.hpp>

#include <atomic>
#include <numeric>
#include <thread>
#include <vector>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

constexpr std::uint32_t slots = 4096;
constexpr std::size_t boxes = 64;
constexpr unsigned parties = 4;
constexpr std::uint64_t turns = sanitized ? 20'000 : 400'000;

/// A place where one thread leaves an event and any thread takes it.
struct alignas(cache_block) letter_box {
    std::atomic<int> stage{0};  ///< 0 empty, 1 in use, 2 full
    pooled<market_event> event;
};

struct tally {
    std::uint64_t out = 0;
    std::uint64_t in = 0;
    std::uint64_t crossed = 0;
    std::uint64_t spoiled = 0;  ///< events whose content another holder changed
};

bool sound(const market_event& e) noexcept { return e.user == ~e.order; }

/// Leaves `event` in the box and takes what was there; nothing happens if the box is in use.
void swap_in(letter_box& box, pooled<market_event>& event) noexcept {
    int stage = box.stage.load(std::memory_order_relaxed);
    if (stage == 1 || !box.stage.compare_exchange_strong(stage, 1, std::memory_order_acquire,
                                                         std::memory_order_relaxed)) {
        return;
    }
    std::swap(box.event, event);
    box.stage.store(box.event ? 2 : 0, std::memory_order_release);
}

void give_back_all(recycler& back, std::vector<pooled<market_event>>& held, tally& mine) {
    for (const auto& each : held) {
        mine.spoiled += sound(*each) ? 0U : 1U;
    }
    mine.in += held.size();
    back.recycle_many(std::span{held});
    held.clear();
}

void take_turns(event_pool<market_event>& pool, std::vector<letter_box>& post, unsigned me,
                tally& mine) {
    recycler& back = pool.back();
    std::vector<pooled<market_event>> held;
    std::uint64_t dice = me * 2654435761U + 1;
    for (std::uint64_t i = 0; i != turns; ++i) {
        dice = dice * 6364136223846793005U + 1442695040888963407U;
        auto event = pool.get();
        if (event) {
            ++mine.out;
            event->user = (std::uint64_t{me} << 48) | i;
            event->order = ~event->user;
            event->kind = static_cast<event_kind>(i % 10);
        }
        if ((dice >> 60) < 8) {
            swap_in(post[(dice >> 40) % boxes], event);
            mine.crossed += event && (event->user >> 48) != me ? 1U : 0U;
        }
        if (!event) {
            continue;
        }
        if ((dice >> 56) % 4 == 0) {
            mine.spoiled += sound(*event) ? 0U : 1U;
            ++mine.in;
            event.reset();
        } else {
            held.push_back(std::move(event));
        }
        if (held.size() == 32) {
            give_back_all(back, held, mine);
        }
    }
    give_back_all(back, held, mine);
}

}  // namespace

TEST_CASE("what many threads get and give back across each other adds up at every level") {
    for (const guard_level level : {guard_level::off, guard_level::guard, guard_level::sampled,
                                    guard_level::full, guard_level::degenerate}) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{{.slots = slots, .guard = level, .back = &back}};
        std::vector<letter_box> post(boxes);
        std::vector<tally> tallies(parties);
        std::vector<std::thread> threads;
        for (unsigned t = 0; t != parties; ++t) {
            threads.emplace_back([&, t] {
                tally mine;
                take_turns(pool, post, t, mine);
                tallies[t] = mine;
            });
        }
        for (auto& each : threads) {
            each.join();
        }
        tally sum;
        for (auto& box : post) {
            sum.in += box.event ? 1U : 0U;
            box.event.reset();
        }
        for (const tally& each : tallies) {
            sum.out += each.out;
            sum.in += each.in;
            sum.crossed += each.crossed;
            sum.spoiled += each.spoiled;
        }
        const pool_stats stats = pool.stats();
        CHECK(sum.out == parties * turns);  // it was never exhausted
        CHECK(sum.in == sum.out);
        CHECK(sum.crossed > 0);
        CHECK(sum.spoiled == 0);
        CHECK(stats.recycled == sum.out);
        CHECK(std::accumulate(stats.recycled_by_kind.begin(), stats.recycled_by_kind.end(),
                              std::uint64_t{0}) == sum.out);
        CHECK(stats.outstanding == 0);
        CHECK(stats.retired == 0);
        CHECK(stats.refused == 0);
        CHECK(pool.leak_report().clean());
        CHECK(seen.count() == 0);
    }
}

TEST_CASE("threads that come and go leave no slot behind") {
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{{.slots = 256, .max_threads = 2, .back = &back}};
    constexpr int generations = sanitized ? 50 : 500;
    std::atomic<std::uint64_t> got{0};
    for (int i = 0; i != generations; ++i) {
        std::vector<std::thread> threads;
        for (int t = 0; t != 3; ++t) {  // one more than may have magazines
            threads.emplace_back([&] {
                for (int n = 0; n != 40; ++n) {
                    const auto event = pool.get();
                    got.fetch_add(event ? 1 : 0, std::memory_order_relaxed);
                }
            });
        }
        for (auto& each : threads) {
            each.join();
        }
    }
    CHECK(got.load() == std::uint64_t{3} * 40 * generations);
    CHECK(pool.stats().recycled == got.load());
    CHECK(pool.stats().outstanding == 0);
    CHECK(pool.stats().parked == 0);
    CHECK(pool.stats().available == 256);
    CHECK(seen.count() == 0);
}
