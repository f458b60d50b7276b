// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

/// A feed on a thread of its own that publishes until it is destroyed.
class running_feed {
  public:
    explicit running_feed(ropeway::publisher<market_event> feed)
        : thread_([this, to = std::move(feed)]() mutable {
              while (!quit_.load(std::memory_order_acquire)) {
                  const auto kind =
                      sent_.get() % 8 == 7 ? event_kind::control_ack : event_kind::trade;
                  if (!send(to, kind)) {
                      break;
                  }
                  sent_.add();
              }
          }) {}
    running_feed(const running_feed&) = delete;
    running_feed& operator=(const running_feed&) = delete;
    ~running_feed() { stop(); }
    void stop() {
        if (thread_.joinable()) {
            quit_.store(true, std::memory_order_release);
            thread_.join();
        }
    }
    [[nodiscard]] std::uint64_t sent() const { return sent_.get(); }
    [[nodiscard]] bool more(std::uint64_t events) const { return sent_.reached(sent() + events); }

  private:
    std::atomic<bool> quit_{false};
    tally sent_;
    std::thread thread_;
};

/// Tells that its owner, a handler, was destroyed.
class last_act {
  public:
    explicit last_act(tally& told) noexcept : told_(told) {}
    last_act(const last_act&) = delete;
    last_act& operator=(const last_act&) = delete;
    ~last_act() { told_.add(); }

  private:
    tally& told_;
};

}  // namespace

TEST_CASE("a subscription that joins while events flow misses none from its first on") {
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    auto always = d.subscribe("always", overflow::block, {}, [](const market_event&) {});
    d.start();
    running_feed feed{d.publisher("feed", rings_of(64))};
    for (int round = 0; round < 20; ++round) {
        REQUIRE(feed.more(50));
        struct seen {
            std::array<std::uint64_t, 2> first{};
            std::array<std::uint64_t, 2> last{};
            std::uint64_t disorder = 0;
            tally count;
        } got;
        auto late = d.subscribe(
            "late", policy, {}, [&](const market_event& e, const ropeway::delivery& facts) {
                const std::size_t c = ropeway::is_critical(e.kind) ? 1 : 0;
                // Of 8 sequences one is critical: the next of this class.
                const std::uint64_t step = c == 1 ? 8 : (got.last[0] % 8 == 7 ? 2 : 1);
                if (got.first[c] == 0) {
                    got.first[c] = facts.sequence;
                } else if (facts.lost_before == 0 && facts.sequence != got.last[c] + step) {
                    ++got.disorder;
                }
                got.last[c] = facts.sequence;
                got.count.add();
            });
        REQUIRE(got.count.reached(200));
        late.unsubscribe();
        CHECK(got.disorder == 0);
    }
    feed.stop();
    CHECK(d.stop(30s).clean());
}

TEST_CASE("after unsubscribe() the handler is gone and the others go on") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    tally others;
    auto always =
        d.subscribe("always", overflow::block, {}, [&](const market_event&) { others.add(); });
    d.start();
    running_feed feed{d.publisher("feed", rings_of(64))};
    for (int round = 0; round < 50; ++round) {
        auto owned = std::make_shared<tally>();
        auto brief = d.subscribe("brief", round % 2 == 0 ? overflow::block : overflow::drop_oldest,
                                 {}, [owned](const market_event&) { owned->add(); });
        REQUIRE(owned->reached(10));
        brief.unsubscribe();
        CHECK_FALSE(brief);
        CHECK(owned.use_count() == 1);
        const std::uint64_t calls = owned->get();
        REQUIRE(feed.more(20));
        CHECK(owned->get() == calls);
    }
    feed.stop();
    CHECK(d.stop(30s).clean());
    CHECK(others.get() == feed.sent());
}

TEST_CASE("a handler may end its own subscription: it is not called again") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    d.start();
    auto feed = d.publisher("feed", rings_of(64));
    auto always = d.subscribe("always", overflow::block, {}, [](const market_event&) {});
    for (int round = 0; round < 20; ++round) {
        tally gone;
        std::uint64_t calls = 0;
        std::optional<ropeway::subscription> self;
        self.emplace(d.subscribe(
            "once", overflow::block, {.delivery = delivery},
            [farewell = std::make_unique<last_act>(gone), &calls, &self](const market_event&) {
                if (++calls == 3) {
                    self->unsubscribe();
                }
            }));
        for (int i = 0; i < 500; ++i) {
            REQUIRE(send(feed, event_kind::trade));
        }
        REQUIRE(gone.reached(1));
        CHECK(calls == 3);
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("places of ended subscriptions are used again, and one too many is refused") {
    auto params = small_dispatcher();
    params.max_subscriptions = 4;
    ropeway::dispatcher<market_event> d{params};
    d.start();
    running_feed feed{d.publisher("feed", rings_of(64))};
    for (int round = 0; round < 100; ++round) {
        std::vector<ropeway::subscription> all;
        for (int i = 0; i < 4; ++i) {
            all.push_back(
                d.subscribe("reader", overflow::drop_oldest, {}, [](const market_event&) {}));
        }
        REQUIRE_THROWS_AS(d.subscribe("fifth", overflow::block, {}, [](const market_event&) {}),
                          std::length_error);
    }
    feed.stop();
    CHECK(d.stop(30s).clean());
    CHECK(d.stats().subscriptions.empty());
}

TEST_CASE("statistics may be read while subscriptions come and go") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    d.start();
    running_feed feed{d.publisher("feed", rings_of(64))};
    std::atomic<bool> quit{false};
    std::uint64_t reads = 0;
    std::thread reader{[&] {
        while (!quit.load(std::memory_order_acquire)) {
            for (const auto& of : d.stats().subscriptions) {
                reads += of.name.size();
            }
        }
    }};
    for (int round = 0; round < 200; ++round) {
        auto owned = std::make_shared<tally>();
        auto brief = d.subscribe("brief reader with a name that is not small", overflow::block, {},
                                 [owned](const market_event&) { owned->add(); });
        REQUIRE(owned->reached(1));
    }
    quit.store(true, std::memory_order_release);
    reader.join();
    feed.stop();
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a handler that ends another subscription leaves it to a worker, and interest follows") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    tally first_ended;
    ropeway::subscription other =
        d.subscribe("other", overflow::block, {.kinds = {event_kind::trade}},
                    [told = std::make_shared<last_act>(first_ended)](const market_event&) {});
    tally asked;
    auto ender = d.subscribe("ender", overflow::block, {.kinds = {event_kind::control_ack}},
                             [&](const market_event&) {
                                 other.unsubscribe();
                                 asked.add();
                             });
    auto feed = d.publisher("feed");
    d.start();
    REQUIRE(send(feed, event_kind::trade).status == ropeway::publish_status::sent);
    REQUIRE(send(feed, event_kind::control_ack));
    REQUIRE(asked.reached(1));
    REQUIRE(first_ended.reached(1));
    REQUIRE(eventually([&] {
        return send(feed, event_kind::trade).status == ropeway::publish_status::no_subscriber;
    }));
    CHECK(d.stats().subscriptions.size() == 1);
    CHECK(d.stop(30s).clean());
}

TEST_CASE("unsubscribe() never ends another subscription that reuses the place", "[stress]") {
    auto params = small_dispatcher(2);
    params.max_subscriptions = 3;  // a place that comes free is taken at once, often by the other
    ropeway::dispatcher<market_event> d{params};
    tally kept_seen;
    auto kept =
        d.subscribe("kept", overflow::block, {}, [&](const market_event&) { kept_seen.add(); });
    running_feed feed{d.publisher("feed", rings_of(64))};
    d.start();
    std::array<std::uint64_t, 2> wrong{};
    const auto come_and_go = [&](std::uint64_t& bad) {
        for (std::uint64_t i = 0; i < scaled(1000) && bad == 0; ++i) {
            tally ended;
            tally seen;
            auto guest = d.subscribe(
                "guest", overflow::block, {},
                [&, told = std::make_shared<last_act>(ended)](const market_event&) { seen.add(); });
            bad += seen.reached(1 + i % 3) ? 0U : 1U;
            bad += ended.get();  // still subscribed
            guest.unsubscribe();
            bad += ended.get() == 1 ? 0U : 1U;
        }
    };
    std::thread other{[&] { come_and_go(wrong[1]); }};
    come_and_go(wrong[0]);
    other.join();
    CHECK(wrong[0] == 0);
    CHECK(wrong[1] == 0);
    feed.stop();
    CHECK(d.stop(30s).clean());
    CHECK(kept_seen.get() == feed.sent());
}

TEST_CASE("who subscribes after stop() is told") {
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    d.start();
    CHECK(d.stop(30s).clean());
    CHECK_THROWS_WITH(d.subscribe("late", overflow::block, {}, [](const market_event&) {}),
                      Catch::Contains("late") && Catch::Contains("after stop()"));
}
