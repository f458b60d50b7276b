// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <barrier>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

constexpr std::size_t feeds = 3;
constexpr std::size_t readers = 3;

/// One subscriber's view of one publisher.
struct stream {
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
    std::uint64_t highest = 0;
    std::array<std::uint64_t, 2> last{};  // per class
    std::uint64_t disorder = 0;

    void take(const market_event& e, std::uint64_t sequence) noexcept {
        std::uint64_t& before = last[ropeway::is_critical(e.kind) ? 1 : 0];
        disorder += sequence <= before || e.user != sequence;
        before = sequence;
        highest = std::max(highest, sequence);
        sum += sequence;
        ++count;
    }
};

}  // namespace

TEST_CASE("order holds per publisher and class, and sequences are dense") {
    const std::uint64_t events = scaled(20'000);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::array<std::array<stream, feeds>, readers> seen{};
    std::vector<ropeway::subscription> subscriptions;
    for (auto& mine : seen) {
        subscriptions.push_back(
            d.subscribe("reader", overflow::block, {},
                        [&mine](const market_event& e, const ropeway::delivery& facts) {
                            mine[facts.publisher].take(e, facts.sequence);
                        }));
    }
    std::vector<ropeway::publisher<market_event>> publishers;
    for (std::size_t i = 0; i < feeds; ++i) {
        publishers.push_back(d.publisher("feed " + std::to_string(i), rings_of(128)));
        REQUIRE(publishers.back().number() == i);
    }
    d.start();
    std::atomic<std::uint64_t> wrong{0};
    std::barrier together{static_cast<std::ptrdiff_t>(feeds)};
    std::vector<std::thread> threads;
    for (auto& feed : publishers) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            for (std::uint64_t i = 1; i <= events; ++i) {
                const auto sent =
                    send(feed, i % 16 == 0 ? event_kind::execution_report : event_kind::trade, i);
                if (!sent || sent.sequence != i) {
                    wrong.fetch_add(1, std::memory_order_relaxed);
                }
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(d.stop(30s).clean());
    CHECK(wrong.load(std::memory_order_relaxed) == 0);
    for (const auto& mine : seen) {
        for (const stream& from : mine) {
            CHECK(from.count == events);
            CHECK(from.highest == events);
            CHECK(from.sum == events * (events + 1) / 2);
            CHECK(from.disorder == 0);
        }
    }
}

TEST_CASE("a critical event goes before market data that waits") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate busy;
    std::vector<event_kind> order;
    auto reader = d.subscribe("reader", overflow::block, {}, [&](const market_event& e) {
        order.push_back(e.kind);
        if (order.size() == 1) {
            busy.pass();
        }
    });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    REQUIRE(send(feed, event_kind::trade));
    REQUIRE(busy.held());
    for (int i = 0; i < 20; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    REQUIRE(send(feed, event_kind::execution_report));
    busy.open();
    CHECK(d.stop(30s).clean());
    REQUIRE(order.size() == 22);
    CHECK(order[1] == event_kind::execution_report);
}

TEST_CASE("a critical event goes before the rest of a batch that was copied already") {
    ropeway::dispatcher<market_event> d{small_dispatcher(1)};
    gate busy;
    std::uint64_t before = 0;
    bool critical_seen = false;
    auto reader = d.subscribe("reader", overflow::block, {},
                              [&](const market_event& e, const ropeway::delivery& facts) {
                                  critical_seen |= e.kind == event_kind::control_ack;
                                  // Held inside a batch, once one of several events was taken.
                                  if (before == 0 && !facts.end_of_batch) {
                                      before = e.user;
                                      busy.pass();
                                  } else if (before != 0 && !critical_seen) {
                                      ++before;
                                  }
                              });
    auto feed = d.publisher("feed", rings_of(1024));
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    d.start();
    REQUIRE(busy.held());
    const std::uint64_t at = before;
    REQUIRE(send(feed, event_kind::control_ack));
    busy.open();
    CHECK(d.stop(30s).clean());
    CHECK(critical_seen);
    CHECK(before == at);
}
