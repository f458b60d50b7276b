// SPDX-License-Identifier: Apache-2.0
//
// Subscriptions that are shown events together (serve_together.cpp): each still gets what it would
// get alone, and whatever a handler changes holds for the next one. An inline subscription's second
// turn and all that follow are together, on the publishing thread: nothing here depends on luck.
#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

constexpr std::array market_kinds{event_kind::trade, event_kind::quote, event_kind::ticker};

/// The i-th event of a stream: kind and instrument go round, each in its own time.
[[nodiscard]] event_kind kind_at(std::uint64_t i) { return market_kinds[i % market_kinds.size()]; }
[[nodiscard]] std::uint32_t instrument_at(std::uint64_t i) {
    return static_cast<std::uint32_t>(i % 7) + 1;
}

/// No two handlers run at once, not even while the system holds the worker up.
[[nodiscard]] ropeway::dispatcher_params one_worker() {
    ropeway::dispatcher_params params = small_dispatcher(1);
    params.workers.replacements = 0;
    return params;
}

/// A handler that works for so long.
void burn(std::chrono::microseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

/// One consumer, what it wants, and what it got.
struct reader {
    std::string name;
    overflow policy = overflow::block;
    ropeway::subscription_params params{};
    bool throws = false;
    std::vector<std::uint64_t> got{};

    [[nodiscard]] bool wants(std::uint64_t i) const {
        const auto& named = params.instruments;
        return params.kinds.contains(kind_at(i)) &&
               (named.empty() ||
                std::find(named.begin(), named.end(), instrument_at(i)) != named.end());
    }
};

[[nodiscard]] std::vector<reader> readers(ropeway::delivery_mode delivery,
                                          ropeway::execution_mode execution) {
    std::vector<reader> all;
    const auto add = [&](std::string name) -> reader& {
        all.push_back(
            {.name = std::move(name), .params = {.delivery = delivery, .execution = execution}});
        return all.back();
    };
    add("all");
    add("trades").params.kinds = event_kind::trade;
    add("some instruments").params.instruments = {3, 5};
    add("one instrument's quotes").params.instruments = {2};
    all.back().params.kinds = event_kind::quote;
    add("throws").throws = true;
    add("lossy").policy = overflow::drop_oldest;
    add("in sequence").params.order = ropeway::event_order::in_sequence;
    add("all again");
    return all;
}

}  // namespace

TEST_CASE("what is shown to many is what each would get alone") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    const auto execution =
        GENERATE(ropeway::execution_mode::inline_, ropeway::execution_mode::group);
    constexpr std::uint64_t events = 5000;
    std::vector<reader> all = readers(delivery, execution);
    ropeway::dispatcher<market_event> d{one_worker()};
    std::vector<ropeway::subscription> joined;
    for (reader& one : all) {
        joined.push_back(
            d.subscribe(one.name, one.policy, one.params, [&one](const market_event& e) {
                one.got.push_back(e.user);
                if (one.throws && e.user % 5 == 0) {
                    throw std::runtime_error{"as asked"};
                }
            }));
    }
    auto feed = d.publisher("feed", rings_of(8192));  // nobody is lapped
    d.start();
    for (std::uint64_t i = 0; i < events; ++i) {
        REQUIRE(send(feed, kind_at(i), i, instrument_at(i)));
    }
    REQUIRE(d.stop(30s).clean());
    const auto stats = d.stats();
    for (std::size_t r = 0; r < all.size(); ++r) {
        INFO(all[r].name);
        std::vector<std::uint64_t> expected;
        std::uint64_t thrown = 0;
        for (std::uint64_t i = 0; i < events; ++i) {
            if (all[r].wants(i)) {
                expected.push_back(i);
                thrown += all[r].throws && i % 5 == 0 ? 1U : 0U;
            }
        }
        CHECK(all[r].got == expected);
        CHECK(stats.subscriptions.at(r).consumer.done == expected.size() - thrown);
        CHECK(stats.subscriptions.at(r).consumer.failed == thrown);
    }
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("a flip inside a handler holds for whoever is shown the same event after it") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    constexpr std::size_t width = 6;
    constexpr std::uint64_t events = 200;
    ropeway::dispatcher<market_event> d{one_worker()};
    std::uint64_t flipped_at = 0;  // the event in whose handler it was
    bool flipped = false;
    std::uint64_t stale = 0;
    std::array<std::uint64_t, width> called{};
    std::vector<ropeway::subscription> joined;
    for (std::size_t i = 0; i < width; ++i) {
        joined.push_back(
            d.subscribe("reader " + std::to_string(i), overflow::block,
                        {.delivery = delivery, .execution = ropeway::execution_mode::inline_},
                        [&, i](const market_event& e) {
                            ++called[i];
                            stale += flipped && e.user == flipped_at ? 1U : 0U;
                            // One in the middle, whoever begins; each eighth event.
                            if (i == width / 2 && e.user % 8 == 0) {
                                flipped = true;
                                flipped_at = e.user;
                                static_cast<void>(d.flip());
                            }
                        }));
    }
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (std::uint64_t i = 1; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    REQUIRE(d.stop(30s).clean());
    CHECK(stale == 0);
    std::uint64_t filtered = 0;
    const auto stats = d.stats();
    for (std::size_t i = 0; i < width; ++i) {
        CHECK(called[i] + stats.subscriptions.at(i).consumer.filtered == events);
        filtered += stats.subscriptions.at(i).consumer.filtered;
    }
    CHECK(filtered != 0);
}

TEST_CASE("a flip in the middle of a batch: what is left of it is filtered, and nothing is lost") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    constexpr std::size_t width = 6;
    constexpr std::uint64_t events = 2000;
    ropeway::dispatcher<market_event> d{one_worker()};
    std::array<std::uint64_t, width> called{};
    std::uint64_t stale = 0;
    bool flipped = false;
    std::vector<ropeway::subscription> joined;
    for (std::size_t i = 0; i < width; ++i) {
        joined.push_back(d.subscribe("reader " + std::to_string(i), overflow::block,
                                     {.delivery = delivery}, [&, i](const market_event& e) {
                                         ++called[i];
                                         stale += flipped ? 1U : 0U;
                                         if (i == width / 2 && e.user == 1000) {
                                             flipped = true;
                                             static_cast<void>(d.flip());
                                         }
                                     }));
    }
    auto feed = d.publisher("feed", rings_of(2048));
    for (std::uint64_t i = 0; i < events; ++i) {  // all of them before the first turn
        REQUIRE(send(feed, event_kind::trade, i));
    }
    d.start();
    REQUIRE(d.stop(30s).clean());
    CHECK(flipped);
    CHECK(stale == 0);
    const auto stats = d.stats();
    for (std::size_t i = 0; i < width; ++i) {
        CHECK(called[i] + stats.subscriptions.at(i).consumer.filtered == events);
    }
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("a critical event goes before all market events whose handlers have not begun") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    // With each third event, one by one; or with few, out of a long backlog.
    const std::uint64_t every = GENERATE(3U, 500U);
    const std::uint64_t events = every == 3 ? 2000 : 20'000;
    ropeway::dispatcher<market_event> d{one_worker()};
    auto orders = d.publisher("orders", rings_of(1024));
    // One worker: no two of these run at once.
    std::uint64_t sent = 0;
    std::array<std::uint64_t, 4> seen{};
    std::uint64_t too_late = 0;
    tally handled;  // a stop refuses what handlers publish
    const auto watcher = [&](std::size_t me) {
        return [&, me](const market_event& e) {
            if (e.kind == event_kind::control_command) {
                ++seen[me];
            } else {
                too_late += seen[me] != sent ? 1U : 0U;
            }
        };
    };
    std::vector<ropeway::subscription> joined;
    const ropeway::subscription_params params{.delivery = delivery};
    joined.push_back(d.subscribe("watcher 0", overflow::block, params, watcher(0)));
    joined.push_back(d.subscribe("watcher 1", overflow::block, params, watcher(1)));
    joined.push_back(d.subscribe(
        "strategy", overflow::block, {.kinds = ropeway::market_data, .delivery = delivery},
        [&](const market_event& e) {
            if (e.user % every == 0 && send(orders, event_kind::control_command, e.user)) {
                ++sent;
            }
            handled.add();
        }));
    joined.push_back(d.subscribe("watcher 2", overflow::block, params, watcher(2)));
    joined.push_back(d.subscribe("watcher 3", overflow::block, params, watcher(3)));
    auto feed = d.publisher("feed", rings_of(32'768));
    if (every == 3) {
        d.start();
    }
    for (std::uint64_t i = 1; i <= events; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    if (every != 3) {
        d.start();
    }
    REQUIRE(handled.reached(events));
    REQUIRE(d.stop(30s).clean());
    CHECK(sent == events / every);
    for (const std::uint64_t one : seen) {
        CHECK(one == sent);
    }
    CHECK(too_late == 0);
}

TEST_CASE("what a handler publishes to several rings is handled before its publish returns") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{one_worker()};
    std::array others{d.publisher("x", rings_of(64)), d.publisher("y", rings_of(64)),
                      d.publisher("z", rings_of(64))};
    auto feed = d.publisher("feed", rings_of(64));
    std::uint64_t quotes = 0;
    constexpr std::uint64_t now = 1000;
    const auto params = [&](event_kind kind) {
        return ropeway::subscription_params{
            .kinds = kind, .delivery = delivery, .execution = ropeway::execution_mode::inline_};
    };
    auto strategy = d.subscribe("strategy", overflow::block, params(event_kind::trade),
                                [&](const market_event& e) {
                                    for (std::size_t i = 0; e.user == now && i < 3; ++i) {
                                        CHECK(send(others[i], event_kind::quote));
                                    }
                                });
    auto reader = d.subscribe("quotes", overflow::block, params(event_kind::quote),
                              [&](const market_event&) { ++quotes; });
    d.start();
    for (int round = 0; round < 50; ++round) {
        for (std::uint64_t i = 0; i < 10; ++i) {
            REQUIRE(send(feed, i % 2 == 0 ? event_kind::trade : event_kind::quote, i));
        }
        const std::uint64_t before = quotes;
        REQUIRE(send(feed, event_kind::trade, now));
        REQUIRE(quotes == before + others.size());
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a handler that throws in the middle of a packet gets the rest of it") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    ropeway::dispatcher<market_event> d{one_worker()};
    std::array<std::uint64_t, 2> got{};
    const ropeway::subscription_params params{.delivery = delivery,
                                              .execution = ropeway::execution_mode::inline_};
    auto throws = d.subscribe("throws", overflow::block, params, [&](const market_event& e) {
        ++got[0];
        if (e.user == 1) {
            throw std::runtime_error{"as asked"};
        }
    });
    auto other =
        d.subscribe("other", overflow::block, params, [&](const market_event&) { ++got[1]; });
    auto feed = d.publisher("feed", rings_of(64));
    d.start();
    for (std::uint64_t round = 1; round <= 50; ++round) {
        for (std::uint64_t i = 0; i < 10; ++i) {
            REQUIRE(send(feed, event_kind::trade));
        }
        std::vector<ropeway::claimed<market_event>> packet;
        for (std::uint64_t i = 0; i < 8; ++i) {
            packet.push_back(feed.claim());
            REQUIRE(packet.back());
            packet.back()->kind = event_kind::trade;
            packet.back()->user = i;
        }
        REQUIRE(feed.publish_n(packet).count == 8);
        REQUIRE(got == std::array{18 * round, 18 * round});
    }
    CHECK(d.stop(30s).clean());
}

TEST_CASE("a handler may end its own subscription and those that come after it") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    const auto execution =
        GENERATE(ropeway::execution_mode::inline_, ropeway::execution_mode::group);
    constexpr std::size_t width = 5;
    constexpr std::uint64_t last = 100;
    ropeway::dispatcher<market_event> d{one_worker()};
    std::array<std::optional<ropeway::subscription>, width> joined;
    std::array<std::uint64_t, width> called{};
    std::uint64_t too_many = 0;
    bool ended = false;
    for (std::size_t i = 0; i < width; ++i) {
        joined[i] = d.subscribe("reader " + std::to_string(i), overflow::block,
                                {.delivery = delivery, .execution = execution},
                                [&, i](const market_event& e) {
                                    ++called[i];
                                    too_many += ended ? 1U : 0U;
                                    if (i == 2 && e.user == last) {
                                        ended = true;
                                        for (auto& one : joined) {
                                            one.reset();
                                        }
                                    }
                                });
    }
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    for (std::uint64_t i = 1; i <= last; ++i) {
        REQUIRE(send(feed, event_kind::trade, i));
    }
    REQUIRE(eventually([&] { return d.stats().subscriptions.empty(); }));
    CHECK(d.stop(30s).clean());
    CHECK(too_many == 0);
    CHECK(called[2] == last);
    for (const std::uint64_t calls : called) {
        if (execution == ropeway::execution_mode::inline_) {
            CHECK(calls >= last - 1);  // each had all but perhaps the last
        }
        CHECK(calls <= last);
    }
    CHECK(d.stats().duplicates_out == 0);
}

TEST_CASE("who fell behind catches up, in order, and the others lose nothing meanwhile") {
    const auto delivery = GENERATE(ropeway::duplicate, ropeway::in_place);
    constexpr std::uint64_t events = 30'000;
    constexpr std::size_t width = 6;
    ropeway::dispatcher<market_event> d{small_dispatcher(2)};
    std::array<std::vector<std::uint64_t>, width> got;
    std::vector<ropeway::subscription> joined;
    const auto wants = [](std::size_t reader, std::uint64_t event) {
        return reader % 2 == 0 || event % 4 == 0;  // the odd ones name instrument 1
    };
    for (std::size_t i = 0; i < width; ++i) {
        ropeway::subscription_params params{.delivery = delivery};
        if (i % 2 == 1) {
            params.instruments = {1};
        }
        joined.push_back(d.subscribe("reader " + std::to_string(i), overflow::block,
                                     std::move(params), [&, i](const market_event& e) {
                                         got[i].push_back(e.user);
                                         if (e.user % 4096 == 512 * i) {
                                             burn(300us);
                                         }
                                     }));
    }
    auto feed = d.publisher("feed", rings_of(1024));
    d.start();
    for (std::uint64_t i = 0; i < scaled(events); ++i) {
        REQUIRE(send(feed, event_kind::trade, i, static_cast<std::uint32_t>(i % 4) + 1));
    }
    REQUIRE(d.stop(30s).clean());
    for (std::size_t r = 0; r < width; ++r) {
        std::vector<std::uint64_t> expected;
        for (std::uint64_t i = 0; i < scaled(events); ++i) {
            if (wants(r, i)) {
                expected.push_back(i);
            }
        }
        CHECK(got[r] == expected);
    }
}
