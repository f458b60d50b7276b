// SPDX-License-Identifier: Apache-2.0
//
// The orchestrator where it is used: partials out of a runtime's pool, merged into a publisher's
// claims, delivered by workers, while another thread flips.
#include <ropeway/runtime/orchestrator.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include <ropeway/dispatcher/executor.hpp>
#include <ropeway/runtime/runtime.hpp>
#include <ropeway_test.hpp>

using namespace std::chrono_literals;
using ropeway::event_kind;
using ropeway::event_side;
using ropeway::market_event;
using ropeway::pooled;

namespace {

ropeway::runtime_params own_threads() {
    ropeway::runtime_params params;
    params.workers.count = 2;
    params.workers.where = ropeway::make_thread_executor();
    params.partial_slots = 64;
    params.guard = ropeway::guard_level::full;
    return params;
}

/// One side of the quote number `i`, in a slot of the runtime's pool.
pooled<market_event> side_of(ropeway::runtime& rt, event_side side, std::int64_t i) {
    auto partial = rt.partials().get();
    partial->kind = event_kind::quote;
    partial->side = side;
    partial->instrument = 42;
    partial->exchange_id = static_cast<std::uint64_t>(i);
    partial->price = 2 * i + (side == event_side::offer ? 1 : 0);
    partial->quantity = i;
    return partial;
}

/// What one consumer saw. Written by its handler, by one worker at a time; read after stop().
struct seen {
    std::int64_t quotes = 0;
    std::int64_t wrong = 0;
    std::int64_t fell = 0;  ///< versions or numbers that went back
    std::uint64_t version = 0;
    std::int64_t last = -1;

    void take(const market_event& e) {
        const auto i = static_cast<std::int64_t>(e.exchange_id);
        wrong += e.price == 2 * i && e.price2 == 2 * i + 1 && e.quantity == i && e.quantity2 == i &&
                         e.side == event_side::none && e.instrument == 42
                     ? 0
                     : 1;
        fell += e.routing_version < version || i <= last ? 1 : 0;
        version = e.routing_version;
        last = i;
        ++quotes;
    }
};

/// Merges and publishes `count` quotes; the number of those that did not go out whole, stamped with
/// a version that fell, or left a handle full.
int publish_merged(ropeway::runtime& rt, ropeway::publisher<market_event>& out,
                   ropeway::orchestrator& merging, std::int64_t count) {
    int bad = 0;
    std::uint64_t version = 0;
    for (std::int64_t i = 1; i <= count; ++i) {
        std::array<pooled<market_event>, 2> partials{side_of(rt, event_side::bid, i),
                                                     side_of(rt, event_side::offer, i)};
        auto quote = out.claim_for_overwrite();
        const auto result = merging.merge(partials, *quote);
        const bool good = result.partials == 2 && result.routing_version >= version &&
                          !partials[0] && !partials[1] && out.publish(std::move(quote));
        version = result.routing_version;
        bad += good ? 0 : 1;
    }
    return bad;
}

std::uint64_t violations(ropeway::runtime& rt) {
    std::uint64_t sum = 0;
    for (const std::uint64_t n : rt.partials().back().stats().violations) {
        sum += n;
    }
    return sum;
}

}  // namespace

TEST_CASE("quotes merged into claims reach every consumer whole, in order and once") {
    constexpr std::int64_t count = 5'000;
    ropeway::runtime rt{own_threads()};
    const std::uint64_t violations_before = violations(rt);  // the recycler is the process's
    seen copied;
    seen placed;
    auto first = rt.subscribe("copies", ropeway::overflow::block, {},
                              [&](const market_event& e) { copied.take(e); });
    auto second =
        rt.subscribe("in place", ropeway::overflow::block, {.delivery = ropeway::in_place},
                     [&](const market_event& e) { placed.take(e); });
    auto out = rt.publisher("feed");
    ropeway::orchestrator merging{rt.events().version_source(), rt.partials().back()};
    rt.start();
    CHECK(publish_merged(rt, out, merging, count) == 0);
    const auto report = rt.stop(20s);
    INFO(report.text());
    CHECK(report.clean());
    for (const seen& each : {copied, placed}) {
        CHECK(each.quotes == count);
        CHECK(each.wrong == 0);
        CHECK(each.fell == 0);
    }
    CHECK(merging.stats().merged == count);
    CHECK(merging.stats().partials == 2 * count);
    CHECK(rt.partials().stats().outstanding == 0);
    CHECK(violations(rt) == violations_before);
}

TEST_CASE("versions of merged quotes only rise while another thread flips the dispatcher") {
    constexpr std::int64_t count = 5'000;
    ropeway::runtime rt{own_threads()};
    seen quotes;
    auto all = rt.subscribe("all", ropeway::overflow::block, {},
                            [&](const market_event& e) { quotes.take(e); });
    auto out = rt.publisher("feed");
    ropeway::orchestrator merging{rt.events().version_source(), rt.partials().back()};
    rt.start();
    std::atomic<bool> over{false};
    std::uint64_t flips = 0;  // written by the flipping thread, read after its join
    std::thread flipping{[&] {
        do {
            rt.flip();
            ++flips;
            std::this_thread::yield();
        } while (!over.load(std::memory_order_acquire));  // pairs with the store below
    }};
    const int bad = publish_merged(rt, out, merging, count);
    over.store(true, std::memory_order_release);
    flipping.join();
    const auto report = rt.stop(20s);
    INFO(report.text());
    CHECK(bad == 0);
    CHECK(report.clean());
    CHECK(quotes.wrong == 0);
    CHECK(quotes.fell == 0);
    CHECK(rt.routing_version() >= flips);
    CHECK(quotes.version <= rt.routing_version());
    // What was stamped before a flip may be stale when its turn comes: delivered or filtered.
    const auto end = all.stats().consumer;
    CHECK(quotes.quotes == static_cast<std::int64_t>(end.done));
    CHECK(end.done + end.filtered == count);
    CHECK(rt.partials().stats().outstanding == 0);
}

TEST_CASE("a refused merge publishes nothing and keeps the partials") {
    ropeway::runtime rt{own_threads()};
    seen quotes;
    auto all = rt.subscribe("all", ropeway::overflow::block, {},
                            [&](const market_event& e) { quotes.take(e); });
    auto out = rt.publisher("feed");
    ropeway::orchestrator merging{rt.events().version_source(), rt.partials().back()};
    rt.start();
    {
        std::array<pooled<market_event>, 2> partials{side_of(rt, event_side::bid, 1),
                                                     side_of(rt, event_side::offer, 1)};
        partials[1]->instrument = 43;
        auto quote = out.claim_for_overwrite();
        CHECK(merging.merge(partials, *quote).outcome == ropeway::merge_outcome::refused);
        CHECK(rt.partials().stats().outstanding == 2);
        CHECK(partials[1]->instrument == 43);
        partials[1]->instrument = 42;  // mended, the same partials and claim are good
        CHECK(merging.merge(partials, *quote));
        CHECK(out.publish(std::move(quote)));
    }
    CHECK(rt.stop(20s).clean());
    CHECK(quotes.quotes == 1);
    CHECK(quotes.wrong == 0);
    CHECK(rt.partials().stats().outstanding == 0);
}
