// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;

namespace {

std::vector<ropeway::claimed<market_event>> packet_of(ropeway::publisher<market_event>& feed,
                                                      std::uint64_t first, std::uint64_t count) {
    std::vector<ropeway::claimed<market_event>> packet;
    for (std::uint64_t i = 0; i < count; ++i) {
        auto event = feed.claim();
        REQUIRE(event);
        event->user = first + i;
        event->kind = (first + i) % 4 == 3 ? event_kind::execution_report : event_kind::quote;
        packet.push_back(std::move(event));
    }
    return packet;
}

}  // namespace

TEST_CASE("a packet is one commit: its sequences are dense and no worker sees a part of it") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::uint64_t parts = 0;
    std::uint64_t got = 0;
    auto reader = d.subscribe(
        "reader", overflow::block, {.kinds = ropeway::market_data, .delivery = ropeway::in_place},
        [&](const market_event& e, const ropeway::delivery& facts) {
            ++got;
            // The packets hold 8 events. What the batch left is the rest of whole packets.
            parts += facts.end_of_batch && (e.user % 8 + 1 + facts.lag) % 8 != 0;
        });
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    const std::uint64_t packets = scaled(2000);
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < packets; ++i) {
        std::vector<ropeway::claimed<market_event>> packet;
        for (std::uint64_t k = 0; k < 8; ++k) {
            packet.push_back(feed.claim());
            packet.back()->user = i * 8 + k;
        }
        const auto sent = feed.publish_n(packet);
        wrong +=
            sent.status != publish_status::sent || sent.count != 8 || sent.sequence != (i + 1) * 8;
        while (reader.stats().lag > 900) {
            std::this_thread::yield();
        }
    }
    CHECK(d.stop(30s).clean());
    CHECK(wrong == 0);
    CHECK(got == packets * 8);
    CHECK(parts == 0);
}

TEST_CASE("a packet larger than the ring goes out in parts, in order") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::uint64_t got = 0;
    std::uint64_t lost = 0;
    std::uint64_t critical_seen = 0;
    std::uint64_t disorder = 0;
    std::array<std::uint64_t, 2> next{};
    auto reader = d.subscribe("reader", policy, {},
                              [&](const market_event& e, const ropeway::delivery& facts) {
                                  const bool critical_event = ropeway::is_critical(e.kind);
                                  std::uint64_t& at = next[critical_event ? 1 : 0];
                                  disorder += facts.sequence <= at || facts.sequence != e.user + 1;
                                  at = facts.sequence;
                                  ++got;
                                  critical_seen += critical_event ? 1U : 0U;
                                  lost += facts.lost_before;
                              });
    auto params = rings_of(16);
    params.spare_claims = 128;
    auto feed = d.publisher("feed", params);
    d.start();
    const std::uint64_t packets = scaled(500);
    for (std::uint64_t i = 0; i < packets; ++i) {
        auto packet = packet_of(feed, i * 100, 100);
        const auto sent = feed.publish_n(packet);
        REQUIRE(sent.status == publish_status::sent);
        REQUIRE(sent.count == 100);
        REQUIRE(sent.sequence == (i + 1) * 100);
    }
    CHECK(d.stop(30s).clean());
    const auto stats = reader.stats();
    CHECK(disorder == 0);
    CHECK(critical_seen == packets * 25);
    CHECK(got + stats.dropped == packets * 100);
    CHECK(lost <= stats.dropped);
    CHECK((policy == overflow::drop_oldest || stats.dropped == 0));
    CHECK(feed.stats().recycled == packets * 100);
}

TEST_CASE("of a packet that does not go through, the front is sent and the rest is still mine") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto params = rings_of(16);
    params.spare_claims = 64;
    auto feed = d.publisher("feed", params);
    std::vector<ropeway::claimed<market_event>> packet;
    for (std::uint64_t i = 0; i < 20; ++i) {
        packet.push_back(feed.claim());
        packet.back()->user = i;
    }
    const auto sent = feed.publish_n(packet, 0ms);
    CHECK(sent.status == publish_status::full);
    CHECK(sent.held_by == "reader");
    CHECK(sent.count == 16);
    CHECK(sent.sequence == 16);
    for (std::size_t i = 0; i < packet.size(); ++i) {
        CHECK(static_cast<bool>(packet[i]) == (i >= 16));
    }
    d.start();
    CHECK(feed.publish_n(packet).count == 4);
    CHECK(d.stop(30s).clean());
    CHECK(reader.stats().consumer.done == 20);
}

TEST_CASE("a subscription that joins while a packet waits loses nothing and sees nothing twice") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto always = d.subscribe("always", overflow::block, {}, [](const market_event&) {});
    auto params = rings_of(16);
    params.spare_claims = 128;
    auto feed = d.publisher("feed", params);
    d.start();
    std::atomic<bool> quit{false};
    std::uint64_t refused = 0;
    std::thread publishing{[&] {
        for (std::uint64_t i = 0; !quit.load(std::memory_order_acquire); ++i) {
            auto packet = packet_of(feed, i * 100, 100);
            refused += feed.publish_n(packet).count == 100 ? 0U : 1U;
        }
    }};
    std::uint64_t disorder = 0;
    for (int round = 0; round < 200; ++round) {
        tally count;
        std::array<std::uint64_t, 2> at{};
        auto late = d.subscribe("late", overflow::block, {},
                                [&](const market_event& e, const ropeway::delivery& facts) {
                                    const std::size_t c = ropeway::is_critical(e.kind) ? 1 : 0;
                                    const std::uint64_t step =
                                        c == 1 ? 4 : (at[0] % 4 == 3 ? 2 : 1);
                                    disorder += facts.sequence != e.user + 1;
                                    disorder += at[c] != 0 && facts.sequence != at[c] + step;
                                    at[c] = facts.sequence;
                                    count.add();
                                });
        REQUIRE(count.reached(150));
    }
    quit.store(true, std::memory_order_release);
    publishing.join();
    CHECK(d.stop(30s).clean());
    CHECK(refused == 0);
    CHECK(disorder == 0);
}

TEST_CASE("the deadline is that of the whole packet, however many of its events must wait") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    auto reader = d.subscribe("slow", overflow::block, {}, [](const market_event&) {
        const auto until = std::chrono::steady_clock::now() + 20ms;
        while (std::chrono::steady_clock::now() < until) {
        }
    });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    std::vector<ropeway::claimed<market_event>> packet;
    for (int i = 0; i < 60; ++i) {
        packet.push_back(feed.claim());
        REQUIRE(packet.back());
        packet.back()->kind = event_kind::trade;
    }
    // Each wait ends after 20 ms, long before the deadline; all of them together would take 44.
    const auto start = std::chrono::steady_clock::now();
    const auto result = feed.publish_n(packet, 200ms);
    const auto took = std::chrono::steady_clock::now() - start;
    CHECK(result.status == publish_status::full);
    CHECK(took >= 200ms);
    CHECK(result.count >= 16);
    CHECK(result.count < 60);
    packet.clear();
    CHECK(d.stop(30s).clean());
}
