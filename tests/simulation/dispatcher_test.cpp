// SPDX-License-Identifier: Apache-2.0
//
// Dispatchers under simulated threads, each case with one thing that threads alone would meet too
// rarely.
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <iostream>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/dispatcher/simulation.hpp>

#include "model.hpp"
#include "ropeway_test.hpp"

namespace simulation = ropeway::simulation;
using namespace std::chrono_literals;
using ropeway::event_kind;
using ropeway::overflow;
using ropeway_test::ride;

namespace {

ropeway::dispatcher_params one_worker() {
    ropeway::dispatcher_params params;
    params.workers.count = 1;
    params.workers.replacements = 0;
    params.max_subscriptions = 4;
    params.max_publishers = 1;
    return params;
}

constexpr ropeway::publisher_params small_rings() {
    return {.market_capacity = 16, .critical_capacity = 16};
}

/// An event of an instrument.
void send(ropeway::publisher<ride>& to, event_kind kind, std::uint32_t instrument,
          std::uint64_t id = 0) {
    auto event = to.claim();
    simulation::check(static_cast<bool>(event), "a claim");
    event->kind = kind;
    event->instrument = instrument;
    event->id = id;
    event->before = 0;
    simulation::check(to.publish(std::move(event)).count == 1, "a publish");
}

/// A handler's thread stands still until it is opened.
struct simulated_gate {
    bool entered = false;
    bool open = false;
    void pass() {
        entered = true;
        while (!open) {
            simulation::pass(10us);
        }
    }
};

void holds_for_seeds(std::uint64_t seeds, std::string_view name,
                     const std::function<void()>& body) {
    const auto went = simulation::explore({.seeds = seeds}, body);
    std::cout << name << ": " << went.text() << '\n';
    CHECK(went);
}

}  // namespace

TEST_CASE("a dispatcher in a simulation delivers what was published") {
    holds_for_seeds(500, "one publisher, one consumer", [] {
        ropeway::dispatcher_params params;
        params.workers.count = 2;
        params.max_subscriptions = 4;
        params.max_publishers = 1;
        ropeway::dispatcher<ropeway::market_event> d{params};
        std::vector<std::uint64_t> got;
        auto sub = d.subscribe("all", overflow::block, {}, [&](const ropeway::market_event& e) {
            simulation::pass(2us);
            got.push_back(e.user);
        });
        auto feed = d.publisher("feed", {.market_capacity = 16, .critical_capacity = 16});
        d.start();
        for (std::uint64_t i = 0; i < 40; ++i) {
            auto event = feed.claim();
            simulation::check(static_cast<bool>(event), "a claim");
            event->kind = event_kind::trade;
            event->user = i;
            simulation::check(static_cast<bool>(feed.publish(std::move(event))), "a publish");
        }
        simulation::check(simulation::eventually([&] { return got.size() == 40; }), "all come");
        for (std::uint64_t i = 0; i < 40; ++i) {
            simulation::check(got[i] == i, "in order");
        }
        simulation::check(d.stop(1s).clean(), "a clean stop");
    });
}

TEST_CASE(
    "a lossy subscription never makes its publisher wait, wherever a copy of its stands still") {
    holds_for_seeds(2'000, "two lossy consumers", [] {
        ropeway::dispatcher_params params;
        params.workers.count = 2;
        params.max_subscriptions = 4;
        params.max_publishers = 1;
        ropeway::dispatcher<ropeway::market_event> d{params};
        std::array<std::uint64_t, 2> got{};
        std::array<std::uint64_t, 2> lost{};
        const auto count = [&](std::size_t which) {
            return [&, which](const ropeway::market_event& e, const ropeway::delivery& facts) {
                simulation::check(
                    e.user == facts.sequence && e.price == -static_cast<std::int64_t>(e.user),
                    "a torn event");
                ++got[which];
                lost[which] += facts.lost_before;
            };
        };
        auto one = d.subscribe("one", overflow::drop_oldest, {}, count(0));
        auto two =
            d.subscribe("two", overflow::drop_oldest, {.delivery = ropeway::in_place}, count(1));
        auto feed = d.publisher("feed", {.market_capacity = 16, .critical_capacity = 16});
        d.start();
        constexpr std::uint64_t events = 100;
        for (std::uint64_t i = 1; i <= events; ++i) {
            auto event = feed.claim();
            simulation::check(static_cast<bool>(event), "a claim");
            event->user = i;
            simulation::point();
            event->price = -static_cast<std::int64_t>(i);
            const auto sent = feed.publish(std::move(event));
            simulation::check(sent.count == 1 && sent.waited.count() == 0, "a publish waited");
        }
        simulation::check(feed.stats().waits == 0, "a publish waited");
        simulation::check(d.stop(1s).clean(), "a clean stop");
        for (const auto* const sub : {&one, &two}) {
            const auto stats = sub->stats();
            simulation::check(stats.consumer.done + stats.dropped == events, "every event counts");
        }
        simulation::check(got[0] + lost[0] <= events && got[1] + lost[1] <= events, "told exactly");
    });
}

TEST_CASE("a drain hands over what stands for an event before its cut, and nothing behind it") {
    for (const auto order :
         {ropeway::event_order::critical_first, ropeway::event_order::in_sequence}) {
        holds_for_seeds(300, "a drain of a conflating one", [order] {
            ropeway::dispatcher<ride> d{one_worker()};
            simulated_gate gate;
            std::vector<ride> got;
            auto sub = d.subscribe("s", overflow::conflate,
                                   {.kinds = event_kind::quote | event_kind::execution_report,
                                    .order = order,
                                    .conflation_keys = 16},
                                   [&](const ride& event) {
                                       got.push_back(event);
                                       gate.pass();
                                   });
            auto feed = d.publisher("feed", small_rings());
            d.start();
            send(feed, event_kind::quote, 9, 1);
            simulation::check(simulation::eventually([&] { return gate.entered; }), "held");
            send(feed, event_kind::quote, 1, 2);
            send(feed, event_kind::execution_report, 1, 3);
            for (std::uint64_t i = 0; i < 40; ++i) {  // by which both of them leave their rings
                send(feed, event_kind::quote, 2, 4);
                send(feed, event_kind::execution_report, 1, 5);
            }
            ropeway::unsubscribe_report report;
            simulation::thread ends{[&] { report = sub.unsubscribe(ropeway::leaving::drain, 1s); }};
            simulation::pass(10ms);  // the cut is made
            send(feed, event_kind::quote, 1, 6);
            for (std::uint64_t i = 0; i < 40; ++i) {
                send(feed, event_kind::quote, 3, 7);
                send(feed, event_kind::execution_report, 1, 8);
            }
            gate.open = true;
            ends.join();
            simulation::check(report.ended && report.drained, "it ended, and drained");
            simulation::check(report.discarded == 0, "nothing of it was discarded");
            std::array<std::uint64_t, 9> count{};
            for (const ride& event : got) {
                ++count[event.id];
            }
            simulation::check(count[1] == 1 && count[3] == 1 && count[5] == 40, "before the cut");
            // The quote of instrument 1 was folded into one that came after.
            simulation::check(count[2] == 0 && count[6] == 1, "an event stands for the one before");
            simulation::check(count[4] == 1, "the latest of instrument 2");
            simulation::check(got.back().id == 6, "it goes last, as its place in the ring was");
            simulation::check(count[7] == 0 && count[8] == 0, "nothing that came after");
            simulation::check(d.stop(1s).clean(), "a clean stop");
        });
    }
}

TEST_CASE("an inline subscription that waits for others makes nobody go round in circles") {
    holds_for_seeds(300, "an inline one behind another", [] {
        ropeway::dispatcher<ride> d{one_worker()};
        simulated_gate gate;
        std::uint64_t first_got = 0;
        auto first = d.subscribe("first", overflow::block, {}, [&](const ride&) {
            if (++first_got == 21) {
                gate.pass();
            }
        });
        std::uint64_t got = 0;
        auto second = d.subscribe("second", overflow::block,
                                  {.after = {&first}, .execution = ropeway::inline_},
                                  [&](const ride&) { ++got; });
        auto feed = d.publisher("feed", small_rings());
        d.start();
        for (std::uint64_t i = 1; i <= 20; ++i) {  // until its turns may be together with others
            send(feed, event_kind::trade, 1);
            simulation::check(simulation::eventually([&] { return got == i; }), "all come");
        }
        send(feed, event_kind::trade, 1);
        simulation::check(simulation::eventually([&] { return gate.entered; }), "held");
        const auto before = simulation::now();
        for (int i = 0; i < 10; ++i) {
            send(feed, event_kind::trade, 1);
        }
        simulation::check(simulation::now() - before < 100ms, "a publish waited for another");
        simulation::check(got == 20, "it waits for the first");
        if (simulation::seed() % 2 == 0) {
            const auto begin = simulation::now();
            const auto report = second.unsubscribe(ropeway::leaving::drain, 5ms);
            simulation::check(report.ended && !report.drained, "it ended, and could not drain");
            simulation::check(report.discarded == 11, "what it did not handle counts");
            simulation::check(simulation::now() - begin < 100ms, "at its deadline");
            got = 31;
        }
        gate.open = true;
        simulation::check(simulation::eventually([&] { return got == 31; }), "and then goes on");
        simulation::check(d.stop(1s).clean(), "a clean stop");
    });
}

TEST_CASE("an inline subscription that drains ends, whatever is published behind its cut") {
    holds_for_seeds(300, "an inline one drains", [] {
        ropeway::dispatcher<ride> d{one_worker()};
        std::uint64_t got = 0;
        auto sub = d.subscribe("s", overflow::block, {.execution = ropeway::inline_},
                               [&](const ride&) { ++got; });
        auto other = d.subscribe("other", overflow::block, {}, [](const ride&) {});
        auto feed = d.publisher("feed", small_rings());
        d.start();
        bool goes_on = true;
        std::uint64_t sent = 0;
        simulation::thread publishes{[&] {
            while (goes_on) {
                send(feed, event_kind::trade, 1);
                ++sent;
            }
        }};
        simulation::check(simulation::eventually([&] { return sent >= 20; }), "it flows");
        const std::uint64_t before = sent;
        const auto report = sub.unsubscribe(ropeway::leaving::drain, 100ms);
        goes_on = false;
        publishes.join();
        simulation::check(report.ended && report.drained && report.discarded == 0, "drained");
        simulation::check(got >= before, "all that was committed before");
        simulation::check(d.stop(1s).clean(), "a clean stop");
    });
}

TEST_CASE("an inline one that comes after another goes on when that one ends") {
    holds_for_seeds(300, "an inline one is freed", [] {
        ropeway::dispatcher<ride> d{one_worker()};
        simulated_gate gate;
        auto first = d.subscribe("first", overflow::block, {}, [&](const ride&) { gate.pass(); });
        std::uint64_t got = 0;
        auto second = d.subscribe("second", overflow::block,
                                  {.after = {&first}, .execution = ropeway::inline_},
                                  [&](const ride&) { ++got; });
        auto feed = d.publisher("feed", small_rings());
        d.start();
        for (int i = 0; i < 10; ++i) {
            send(feed, event_kind::trade, 1);
        }
        simulation::check(simulation::eventually([&] { return gate.entered; }), "held");
        simulation::thread opens{[&] {
            simulation::pass(100us);
            gate.open = true;
        }};
        simulation::check(first.unsubscribe(ropeway::leaving::discard, 1s).ended, "it ended");
        simulation::check(simulation::eventually([&] { return got == 10; }, 50ms),
                          "nobody holds it up");
        opens.join();
        simulation::check(d.stop(1s).clean(), "a clean stop");
    });
}

TEST_CASE("an inline one is freed while the only worker hangs: its replacement comes to it") {
    holds_for_seeds(300, "an inline one is freed beside a hang", [] {
        ropeway::dispatcher_params params = one_worker();
        params.workers.replacements = 1;
        params.workers.replace_after = 5ms;
        ropeway::dispatcher<ride> d{params};
        simulated_gate gate;
        auto hangs = d.subscribe("hangs", overflow::block, {.kinds = event_kind::quote},
                                 [&](const ride&) { gate.pass(); });
        auto first =
            d.subscribe("first", overflow::block, {.kinds = event_kind::trade}, [](const ride&) {});
        std::uint64_t got = 0;
        auto second = d.subscribe(
            "second", overflow::block,
            {.kinds = event_kind::trade, .after = {&first}, .execution = ropeway::inline_},
            [&](const ride&) { ++got; });
        auto feed = d.publisher("feed", small_rings());
        d.start();
        send(feed, event_kind::quote, 1);
        simulation::check(simulation::eventually([&] { return gate.entered; }), "held");
        for (int i = 0; i < 10; ++i) {
            send(feed, event_kind::trade, 1);
        }
        first.unsubscribe();
        simulation::check(simulation::eventually([&] { return got == 10; }, 100ms),
                          "nobody holds it up");
        gate.open = true;
        simulation::check(d.stop(1s).clean(), "a clean stop");
    });
}

TEST_CASE("an inline one for whose duplicates there are no slots waits without its publisher") {
    holds_for_seeds(300, "an inline one without slots", [] {
        ropeway::dispatcher_params params = one_worker();
        params.duplicate_slots = 8;
        ropeway::dispatcher<ride> d{params};
        std::vector<ropeway::pooled<ride>> held;
        std::uint64_t got = 0;
        auto keeps = d.subscribe("keeps", overflow::block, {.execution = ropeway::inline_},
                                 [&](ropeway::pooled<ride> event) {
                                     ++got;
                                     held.push_back(std::move(event));
                                 });
        auto feed = d.publisher("feed", small_rings());
        d.start();
        const auto before = simulation::now();
        for (int i = 0; i < 12; ++i) {
            send(feed, event_kind::trade, 1);
        }
        simulation::check(simulation::now() - before < 100ms, "a publish waited");
        simulation::check(got <= 8, "as many as there are slots");
        while (got < 12) {  // a worker comes back for the rest
            held.clear();
            simulation::check(simulation::eventually([&] { return got == 12 || !held.empty(); }),
                              "slots are back, and it goes on");
        }
        held.clear();
        simulation::check(d.stop(1s).clean(), "a clean stop");
    });
}

TEST_CASE("a stop keeps its deadline though a publisher helps a handler that hangs") {
    holds_for_seeds(300, "a stop beside a helper", [] {
        ropeway::dispatcher_params params = one_worker();
        params.publishers_help = true;
        params.workers.slice = 10ms;  // short, whoever is held up
        ropeway::dispatcher<ride> d{params};
        simulated_gate worker;
        simulated_gate helper;
        bool hangs = false;
        std::uint64_t got = 0;
        auto stuck = d.subscribe("stuck", overflow::block, {.kinds = event_kind::quote},
                                 [&](const ride&) { worker.pass(); });
        auto quick =
            d.subscribe("quick", overflow::block, {.kinds = event_kind::trade}, [&](const ride&) {
                ++got;
                if (hangs) {
                    helper.pass();
                }
            });
        auto feed = d.publisher("feed", small_rings());
        d.start();
        for (std::uint64_t i = 1; i <= 4; ++i) {  // until its handler is known to be short
            send(feed, event_kind::trade, 1);
            simulation::check(simulation::eventually([&] { return got == i; }), "all come");
        }
        send(feed, event_kind::quote, 1);
        simulation::check(simulation::eventually([&] { return worker.entered; }), "held");
        hangs = true;
        simulation::thread publishes{[&] {
            for (int i = 0; i < 40; ++i) {
                auto event = feed.claim();
                if (event) {
                    event->kind = event_kind::trade;
                    static_cast<void>(feed.publish(std::move(event), 1s));
                }
            }
        }};
        simulation::check(simulation::eventually([&] { return helper.entered; }), "it helps");
        const auto before = simulation::now();
        const auto report = d.stop(5ms);
        simulation::check(simulation::now() - before < 500ms, "the stop kept its deadline");
        simulation::check(!report.workers_gone, "and tells that handlers run");
        worker.open = helper.open = true;
        publishes.join();
        simulation::pass(10ms);
    });
}
