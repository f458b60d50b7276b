// SPDX-License-Identifier: Apache-2.0
//
// Counts every call of malloc and its family in this program, and asserts that there is none per
// event once everything is warm. Sanitizers bring their own allocator: there only the slots count.
#include <malloc.h>

#include <cstdlib>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {
std::atomic<bool> counting{false};
std::atomic<std::uint64_t> calls{0};
}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool counted = true;
static void count() noexcept {
    if (counting.load(std::memory_order_relaxed)) {
        calls.fetch_add(1, std::memory_order_relaxed);
    }
}
extern "C" {
// What the C library calls its own functions.
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) {
    count();
    return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) {
    count();
    return __libc_calloc(n, bytes);
}
void* realloc(void* old, std::size_t bytes) {
    count();
    return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t align, std::size_t bytes) {
    count();
    return __libc_memalign(align, bytes);
}
}
#else
constexpr bool counted = false;
#endif

TEST_CASE("nothing is allocated per event: duplicates, in place, filtered, dropped, critical") {
    const bool own_threads = under_tsan || GENERATE(false, true);
    auto params = small_dispatcher(2, own_threads);
    params.workers.replacements = 0;  // a thread's first job makes its magazines
    ropeway::dispatcher<market_event> d{params};
    tally got;
    std::vector<ropeway::subscription> subs;
    for (const auto mode : {ropeway::duplicate, ropeway::in_place}) {
        subs.push_back(d.subscribe("block", overflow::block, {.delivery = mode},
                                   [&](const market_event&) { got.add(); }));
        subs.push_back(d.subscribe("lossy", overflow::drop_oldest, {.delivery = mode},
                                   [](const market_event& e) {
                                       for (std::uint64_t i = 0; i < e.user % 64; ++i) {
                                           ropeway::spin_pause();
                                       }
                                   }));
    }
    auto feed = d.publisher("feed", rings_of(256));
    d.start();
    std::uint64_t sent = 0;
    const auto run = [&](std::uint64_t events) {
        for (std::uint64_t i = 0; i < events; ++i) {
            ++sent;
            if (!send(feed, sent % 10 == 0 ? event_kind::execution_report : event_kind::trade,
                      sent)) {
                return false;
            }
        }
        return got.reached(2 * sent);
    };
    REQUIRE(run(scaled(50'000)));  // warm
    REQUIRE(eventually([&] { return d.stats().workers_awake == 0; }));

    counting.store(true, std::memory_order_relaxed);
    const bool served = run(scaled(200'000));
    counting.store(false, std::memory_order_relaxed);
    REQUIRE(served);
    const std::uint64_t wakes = d.stats().wakes;
    INFO(calls.load() << " allocations, " << wakes << " wake-ups over " << sent << " events");
    if (own_threads) {
        CHECK(calls.load(std::memory_order_relaxed) == 0);
    } else {
        // oneTBB allocates its task for a wake-up, from pools of its own that ask the C library now
        // and then; nothing for an event.
        CHECK(calls.load(std::memory_order_relaxed) * 10'000 < scaled(200'000));
    }
    if (counted) {  // the counter counts
        const std::uint64_t before = calls.load(std::memory_order_relaxed);
        counting.store(true, std::memory_order_relaxed);
        void* volatile one = std::malloc(10);
        counting.store(false, std::memory_order_relaxed);
        std::free(one);
        CHECK(calls.load(std::memory_order_relaxed) == before + 1);
        calls.store(0, std::memory_order_relaxed);
    }
    CHECK(d.stop(30s).clean());
}
