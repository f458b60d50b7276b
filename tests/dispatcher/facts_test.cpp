// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

TEST_CASE("a handler is told sequence, publisher, lag and the end of each batch") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    constexpr std::uint64_t events = 1000;
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    std::vector<ropeway::delivery> told;
    told.reserve(events);
    auto reader = d.subscribe(
        "reader", overflow::block, {.delivery = delivery},
        [&](const market_event&, const ropeway::delivery& facts) { told.push_back(facts); });
    auto other = d.publisher("other", rings_of(16));
    auto feed = d.publisher("feed", rings_of(1024));
    for (std::uint64_t i = 0; i < events; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    d.start();
    CHECK(d.stop(30s).clean());
    REQUIRE(told.size() == events);
    CHECK(told.front().lag == events - 1);  // of an unknown handler one event is taken first
    CHECK(told.back().lag == 0);
    CHECK(told.back().end_of_batch);
    std::uint64_t batches = 0;
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < events; ++i) {
        wrong += told[i].sequence != i + 1 || told[i].publisher != feed.number() ||
                 told[i].lost_before != 0;
        batches += told[i].end_of_batch;
        // The lag is what the batch left behind: at its end exactly the rest.
        wrong += told[i].end_of_batch && told[i].lag != events - (i + 1);
    }
    CHECK(wrong == 0);
    CHECK(batches >= events / 64);
    CHECK(batches < events);
}

TEST_CASE("statistics tell a subscription's lag and slices, and the bytes of everything") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(64));
    for (int i = 0; i < 10; ++i) {
        REQUIRE(send(feed, i % 2 == 0 ? event_kind::trade : event_kind::control_ack));
    }
    CHECK(reader.stats().lag == 10);
    CHECK(reader.name() == "reader");
    CHECK(d.stats().subscriptions.at(0).lag == 10);
    CHECK(d.stats().publishers.at(0).in_rings == 10);
    CHECK(d.stats().pool_use() > 0.0);
    CHECK_FALSE(d.memory_report().empty());
    for (const auto& part : d.memory_report()) {
        CHECK(part.bytes > 0);
    }
    d.start();
    CHECK(d.stop(30s).clean());
    const auto after = d.stats();
    CHECK(after.subscriptions.at(0).lag == 0);
    CHECK(after.subscriptions.at(0).slices > 0);
    CHECK(after.publishers.at(0).in_rings == 0);
    CHECK(after.publishers.at(0).published_by_kind[ropeway::kind_index(
              static_cast<std::uint32_t>(event_kind::control_ack))] == 5);
}
