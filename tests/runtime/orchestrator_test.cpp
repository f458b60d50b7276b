// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/orchestrator.hpp>

#include <array>
#include <stdexcept>
#include <thread>
#include <vector>

#include <ropeway/pool/event_pool.hpp>
#include <ropeway_test.hpp>

using ropeway::event_kind;
using ropeway::event_pool;
using ropeway::event_side;
using ropeway::market_event;
using ropeway::merge_outcome;
using ropeway::orchestrator;
using ropeway::pooled;
using ropeway::trace_id;

namespace {

market_event bid() {
    market_event e;
    e.kind = event_kind::quote;
    e.side = event_side::bid;
    e.flags = 7;
    e.instrument = 42;
    e.trace = {0x1, 0x2a};
    e.exchange_ns = 100;
    e.receive_ns = 110;
    e.exchange_id = 900;
    e.price = 10'050'000'000;
    e.quantity = 300'000'000;
    e.user = 5;
    return e;
}

market_event offer() {
    market_event e = bid();
    e.side = event_side::offer;
    e.flags = 9;
    e.trace = {0x3, 0x4};
    e.exchange_ns = 105;
    e.receive_ns = 107;
    e.exchange_id = 901;
    e.price = 10'060'000'000;
    e.quantity = 200'000'000;
    e.user = 6;
    return e;
}

/// What bid() and offer() make at routing version 3.
market_event merged_quote() {
    market_event e;
    e.kind = event_kind::quote;
    e.flags = 7;
    e.instrument = 42;
    e.routing_version = 3;
    e.trace = {0x1, 0x2a};
    e.exchange_ns = 105;
    e.receive_ns = 110;
    e.exchange_id = 901;
    e.price = 10'050'000'000;
    e.quantity = 300'000'000;
    e.price2 = 10'060'000'000;
    e.quantity2 = 200'000'000;
    e.user = 5;
    return e;
}

/// A pool with a recycler of its own, at guard level `full`: a second return of a slot, or a read
/// of a returned one's content, shows.
struct bench {
    ropeway::recycler back;
    event_pool<market_event> pool{
        {.name = "partials", .slots = 64, .guard = ropeway::guard_level::full, .back = &back}};
    ropeway::version_counter version{3};

    pooled<market_event> holding(const market_event& event) {
        auto slot = pool.get();
        *slot = event;
        return slot;
    }
    std::uint64_t violations() const {
        std::uint64_t sum = 0;
        for (const std::uint64_t n : back.stats().violations) {
            sum += n;
        }
        return sum;
    }
};

}  // namespace

TEST_CASE("bid and offer become one quote, stamped, and only the quote is live after the merge") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    auto quote = b.pool.get();
    {
        std::array<pooled<market_event>, 2> partials{b.holding(bid()), b.holding(offer())};
        CHECK(b.pool.stats().outstanding == 3);
        const auto result = merging.merge(partials, *quote);
        CHECK(result);
        CHECK(result.outcome == merge_outcome::merged);
        CHECK(result.partials == 2);
        CHECK(result.routing_version == 3);
        CHECK(result.trace == trace_id{0x1, 0x2a});
        CHECK(b.pool.stats().outstanding == 1);
        CHECK(b.pool.stats().recycled == 2);
        CHECK_FALSE(partials[0]);
        CHECK_FALSE(partials[1]);
    }  // the handles' destructors return nothing a second time
    CHECK(*quote == merged_quote());
    CHECK(b.pool.stats().outstanding == 1);
    CHECK(b.pool.stats().recycled == 2);
    CHECK(b.violations() == 0);
    quote.reset();
    CHECK(b.pool.stats().outstanding == 0);
    CHECK(b.back.stats().recycled == 3);
}

TEST_CASE("the order of the sides does not matter, except for trace id and user word") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    market_event quote;
    std::array<pooled<market_event>, 2> partials{b.holding(offer()), b.holding(bid())};
    CHECK(merging.merge(partials, quote));
    market_event expected = merged_quote();
    expected.trace = {0x3, 0x4};
    expected.user = 6;
    CHECK(quote == expected);
}

TEST_CASE("no slot is given to two owners after many merges") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    for (int round = 0; round < 1000; ++round) {
        auto quote = b.pool.get();
        std::array<pooled<market_event>, 2> partials{b.holding(bid()), b.holding(offer())};
        REQUIRE(partials[0].get() != partials[1].get());
        REQUIRE(partials[0].get() != quote.get());
        REQUIRE(merging.merge(partials, *quote));
        auto first = b.pool.get();
        auto second = b.pool.get();
        REQUIRE(first.get() != second.get());
        REQUIRE(*quote == merged_quote());
    }
    CHECK(b.pool.stats().outstanding == 0);
    CHECK(b.back.stats().recycled == 1000U * 5U);
    CHECK(b.violations() == 0);
    CHECK(merging.stats().merged == 1000);
    CHECK(merging.stats().partials == 2000);
    CHECK(merging.stats().stamped == 1000);
}

TEST_CASE("a side given twice counts as it was given last, and a whole quote replaces both") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    market_event later_bid = bid();
    later_bid.price = 10'055'000'000;
    later_bid.quantity = 100'000'000;
    market_event whole = bid();
    whole.side = event_side::none;
    whole.price2 = 10'070'000'000;
    whole.quantity2 = 50'000'000;

    market_event quote;
    std::array<pooled<market_event>, 3> partials{b.holding(whole), b.holding(offer()),
                                                 b.holding(later_bid)};
    CHECK(merging.merge(partials, quote));
    CHECK(quote.price == 10'055'000'000);
    CHECK(quote.quantity == 100'000'000);
    CHECK(quote.price2 == 10'060'000'000);
    CHECK(quote.quantity2 == 200'000'000);
    CHECK(quote.side == event_side::none);
}

TEST_CASE("empty handles are skipped, and without any partial the event is untouched") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    market_event quote = offer();
    std::array<pooled<market_event>, 3> partials{};
    CHECK(merging.merge(partials, quote).outcome == merge_outcome::nothing);
    CHECK(merging.merge({}, quote).outcome == merge_outcome::nothing);
    CHECK(quote == offer());
    partials[1] = b.holding(bid());
    const auto result = merging.merge(partials, quote);
    CHECK(result.partials == 1);
    CHECK(quote.price == 10'050'000'000);
    CHECK(quote.price2 == 0);
    CHECK(b.pool.stats().outstanding == 0);
}

TEST_CASE("partials that do not belong together are refused and stay with their holder") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    market_event quote = bid();
    market_event stranger = offer();
    stranger.instrument = 43;
    market_event report = offer();
    report.kind = event_kind::execution_report;
    for (const market_event& wrong : {stranger, report}) {
        std::array<pooled<market_event>, 2> partials{b.holding(bid()), b.holding(wrong)};
        const auto result = merging.merge(partials, quote);
        CHECK(result.outcome == merge_outcome::refused);
        CHECK_FALSE(result);
        CHECK(quote == market_event{});
        CHECK(*partials[0] == bid());
        CHECK(*partials[1] == wrong);
        CHECK(b.pool.stats().outstanding == 2);
    }
    CHECK(merging.stats().refused == 2);
    CHECK(merging.stats().merged == 0);
    CHECK(b.pool.stats().outstanding == 0);
}

TEST_CASE("merging into one of the partials is refused") {
    bench b;
    orchestrator merging{b.version.source(), b.back};
    std::array<pooled<market_event>, 2> partials{b.holding(bid()), b.holding(offer())};
    CHECK(merging.merge(partials, *partials[0]).outcome == merge_outcome::refused);
    CHECK(*partials[0] == bid());
    CHECK(b.pool.stats().outstanding == 2);
}

TEST_CASE("a fold that throws leaves every partial with its holder, to return once") {
    bench b;
    const auto fold = [](market_event&, const market_event&, std::size_t index) -> bool {
        if (index == 1) {
            throw std::runtime_error("no");
        }
        return true;
    };
    ropeway::basic_orchestrator<market_event, decltype(fold)> merging{b.version.source(), b.back,
                                                                      fold};
    {
        market_event quote;
        std::array<pooled<market_event>, 2> partials{b.holding(bid()), b.holding(offer())};
        CHECK_THROWS_AS(merging.merge(partials, quote), std::runtime_error);
        CHECK(b.pool.stats().outstanding == 2);
    }
    CHECK(b.pool.stats().outstanding == 0);
    CHECK(b.pool.stats().recycled == 2);
    CHECK(b.violations() == 0);
}

namespace {

struct tick {
    std::uint32_t kind = 0;
    std::uint64_t routing_version = 0;
    std::int64_t volume = 0;
};

}  // namespace

TEST_CASE("a user's own event type merges with the user's own fold") {
    ropeway::recycler back;
    event_pool<tick> pool{{.name = "ticks", .slots = 16, .back = &back}};
    ropeway::version_counter version{8};
    const auto sum = [](tick& into, const tick& partial, std::size_t) noexcept {
        into.volume += partial.volume;
        return true;
    };
    ropeway::basic_orchestrator<tick, decltype(sum)> merging{version.source(), back, sum};
    std::vector<pooled<tick>> partials;
    for (int i = 1; i <= 4; ++i) {
        partials.push_back(pool.get());
        partials.back()->volume = i * 10;
    }
    tick total{.kind = 99, .routing_version = 99, .volume = 99};
    CHECK(merging.merge(partials, total).partials == 4);
    CHECK(total.volume == 100);
    CHECK(total.kind == 0);
    CHECK(total.routing_version == 8);
    CHECK(pool.stats().outstanding == 0);
}

TEST_CASE("the version is stamped at the merge and only rises") {
    bench b;
    orchestrator stamping{b.version.source(), b.back};
    market_event event = bid();
    CHECK(stamping.stamp(event) == 3);
    CHECK(event.routing_version == 3);
    CHECK(b.version.raise() == 4);
    CHECK(stamping.stamp(event) == 4);
    b.version.raise_to(2);
    CHECK(stamping.version() == 4);
    b.version.raise_to(9);
    CHECK(stamping.stamp(event) == 9);
    CHECK(event.routing_version == 9);
    CHECK(stamping.stats().stamped == 3);
    CHECK(stamping.stats().merged == 0);
}

TEST_CASE("stamps never fall while another thread flips") {
    bench b;
    orchestrator stamping{b.version.source(), b.back};
    constexpr std::uint64_t flips = 20'000;
    std::uint64_t before_flip = 0;  // written by the flipping thread before it publishes `flips`
    std::thread flipping{[&] {
        for (std::uint64_t i = 1; i < flips; ++i) {
            b.version.raise();
        }
        before_flip = 17;
        b.version.raise();
    }};
    std::uint64_t last = 0;
    bool fell = false;
    market_event event;
    while (last < 3 + flips) {
        const std::uint64_t now = stamping.stamp(event);
        fell = fell || now < last;
        last = now;
    }
    CHECK_FALSE(fell);
    CHECK(before_flip == 17);  // visible to whoever stamps the last version
    flipping.join();
}
