// SPDX-License-Identifier: Apache-2.0
//
// The misuse matrix of pooled events: every way to give one back wrongly or to touch it afterwards,
// at every level that claims to detect it. A handle cannot be copied, so a second return is forged
// the way it happens in programs: by a copy of the handle's bytes, or through the raw pointer of a
// lent event. Rings and claims have their own matrix in tests/dispatcher.
#include <ropeway/pool/event_pool.hpp>

#include <ropeway_test.hpp>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

/// Takes every slot there is, as far as the pool gives them; checks that none has two owners.
std::vector<pooled<market_event>> take_all(event_pool<market_event>& pool) {
    std::vector<pooled<market_event>> held;
    std::vector<std::uint32_t> indices;
    for (;;) {
        auto event = pool.get();
        if (!event) {
            break;
        }
        indices.push_back(event.slot().index);
        held.push_back(std::move(event));
    }
    std::sort(indices.begin(), indices.end());
    REQUIRE(std::adjacent_find(indices.begin(), indices.end()) == indices.end());
    return held;
}

bool names_both(const violation& what) {
    return what.first.action != slot_action::none && what.second.action != slot_action::none &&
           what.first.site != known_site::unknown && what.second.site != known_site::unknown &&
           what.first.thread == thread_number() && what.second.thread == thread_number() &&
           std::string_view{what.pool.data()} == "misused";
}

constexpr std::array detecting{guard_level::guard, guard_level::full, guard_level::degenerate};

}  // namespace

TEST_CASE("an event put twice in a row is detected, and never has two owners") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        auto event = pool.get();
        const std::uint32_t slot = event.slot().index;
        forged_handle second{event};
        back.recycle(std::move(event));
        back.recycle(std::move(*second));
        if (level == guard_level::full) {
            REQUIRE(seen.count() == 1);  // at the put
        }
        auto held = take_all(pool);
        REQUIRE(seen.count() == 1);  // at the latest by the next hand-out
        CHECK(seen.at(0).kind == violation_kind::double_put);
        CHECK(seen.at(0).index == slot);
        CHECK(names_both(seen.at(0)));
    }
}

TEST_CASE("an event put, another put, and the first put again is detected") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        auto p = pool.get();
        auto q = pool.get();
        const std::uint32_t slot = p.slot().index;
        forged_handle again{p};
        back.recycle(std::move(p));
        back.recycle(std::move(q));
        back.recycle(std::move(*again));
        auto held = take_all(pool);
        REQUIRE(seen.count() == 1);
        CHECK(seen.at(0).kind == violation_kind::double_put);
        CHECK(seen.at(0).index == slot);
        CHECK(names_both(seen.at(0)));
    }
}

TEST_CASE("a put by a former holder, after the slot was handed out again, is detected") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back, 16)};
        auto event = pool.get();
        const std::uint32_t slot = event.slot().index;
        forged_handle former{event};
        back.recycle(std::move(event));
        auto held = take_all(pool);  // somebody has it now, or it waits in quarantine
        const bool reused = std::any_of(held.begin(), held.end(), [slot](const auto& each) {
            return each.slot().index == slot;
        });
        back.recycle(std::move(*former));
        auto more = take_all(pool);
        REQUIRE(seen.count() == 1);
        CHECK(seen.at(0).kind ==
              (reused ? violation_kind::put_after_reuse : violation_kind::double_put));
        CHECK(seen.at(0).index == slot);
        CHECK(names_both(seen.at(0)));
        if (level == guard_level::guard) {
            CHECK(reused);
        }
        // Its holder gives it back as always, and nobody else has it meanwhile.
        held.clear();
        CHECK(seen.count() == 1);
    }
}

TEST_CASE("of two threads that put the same event at once one is reported, a million times",
          "[stress]") {
    const guard_level level = GENERATE(guard_level::guard, guard_level::full);
    INFO(to_string(level));
    const std::uint64_t races = sanitized ? 20'000 : 1'000'000;
    const recorder seen;
    recycler back;
    auto params = misused_pool(level, back, 16);
    params.quarantine = 0;
    params.magazine_entries = 1;
    std::uint64_t found_late = 0;
    std::uint64_t two_owners = 0;
    std::uint64_t raced = 0;
    // A wrong return may cost the pool a slot, so a fresh pool takes over now and then.
    while (raced < races) {
        event_pool<market_event> pool{params};
        spin_barrier both{2};
        std::atomic<forged_handle*> theirs{nullptr};
        constexpr std::uint64_t batch = 10'000;
        std::thread other{[&] {
            for (std::uint64_t i = 0; i < batch; ++i) {
                both.wait();
                if (forged_handle* const mine = theirs.load(std::memory_order_acquire)) {
                    (**mine).reset();
                }
                both.wait();
            }
        }};
        for (std::uint64_t i = 0; i < batch; ++i) {
            auto event = pool.get();
            if (!event) {
                theirs.store(nullptr, std::memory_order_release);
                both.wait();
                both.wait();
                continue;
            }
            forged_handle second{event};
            theirs.store(&second, std::memory_order_release);
            const std::size_t before = seen.count();
            both.wait();
            event.reset();
            both.wait();
            ++raced;
            const std::size_t at_put = seen.count() - before;
            auto a = pool.get();
            auto b = pool.get();
            two_owners += a && b && a.slot().index == b.slot().index ? 1U : 0U;
            const std::size_t all = seen.count() - before;
            if (all > at_put) {
                ++found_late;
            }
            if (all == 0) {
                // At guard the doubled entry may lie in the other thread's magazine: take them all.
                auto held = take_all(pool);
            }
        }
        other.join();
        auto held = take_all(pool);
    }
    CHECK(two_owners == 0);
    CHECK(seen.count() == raced);
    CHECK(seen.count(violation_kind::double_put) + seen.count(violation_kind::put_after_reuse) ==
          seen.count());
    if (level == guard_level::full) {
        CHECK(found_late == 0);
    }
}

TEST_CASE("a lent event given back twice, by one thread or two, goes back once at every level") {
    for (const guard_level level : {guard_level::off, guard_level::guard, guard_level::sampled,
                                    guard_level::full, guard_level::degenerate}) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        std::uint64_t accepted = 0;
        constexpr int rounds = 2000;
        spin_barrier both{2};
        raw_event<market_event> raw{};
        std::atomic<std::uint64_t> theirs{0};
        std::thread other{[&] {
            for (int i = 0; i < rounds; ++i) {
                both.wait();
                theirs.fetch_add(back.recycle_raw(pool, raw.event, raw.ticket) ? 1 : 0,
                                 std::memory_order_relaxed);
                both.wait();
            }
        }};
        for (int i = 0; i < rounds; ++i) {
            auto event = pool.get();
            raw = event ? back.lend(std::move(event)) : raw_event<market_event>{};
            both.wait();
            accepted += back.recycle_raw(pool, raw.event, raw.ticket) ? 1U : 0U;
            both.wait();
        }
        other.join();
        CHECK(accepted + theirs.load() == rounds);
        CHECK(seen.count() == rounds);
        CHECK(pool.stats().outstanding == 0);
    }
}

TEST_CASE("a write after put is found at the next hand-out of the slot, at every byte, at full") {
    const recorder seen;
    recycler back;
    auto params = misused_pool(guard_level::full, back, 1024);
    params.quarantine = 0;
    event_pool<market_event> pool{params};
    for (std::size_t offset = 0; offset < sizeof(market_event); ++offset) {
        INFO("byte " << offset);
        auto event = pool.get();
        REQUIRE(event);
        market_event* const kept = event.get();
        const std::uint32_t slot = event.slot().index;
        back.recycle(std::move(event));
        reinterpret_cast<unsigned char*>(kept)[offset] ^= 0x41U;
        auto next = pool.get();  // last in, first out: the same slot, were it sound
        REQUIRE(next);
        REQUIRE(next.get() != kept);
        REQUIRE(seen.count() == offset + 1);
        const violation& what = seen.last();
        CHECK(what.kind == violation_kind::write_after_put);
        CHECK(what.index == slot);
        CHECK(what.offset == offset);
        CHECK(what.found != what.expected);
        CHECK(what.first.action == slot_action::put);
        CHECK(site_text(what.first.site).starts_with("misuse_test.cpp:"));
    }
}

TEST_CASE("what guard does not detect: a write after put; it is documented as such") {
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{misused_pool(guard_level::guard, back)};
    auto event = pool.get();
    market_event* const kept = event.get();
    back.recycle(std::move(event));
    kept->price = 77;
    auto held = take_all(pool);
    CHECK(seen.count() == 0);
    for (const auto& each : held) {
        CHECK(*each == market_event{});  // and yet nobody is given what was written
    }
}

TEST_CASE("a read through a stale handle is detected at the read") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        auto event = pool.get();
        const slot_ticket ticket = event.ticket();
        REQUIRE(pool.peek(ticket) == event.get());
        back.recycle(std::move(event));
        REQUIRE(pool.peek(ticket) == nullptr);
        REQUIRE(seen.count(violation_kind::stale_read) == 1);
        auto held = take_all(pool);  // reused: still not its event
        REQUIRE(pool.peek(ticket) == nullptr);
        REQUIRE(seen.count(violation_kind::stale_read) == 2);
        REQUIRE(seen.count() == 2);
        CHECK(seen.at(0).second.action == slot_action::read);
        CHECK(site_text(seen.at(0).second.site).starts_with("misuse_test.cpp:"));
    }
}

TEST_CASE("a foreign pointer and another pool's event are refused and named") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        event_pool<market_event> other{misused_pool(level, back)};
        auto event = pool.get();
        const slot_ticket ticket = event.ticket();
        market_event on_stack{};
        const raw_event<market_event> raw = back.lend(std::move(event));
        REQUIRE_FALSE(back.recycle_raw(pool, &on_stack, ticket));
        REQUIRE(seen.count(violation_kind::foreign_pointer) == 1);
        REQUIRE_FALSE(back.recycle_raw(other, raw.event, raw.ticket));
        REQUIRE(seen.count(violation_kind::foreign_pool) == 1);
        REQUIRE(seen.count() == 2);
        // Neither cost the event its way home.
        REQUIRE(back.recycle_raw(pool, raw.event, raw.ticket));
        REQUIRE(pool.stats().outstanding == 0);
        REQUIRE(other.stats().outstanding == 0);
    }
}

TEST_CASE("a leak at shutdown is reported with its site, at every level that knows sites") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        std::vector<pooled<market_event>> kept;
        {
            event_pool<market_event> pool{misused_pool(level, back)};
            kept.push_back(pool.get());
        }
        REQUIRE(seen.count(violation_kind::leak) == 1);
        CHECK(seen.at(0).count == 1);
        CHECK(site_text(seen.at(0).first.site).starts_with("misuse_test.cpp:"));
        kept.clear();  // "returned after all" is harmless
        CHECK(seen.count() == 1);
    }
}

TEST_CASE("levels may change while others recycle: no false report, no slot lost", "[stress]") {
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{misused_pool(guard_level::guard, back, 4096)};
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&] {
            std::vector<pooled<market_event>> held;
            for (std::uint64_t i = 0; !over.load(std::memory_order_relaxed); ++i) {
                auto event = pool.get();
                if (event) {
                    event->user = i;
                    held.push_back(std::move(event));
                }
                if (held.size() >= 8) {
                    back.recycle_many(std::span{held});
                    held.clear();
                }
            }
        });
    }
    for (int i = 0; i < (sanitized ? 200 : 2000); ++i) {
        for (const guard_level level :
             {guard_level::full, guard_level::off, guard_level::sampled, guard_level::guard}) {
            REQUIRE(pool.set_guard(level));
        }
    }
    over.store(true, std::memory_order_relaxed);
    for (auto& each : threads) {
        each.join();
    }
    CHECK(seen.count() == 0);
    CHECK(pool.stats().outstanding == 0);
    CHECK(pool.leak_report().clean());
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("at degenerate AddressSanitizer sees every byte of a returned event") {
    recycler back;
    event_pool<market_event> pool{misused_pool(guard_level::degenerate, back)};
    auto event = pool.get();
    market_event* const kept = event.get();
    for (std::size_t i = 0; i < sizeof(market_event); ++i) {
        REQUIRE(__asan_address_is_poisoned(reinterpret_cast<char*>(kept) + i) == 0);
    }
    back.recycle(std::move(event));
    for (std::size_t i = 0; i < sizeof(market_event); ++i) {
        REQUIRE(__asan_address_is_poisoned(reinterpret_cast<char*>(kept) + i) == 1);
    }
}
#endif
