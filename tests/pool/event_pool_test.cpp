// SPDX-License-Identifier: Apache-2.0
//
// The typed pool and its handles, with market_event and with users' own event types.
#include <ropeway/pool/event_pool.hpp>

#include <ropeway_test.hpp>

#include <array>
#include <functional>
#include <memory>
#include <set>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

static_assert(!std::is_copy_constructible_v<pooled<market_event>>);
static_assert(std::is_nothrow_move_constructible_v<pooled<market_event>>);
static_assert(std::is_nothrow_move_assignable_v<pooled<market_event>>);
static_assert(sizeof(pooled<market_event>) ==
              24);  // event, pool and slot; rings of handles hold it

/// An event that owns another one, and does something when it is reset.
struct parcel {
    std::uint32_t kind = 0;
    std::uint64_t routing_version = 0;
    std::shared_ptr<void> inside{};  // a pooled<parcel>
    std::function<void()> at_reset{};
};
template <>
struct ropeway::event_traits<parcel> : ropeway::event_traits_base<parcel> {
    [[nodiscard]] static std::uint32_t kind(const parcel& e) noexcept { return e.kind; }
    static void clone(parcel& to, const parcel& from) noexcept { to.kind = from.kind; }
    static void reset(parcel& e) noexcept {
        const auto inside = std::exchange(e.inside, nullptr);
        const auto last = std::exchange(e.at_reset, nullptr);
        if (last) {
            last();
        }
    }
};

// There is no way back but the recycler: no pool has a public put.
template <class T>
concept has_put = requires(T& pool, slot_ref ref) {
    pool.put(ref);
};
template <class T>
concept has_push = requires(T& pool, thread_cache& cache, slot_ref ref) {
    pool.push(cache, ref, std::uint16_t{});
};
static_assert(!has_put<slot_pool> && !has_put<event_pool<market_event>>);
static_assert(!has_push<slot_pool>);

TEST_CASE("a new event is a default one, however its slot was left") {
    event_pool<market_event> pool;
    for (int i = 0; i != 200; ++i) {
        auto event = pool.get();
        REQUIRE(event);
        REQUIRE(*event == market_event{});
        event->price = 1;
        event->trace = {1, 2};
    }
    REQUIRE(pool.stats().recycled_by_kind[0] == 200);
}

TEST_CASE("a handle owns its event until it is moved, returned or destroyed") {
    event_pool<market_event> pool;
    pooled<market_event> a = pool.get();
    market_event* const raw = a.get();
    pooled<market_event> b = std::move(a);
    REQUIRE_FALSE(a);  // NOLINT(bugprone-use-after-move): what is asked
    REQUIRE(b.get() == raw);
    REQUIRE(pool.stats().outstanding == 1);
    b = pool.get();
    REQUIRE(pool.stats().outstanding == 1);
    b.reset();
    b.reset();
    REQUIRE_FALSE(b);
    REQUIRE(pool.stats().outstanding == 0);
    {
        auto c = pool.get();
        auto& same = c;
        c = std::move(same);
        REQUIRE(c);
    }
    REQUIRE(pool.stats().outstanding == 0);
}

TEST_CASE("a ticket reads its event as long as it is out, and never the next one") {
    const recorder seen;
    event_pool<market_event> pool;
    auto event = pool.get();
    event->order = 77;
    const slot_ticket ticket = event.ticket();
    REQUIRE(pool.peek(ticket) == event.get());
    REQUIRE(pool.peek(ticket)->order == 77);
    event.reset();
    REQUIRE(pool.peek(ticket) == nullptr);
    auto next = pool.get();  // the same slot
    REQUIRE(next.slot().index == ticket.index);
    REQUIRE(pool.peek(ticket) == nullptr);
    REQUIRE(seen.count(violation_kind::stale_read) == 2);
}

TEST_CASE("a user's trivially copyable type works at every level") {
    for (const guard_level level : {guard_level::off, guard_level::guard, guard_level::sampled,
                                    guard_level::full, guard_level::degenerate}) {
        event_pool<tick> pool{{.slots = 64, .guard = level}};
        for (int i = 0; i != 3000; ++i) {
            auto event = pool.get();
            REQUIRE(event->value == 0);
            event->what = static_cast<std::uint16_t>(i % 2);
            event->value = i;
        }
        REQUIRE(pool.stats().recycled_by_kind[0] == 1500);
        REQUIRE(pool.stats().recycled_by_kind[1] == 1500);
        REQUIRE(pool.slots().storage().violations().total() == 0);
    }
}

TEST_CASE("a user's type with strings is reset by its own rules at every level") {
    for (const guard_level level : {guard_level::off, guard_level::guard, guard_level::sampled,
                                    guard_level::full, guard_level::degenerate}) {
        event_pool<note> pool{{.slots = 64, .guard = level}};
        for (int i = 0; i != 3000; ++i) {
            auto event = pool.get();
            REQUIRE(event->text.empty());
            REQUIRE(event->numbers.empty());
            event->text = "long enough to need memory of its own, kept for the next life";
            event->numbers.push_back(i);
            event->kind = 3;
        }
        REQUIRE(pool.stats().recycled_by_kind[3] == 3000);
        REQUIRE(pool.slots().storage().violations().total() == 0);
    }
}

TEST_CASE("handles may outlive their pool: the leak is reported and the return is harmless") {
    const recorder seen;
    pooled<market_event> late;
    {
        event_pool<market_event> pool{{.name = "short-lived"}};
        late = pool.get();
        late->price = 3;
    }
    REQUIRE(seen.count(violation_kind::leak) == 1);
    REQUIRE(late->price == 3);
    late.reset();
    REQUIRE(seen.count() == 1);
}

TEST_CASE("warmed-up pools work with all memory parameters") {
    event_pool<market_event> pool{{.slots = 256, .prepare = {.prefault = true, .lock = true}}};
    REQUIRE(pool.get());
    REQUIRE_NOTHROW(pool.slots().storage().warm_up({.prefault = true}, 256));
    REQUIRE(pool.memory_report().slot_bytes == 256 * 128);
}

TEST_CASE("a handle of any guard level goes back at any other, and its event stays whole") {
    constexpr std::array levels{guard_level::off, guard_level::guard, guard_level::sampled,
                                guard_level::full, guard_level::degenerate};
    const recorder seen;
    for (const guard_level taken : levels) {
        for (const guard_level returned : levels) {
            recycler back;
            event_pool<market_event> pool{{.guard = taken, .back = &back}};
            for (std::uint64_t life = 0; life != 3; ++life) {
                auto event = pool.get();
                event->kind = event_kind::quote;
                event->user = life;
                REQUIRE(pool.set_guard(returned));
                REQUIRE(event->user == life);
                auto other = pool.get();
                other->kind = event_kind::ticker;
                REQUIRE(pool.set_guard(taken));
                event.reset();
            }
            CAPTURE(to_string(taken), to_string(returned));
            REQUIRE(pool.stats().outstanding == 0);
            REQUIRE(pool.stats().recycled_by_kind[1] == 3);
            REQUIRE(pool.stats().recycled_by_kind[3] == 3);
            REQUIRE(seen.count() == 0);
        }
    }
}

TEST_CASE(
    "a reference that names no slot is reported when its handle goes back, and nothing else") {
    const guard_level level =
        GENERATE(guard_level::off, guard_level::guard, guard_level::sampled, guard_level::full);
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{{.slots = 64, .guard = level, .back = &back}};
    pool.get().reset();
    for (const std::uint32_t index : {64U, 1U << 20, 0xFFFF'FFFFU}) {
        auto nothing = back.adopt<market_event>(pool.slots(), {index, 0});
        REQUIRE(nothing);
        REQUIRE(nothing.slot() == slot_ref{index, 0});
        nothing.reset();
        REQUIRE(back.lend(back.adopt<market_event>(pool.slots(), {index, 0})).event == nullptr);
    }
    REQUIRE(seen.count() == 6);
    REQUIRE(seen.count(violation_kind::foreign_pointer) == 6);
    REQUIRE(pool.stats().recycled == 1);
    REQUIRE(pool.get());
}

TEST_CASE("a reference that a handle was released to is adopted once, on another thread") {
    const guard_level level = GENERATE(guard_level::guard, guard_level::sampled, guard_level::full);
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{{.slots = 64, .guard = level, .back = &back}};
    pooled<market_event> event = pool.get();
    event->user = 7;
    const slot_ref held = event.slot();
    const slot_ref released = event.release();
    REQUIRE(released == held);
    REQUIRE_FALSE(event);
    event.reset();  // nothing to give back
    REQUIRE(pool.stats().outstanding == 1);
    std::uint64_t user = 0;
    std::thread{[&] { user = back.adopt<market_event>(pool.slots(), released)->user; }}.join();
    REQUIRE(user == 7);
    REQUIRE(pool.stats().outstanding == 0);
    REQUIRE(pool.stats().recycled == 1);
    REQUIRE(seen.count() == 0);
    back.adopt<market_event>(pool.slots(), released).reset();  // once too often
    REQUIRE(seen.count(violation_kind::double_put) == 1);
    REQUIRE(pool.stats().recycled == 1);
}

TEST_CASE("a user's reset may give back and get events of the same pool") {
    const guard_level level =
        GENERATE(guard_level::off, guard_level::guard, guard_level::sampled, guard_level::full);
    const std::uint32_t entries = GENERATE(1U, 2U, 16U);
    const recorder seen;
    recycler back;
    constexpr std::uint32_t slots = 64;
    event_pool<parcel> pool{
        {.slots = slots, .guard = level, .magazine_entries = entries, .back = &back}};
    std::vector<pooled<parcel>> got;
    const auto fill = [&](int depth) {
        pooled<parcel> outer = pool.get();
        for (int i = 0; i != depth; ++i) {
            pooled<parcel> next = pool.get();
            next->inside = std::make_shared<pooled<parcel>>(std::move(outer));
            outer = std::move(next);
        }
        return outer;
    };
    for (int round = 0; round != 50; ++round) {
        fill(round % 5).reset();
        pooled<parcel> getter = fill(2);
        getter->at_reset = [&] { got.push_back(pool.get()); };
        getter.reset();
        REQUIRE(got.back());
        REQUIRE(pool.stats().outstanding == got.size());
        if (got.size() == 8) {
            got.clear();
        }
    }
    got.clear();
    REQUIRE(pool.stats().outstanding == 0);
    REQUIRE(seen.count() == 0);
    std::set<std::uint32_t> indexes;
    std::vector<pooled<parcel>> all;
    while (auto one = pool.get()) {
        REQUIRE(indexes.insert(one.slot().index).second);
        all.push_back(std::move(one));
    }
    // At `full` some wait in quarantine.
    REQUIRE(all.size() + pool.stats().parked == slots);
    for (auto& one : all) {
        one->inside.reset();
        one->at_reset = nullptr;
    }
}

TEST_CASE("at sampled one get in 1024 is watched, also with small magazines") {
    recycler back;
    const std::uint32_t entries = GENERATE(1U, 64U);
    event_pool<market_event> pool{
        {.slots = 4096, .guard = guard_level::sampled, .magazine_entries = entries, .back = &back}};
    std::vector<pooled<market_event>> held;
    std::size_t watched = 0;
    for (int i = 0; i != 4096; ++i) {
        held.push_back(pool.get());
        // Relaxed: our own.
        const std::uint64_t word = pool.slots()
                                       .storage()
                                       .header(held.back().slot().index)
                                       .word.load(std::memory_order_relaxed);
        watched += (word & slot_word::watched) != 0 ? 1U : 0U;
    }
    REQUIRE(watched == 4);
}

TEST_CASE("events that another thread gave back come out once each, with returns in between") {
    recycler back;
    constexpr std::uint32_t slots = 512;
    event_pool<market_event> pool{{.slots = slots, .magazine_entries = 16, .back = &back}};
    std::uint64_t gets = 0;
    for (int round = 0; round != 20; ++round) {
        std::vector<pooled<market_event>> held(slots - 64);
        std::vector<bool> seen(slots, false);
        for (std::size_t i = 0; i != held.size(); ++i) {
            held[i] = pool.get_for_overwrite();
            REQUIRE(held[i]);
            ++gets;
            if (i % 37 == 36) {  // into a magazine that may have come through the depot
                const slot_ref before = held[i].slot();
                held[i].reset();
                held[i] = pool.get_for_overwrite();
                REQUIRE(held[i]);
                ++gets;
                REQUIRE(held[i].slot() == slot_ref{before.index, before.generation + 1});
            }
            REQUIRE_FALSE(seen[held[i].slot().index]);
            seen[held[i].slot().index] = true;
        }
        REQUIRE(pool.stats().outstanding == held.size());
        std::thread{[&] { held.clear(); }}.join();
        REQUIRE(pool.stats().outstanding == 0);
        REQUIRE(pool.stats().recycled == gets);
    }
}
