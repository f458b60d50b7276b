// SPDX-License-Identifier: Apache-2.0
//
// The misuse matrix's other half: how soon `full` finds a write, whom a report names when two
// threads or two places take part, and what happens at `degenerate`. One thread asserts.
#include <ropeway/pool/event_pool.hpp>

#include <ropeway_test.hpp>

#include <array>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

constexpr std::array detecting{guard_level::guard, guard_level::full, guard_level::degenerate};

}  // namespace

TEST_CASE("at full a write after put is found by the writer's thread at its next put") {
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{misused_pool(guard_level::full, back, 1024)};
    const site taken = site::here();
    const site given = site::here();
    for (std::size_t offset = 0; offset != sizeof(market_event); ++offset) {
        INFO("byte " << offset);
        auto event = pool.get(taken);
        auto next = pool.get();
        REQUIRE((event && next));
        auto* const kept = reinterpret_cast<unsigned char*>(event.get());
        const std::uint32_t slot = event.slot().index;
        back.recycle(std::move(event), given);
        kept[offset] ^= 0x10U;
        REQUIRE(seen.count() == offset);
        back.recycle(std::move(next));  // one event later
        REQUIRE(seen.count() == offset + 1);
        const violation& what = seen.last();
        CHECK(what.kind == violation_kind::write_after_put);
        CHECK(what.index == slot);
        CHECK(what.offset == offset);
        CHECK(what.found == (what.expected ^ 0x10U));
        CHECK(what.first.action == slot_action::put);
        CHECK(what.first.site == given.id());
        CHECK(what.first.thread == thread_number());
        CHECK(what.second.action == slot_action::wrote);
        CHECK(what.second.site == taken.id());
        CHECK(what.second.thread == thread_number());
        CHECK(what.history_size >= 2);
    }
    CHECK(pool.stats().retired == sizeof(market_event));
    CHECK(pool.stats().outstanding == 0);
}

TEST_CASE("a second put by another thread names both threads and both places") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        auto event = pool.get();
        forged_handle second{event};
        const site first_place = site::here();
        const site second_place = site::here();
        back.recycle(std::move(event), first_place);
        std::uint16_t offender = 0;
        std::thread other{[&] {
            offender = thread_number();
            back.recycle(std::move(*second), second_place);
        }};
        other.join();
        REQUIRE(seen.count() == 1);
        const violation& what = seen.at(0);
        CHECK(what.kind == violation_kind::double_put);
        CHECK(what.first.site == first_place.id());
        CHECK(what.first.thread == thread_number());
        CHECK(what.second.site == second_place.id());
        CHECK(what.second.thread == offender);
        const std::string text = to_string(what);
        CHECK(text.find(site_text(first_place.id())) != std::string::npos);
        CHECK(text.find(site_text(second_place.id())) != std::string::npos);
    }
}

TEST_CASE("a put after reuse names the present holder and the former one") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        auto params = misused_pool(level, back, 1);
        params.quarantine = 0;
        event_pool<market_event> pool{params};
        auto event = pool.get();
        forged_handle former{event};
        back.recycle(std::move(event));
        const site holder = site::here();
        const site offender = site::here();
        auto holds = pool.get(holder);
        REQUIRE(holds);
        back.recycle(std::move(*former), offender);
        REQUIRE(seen.count() == 1);
        CHECK(seen.at(0).kind == violation_kind::put_after_reuse);
        CHECK(seen.at(0).first.action == slot_action::acquired);
        CHECK(seen.at(0).first.site == holder.id());
        CHECK(seen.at(0).second.action == slot_action::put);
        CHECK(seen.at(0).second.site == offender.id());
        CHECK(seen.at(0).generation_found == seen.at(0).generation_held + 1);
        holds.reset();
        CHECK(seen.count() == 1);
        CHECK(pool.stats().outstanding == 0);
    }
}

TEST_CASE("a stale read names who gave the event back and who read it") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        auto event = pool.get();
        const slot_ticket ticket = event.ticket();
        const site given = site::here();
        const site read = site::here();
        back.recycle(std::move(event), given);
        REQUIRE(pool.peek(ticket, read) == nullptr);
        REQUIRE(seen.count() == 1);
        CHECK(seen.at(0).first.action == slot_action::put);
        CHECK(seen.at(0).first.site == given.id());
        CHECK(seen.at(0).second.action == slot_action::read);
        CHECK(seen.at(0).second.site == read.id());
    }
}

TEST_CASE("a foreign pointer's report names who lent the ticket's event and who came with it") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        event_pool<market_event> pool{misused_pool(level, back)};
        const site lender = site::here();
        const site offender = site::here();
        const raw_event<market_event> raw = back.lend(pool.get(), lender);
        market_event stranger{};
        REQUIRE_FALSE(back.recycle_raw(pool, &stranger, raw.ticket, offender));
        REQUIRE(seen.count() == 1);
        CHECK(seen.at(0).kind == violation_kind::foreign_pointer);
        CHECK(seen.at(0).first.action == slot_action::lent);
        CHECK(seen.at(0).first.site == lender.id());
        CHECK(seen.at(0).second.action == slot_action::put);
        CHECK(seen.at(0).second.site == offender.id());
        REQUIRE(back.recycle_raw(pool, raw.event, raw.ticket));
        CHECK(seen.count() == 1);
    }
}

TEST_CASE("leaks are reported once per place, with the number of slots and the thread") {
    for (const guard_level level : detecting) {
        INFO(to_string(level));
        const recorder seen;
        recycler back;
        std::vector<pooled<market_event>> kept;
        const site one = site::here();
        const site two = site::here();
        {
            event_pool<market_event> pool{misused_pool(level, back)};
            for (int i = 0; i != 5; ++i) {
                kept.push_back(pool.get(i < 3 ? one : two));
            }
        }
        REQUIRE(seen.count() == 2);
        REQUIRE(seen.count(violation_kind::leak) == 2);
        for (std::size_t i = 0; i != 2; ++i) {
            const violation& what = seen.at(i);
            CHECK((what.first.site == one.id() || what.first.site == two.id()));
            CHECK(what.count == (what.first.site == one.id() ? 3 : 2));
            CHECK(what.first.action == slot_action::acquired);
            CHECK(what.first.thread == thread_number());
        }
        CHECK(seen.at(0).first.site != seen.at(1).first.site);
    }
}

TEST_CASE("two puts at once at degenerate: one goes back, one is reported at the put", "[stress]") {
    constexpr std::size_t races = sanitized ? 1'000 : 20'000;
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{misused_pool(guard_level::degenerate, back)};
    spin_barrier both{2};
    forged_handle* theirs = nullptr;  // handed over by the barrier
    std::thread other{[&] {
        for (std::size_t i = 0; i != races; ++i) {
            both.wait();
            if (theirs != nullptr) {
                (**theirs).reset();
            }
            both.wait();
        }
    }};
    std::size_t raced = 0;
    std::size_t at_the_put = 0;
    for (std::size_t i = 0; i != races; ++i) {
        auto event = pool.get();
        forged_handle second{event};
        raced += event ? 1U : 0U;
        theirs = event ? &second : nullptr;
        both.wait();
        event.reset();
        both.wait();
        at_the_put += seen.count() == i + 1 ? 1U : 0U;
    }
    other.join();
    CHECK(raced == races);
    CHECK(at_the_put == races);
    CHECK(seen.count(violation_kind::double_put) == races);
    CHECK(seen.count() == races);
    CHECK(pool.stats().recycled == races);
    CHECK(pool.stats().outstanding == 0);
}

TEST_CASE("levels up to degenerate may change while others recycle", "[stress]") {
    constexpr unsigned workers = 3;
    constexpr std::uint64_t rounds = sanitized ? 20'000 : 200'000;
    const recorder seen;
    recycler back;
    event_pool<market_event> pool{misused_pool(guard_level::guard, back, 4096)};
    std::atomic<unsigned> done{0};
    std::atomic<std::uint64_t> got{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t != workers; ++t) {
        threads.emplace_back([&] {
            for (std::uint64_t i = 0; i != rounds; ++i) {
                if (auto event = pool.get()) {
                    event->user = i;
                    got.fetch_add(1, std::memory_order_relaxed);
                }
            }
            done.fetch_add(1, std::memory_order_release);
        });
    }
    bool all_levels = true;
    while (done.load(std::memory_order_acquire) != workers) {
        for (const guard_level level : {guard_level::degenerate, guard_level::guard,
                                        guard_level::full, guard_level::sampled}) {
            all_levels = pool.set_guard(level) && all_levels;
        }
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(all_levels);
    CHECK(seen.count() == 0);
    CHECK(got.load() == workers * rounds);
    CHECK(pool.stats().recycled == workers * rounds);
    CHECK(pool.stats().outstanding == 0);
}
