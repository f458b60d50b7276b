// SPDX-License-Identifier: Apache-2.0
//
// What a get does when no slot is free.
#include <ropeway_test.hpp>

#include <thread>
#include <vector>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;
using clock_type = std::chrono::steady_clock;

TEST_CASE("policy fail returns an empty handle and counts") {
    event_pool<market_event> pool{{.slots = 3}};
    auto a = pool.get();
    auto b = pool.get();
    auto c = pool.get();
    REQUIRE(c);
    auto d = pool.get();
    REQUIRE_FALSE(d);
    REQUIRE(pool.stats().exhausted == 1);
    a.reset();
    REQUIRE(pool.get());
}

TEST_CASE("policy grow takes new slots into use up to its bound") {
    event_pool<market_event> pool{{.slots = 10, .exhausted = on_exhausted::grow, .max_slots = 100}};
    REQUIRE(pool.stats().capacity == 10);
    std::vector<pooled<market_event>> held;
    for (int i = 0; i != 100; ++i) {
        held.push_back(pool.get());
        REQUIRE(held.back());
    }
    REQUIRE_FALSE(pool.get());
    REQUIRE(pool.stats().capacity == 100);
    REQUIRE(pool.stats().grown == 90);
    REQUIRE(pool.stats().outstanding == 100);
    held.clear();
    REQUIRE(pool.stats().outstanding == 0);
}

TEST_CASE("a worker's get_n neither grows nor waits") {
    event_pool<market_event> pool{{.slots = 10, .exhausted = on_exhausted::grow, .max_slots = 100}};
    std::vector<slot_ref> refs(20);
    REQUIRE(pool.slots().get_n(refs.data(), 20, 0) == 10);
    REQUIRE(pool.stats().capacity == 10);
    pool.back().recycle_n<market_event>(pool.slots(), refs.data(), 10);
}

TEST_CASE("policy block gives up at its deadline") {
    event_pool<market_event> pool{{.slots = 1,
                                   .exhausted = on_exhausted::block,
                                   .block_deadline = std::chrono::milliseconds{20}}};
    auto only = pool.get();
    const auto start = clock_type::now();
    REQUIRE_FALSE(pool.get());
    REQUIRE(clock_type::now() - start >= std::chrono::milliseconds{20});
}

TEST_CASE("policy block receives a slot that another thread gives back") {
    event_pool<market_event> pool{{.slots = 16,
                                   .exhausted = on_exhausted::block,
                                   .block_deadline = std::chrono::seconds{60}}};
    std::vector<pooled<market_event>> held;
    for (int i = 0; i != 16; ++i) {
        held.push_back(pool.get());
    }
    std::atomic<bool> got{false};
    std::thread waiter{[&] {
        auto event = pool.get();
        got.store(static_cast<bool>(event), std::memory_order_release);
    }};
    // The slot lands in this thread's magazine, and goes on to the depot because somebody waits:
    // at this put, or at a later one if the waiter had not yet said so.
    while (!got.load(std::memory_order_acquire)) {
        held.pop_back();
        held.push_back(pool.get());
        std::this_thread::yield();
    }
    waiter.join();
    held.clear();
    REQUIRE(pool.stats().outstanding == 0);
}

TEST_CASE("policy callback decides whether to try again") {
    struct helper {
        std::vector<pooled<market_event>> held;
        int calls = 0;
    } state;
    event_pool<market_event> pool{{.slots = 4,
                                   .exhausted = on_exhausted::callback,
                                   .callback =
                                       [](slot_pool&, void* context) noexcept {
                                           auto& s = *static_cast<helper*>(context);
                                           ++s.calls;
                                           if (s.held.empty()) {
                                               return false;
                                           }
                                           s.held.pop_back();
                                           return true;
                                       },
                                   .callback_context = &state}};
    for (int i = 0; i != 4; ++i) {
        state.held.push_back(pool.get());
    }
    auto fifth = pool.get();
    REQUIRE(fifth);
    REQUIRE(state.calls == 1);
    std::vector<pooled<market_event>> rest;
    for (int i = 0; i != 3; ++i) {
        rest.push_back(pool.get());
        REQUIRE(rest.back());
    }
    REQUIRE_FALSE(pool.get());
    REQUIRE(state.calls == 5);
}
