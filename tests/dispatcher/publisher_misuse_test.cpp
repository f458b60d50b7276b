// SPDX-License-Identifier: Apache-2.0
#include <barrier>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::guard_level;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::publish_status;
using ropeway::violation_kind;

namespace {

ropeway::dispatcher_params guarded(guard_level level) {
    auto params = small_dispatcher();
    params.guard = level;
    return params;
}

#define EVERY_LEVEL GENERATE(guard_level::guard, guard_level::full, guard_level::degenerate)

}  // namespace

TEST_CASE(
    "an event changed to a kind of the other class after claim(kind) is reported, and goes "
    "where its kind belongs") {
    const auto level = EVERY_LEVEL;
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(level)};
    std::vector<event_kind> got;
    auto reader = d.subscribe("reader", overflow::block, {},
                              [&](const market_event& e) { got.push_back(e.kind); });
    auto feed = d.publisher("feed", rings_of(16));

    auto raised = feed.claim(event_kind::trade);
    raised->kind = event_kind::execution_report;
    CHECK(feed.publish(std::move(raised)).status == publish_status::sent);
    CHECK(seen.of(violation_kind::wrong_class) == 1);

    auto lowered = feed.claim(event_kind::execution_report);
    lowered->kind = event_kind::trade;
    CHECK(feed.publish(std::move(lowered)).status == publish_status::sent);
    CHECK(seen.of(violation_kind::wrong_class) == 2);

    auto same_class = feed.claim(event_kind::trade);
    same_class->kind = event_kind::quote;
    CHECK(feed.publish(std::move(same_class)).status == publish_status::sent);
    auto undeclared = feed.claim();
    undeclared->kind = event_kind::control_ack;
    CHECK(feed.publish(std::move(undeclared)).status == publish_status::sent);
    CHECK(seen.all() == 2);

    d.start();
    CHECK(d.stop(30s).clean());
    CHECK(got == std::vector{event_kind::execution_report, event_kind::control_ack,
                             event_kind::trade, event_kind::quote});
}

TEST_CASE("a claim of another publisher is refused and reported, and goes back to its own") {
    const auto level = EVERY_LEVEL;
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(level)};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto mine = d.publisher("mine", rings_of(16));
    auto other = d.publisher("other", rings_of(16));
    for (std::uint64_t i = 1; i <= 100; ++i) {
        auto event = other.claim();
        REQUIRE(mine.publish(std::move(event)).status == publish_status::misuse);
        REQUIRE(event);
        REQUIRE(seen.of(violation_kind::foreign_pool) == i);
    }
    CHECK(other.stats().claims_out == 0);
    CHECK(mine.stats().published == 0);
    CHECK(seen.all() == 100);
}

TEST_CASE("an empty claim is misuse, not an event") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    ropeway::claimed<market_event> none;
    CHECK(feed.publish(std::move(none)).status == publish_status::misuse);
    CHECK(feed.stats().published == 0);
    ropeway::publisher<market_event> no_publisher;
    CHECK_FALSE(no_publisher);
    auto event = feed.claim();
    CHECK(no_publisher.publish(std::move(event)).status == publish_status::misuse);
    CHECK(event);
}

TEST_CASE("a claim that is dropped, here alone, there inside a packet, hides no later event") {
    const auto level = EVERY_LEVEL;
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(level)};
    std::vector<std::uint64_t> got;
    auto reader = d.subscribe("reader", overflow::block, {},
                              [&](const market_event& e) { got.push_back(e.user); });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    std::vector<std::uint64_t> sent;
    for (std::uint64_t i = 0; i < 200; ++i) {
        std::vector<ropeway::claimed<market_event>> packet;
        for (std::uint64_t k = 0; k < 5; ++k) {
            packet.push_back(feed.claim());
            packet.back()->user = i * 5 + k;
        }
        packet[i % 5] = {};  // dropped inside the packet
        for (std::uint64_t k = 0; k < 5; ++k) {
            if (k != i % 5) {
                sent.push_back(i * 5 + k);
            }
        }
        static_cast<void>(feed.claim());  // dropped alone
        REQUIRE(feed.publish_n(packet).count == 4);
    }
    CHECK(d.stop(30s).clean());
    CHECK(got == sent);
    CHECK(seen.all() == 0);
    CHECK(feed.stats().claims_out == 0);
}

TEST_CASE("two claims published in the other order arrive in the order of publish") {
    const auto level = EVERY_LEVEL;
    const bool other_class = GENERATE(false, true);
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(level)};
    std::array<std::vector<std::uint64_t>, 2> got;
    auto reader = d.subscribe("reader", overflow::block, {}, [&](const market_event& e) {
        got[ropeway::is_critical(e.kind) ? 1 : 0].push_back(e.user);
    });
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    std::array<std::vector<std::uint64_t>, 2> sent;
    for (std::uint64_t i = 0; i < 200; ++i) {
        auto first = feed.claim();
        auto second = feed.claim();
        REQUIRE(first);
        REQUIRE(second);
        first->user = i * 2;
        second->user = i * 2 + 1;
        second->kind = other_class ? event_kind::control_ack : event_kind::trade;
        sent[other_class ? 1 : 0].push_back(i * 2 + 1);
        sent[0].push_back(i * 2);
        REQUIRE(feed.publish(std::move(second)).sequence == i * 2 + 1);
        REQUIRE(feed.publish(std::move(first)).sequence == i * 2 + 2);
    }
    CHECK(d.stop(30s).clean());
    CHECK(got == sent);
    CHECK(seen.all() == 0);
}

TEST_CASE("a second thread in a publisher that waits is refused and reported each time") {
    const auto level = EVERY_LEVEL;
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(level)};
    auto reader = d.subscribe("reader", overflow::block, {}, [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    for (int i = 0; i < 16; ++i) {
        REQUIRE(send(feed, event_kind::trade));
    }
    auto event = feed.claim();
    auto mine = feed.claim();
    publish_status last = publish_status::misuse;
    std::thread first{[&] { last = feed.publish(std::move(event)).status; }};
    const bool waits = eventually([&] { return feed.stats().waits == 1; });
    std::uint64_t reported = 0;
    for (std::uint64_t i = 0; waits && i < 100; ++i) {
        const bool refused =
            i % 2 == 0 ? feed.try_publish(std::move(mine)).status == publish_status::misuse
                       : !feed.claim();
        reported += refused && seen.of(violation_kind::concurrent_publisher) == i + 1;
    }
    d.start();
    first.join();
    CHECK(waits);
    CHECK(reported == 100);
    CHECK(last == publish_status::sent);
    CHECK(mine);
    mine = {};
    CHECK(d.stop(30s).clean());
    CHECK(reader.stats().consumer.done == 17);
}

TEST_CASE("two threads that use one publisher are noticed within a bounded number of tries") {
    if (under_tsan) {
        SUCCEED("a data race by its nature, which ThreadSanitizer reports first");
        return;
    }
    const auto level = GENERATE(guard_level::guard, guard_level::full);
    constexpr std::uint64_t bound = 5'000'000;
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(level)};
    auto feed = d.publisher("feed", rings_of(16));
    std::barrier together{2};
    std::array<std::uint64_t, 2> tries{};
    const auto hammer = [&](std::uint64_t& count) {
        together.arrive_and_wait();
        // An empty packet enters and leaves the publisher and changes nothing in it.
        while (count < bound && seen.of(violation_kind::concurrent_publisher) == 0) {
            ++count;
            static_cast<void>(feed.publish_n({}));
        }
    };
    std::thread other{[&] { hammer(tries[1]); }};
    hammer(tries[0]);
    other.join();
    INFO("tries: " << tries[0] << " and " << tries[1]);
    CHECK(seen.of(violation_kind::concurrent_publisher) >= 1);
}

TEST_CASE("at full two threads on one publisher never get in at once: what is accepted arrives") {
    violations seen;
    ropeway::dispatcher<market_event> d{guarded(guard_level::full)};
    std::array<std::uint64_t, 2> got{};
    std::uint64_t disorder = 0;
    std::uint64_t at = 0;
    auto reader = d.subscribe("reader", overflow::block, {},
                              [&](const market_event& e, const ropeway::delivery& facts) {
                                  ++got[e.user];
                                  disorder += facts.sequence != ++at;
                              });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    std::barrier together{2};
    std::array<std::uint64_t, 2> accepted{};
    std::array<std::uint64_t, 2> refused{};
    const auto hammer = [&](std::size_t me) {
        together.arrive_and_wait();
        for (std::uint64_t i = 0; i < scaled(20'000); ++i) {
            auto event = feed.claim_for_overwrite();
            if (!event) {
                ++refused[me];
                continue;
            }
            *event = market_event{};
            event->user = me;
            const auto result = feed.publish(std::move(event));
            ++(result ? accepted : refused)[me];
            while (event && !feed.publish(std::move(event))) {
                ++refused[me];  // a claim that is dropped while another is inside stays out
            }
            accepted[me] += result ? 0U : 1U;
        }
    };
    std::thread other{[&] { hammer(1); }};
    hammer(0);
    other.join();
    CHECK(d.stop(30s).clean());
    CHECK(got[0] == accepted[0]);
    CHECK(got[1] == accepted[1]);
    CHECK(disorder == 0);
    CHECK(seen.of(violation_kind::concurrent_publisher) == refused[0] + refused[1]);
    CHECK(seen.all() == refused[0] + refused[1]);
}
