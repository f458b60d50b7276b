// SPDX-License-Identifier: Apache-2.0
//
// Three publishers, consumers of every policy and delivery, one of which throws, and subscriptions
// that come and go meanwhile: in == out to the last slot. Each account is written by one worker at
// a time and read by the main thread after the end of its subscription.
#include <iostream>
#include <stdexcept>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

constexpr std::size_t feeds = 3;

/// What one consumer saw of one publisher. Events carry a number of their own class in `user`,
/// dense from 1.
struct stream {
    std::uint64_t market = 0;
    std::uint64_t critical = 0;
    std::uint64_t last_market = 0;
    std::uint64_t last_critical = 0;
    std::uint64_t told_lost = 0;
    std::uint64_t wrong = 0;  ///< gaps that nobody told, repeats, steps back

    void take(const market_event& e, const delivery& facts, bool from_the_start) noexcept {
        const bool is_critical = e.kind == event_kind::execution_report;
        std::uint64_t& last = is_critical ? last_critical : last_market;
        const std::uint64_t lost = is_critical ? 0 : facts.lost_before;
        const bool first_seen = last == 0 && !from_the_start;
        wrong += !first_seen && e.user != last + 1 + lost ? 1U : 0U;
        wrong += is_critical && facts.lost_before != 0 ? 1U : 0U;
        last = e.user;
        told_lost += lost;
        ++(is_critical ? critical : market);
    }
};

struct consumer {
    std::array<stream, feeds> from{};
    std::uint64_t thrown = 0;

    void take(const market_event& e, const delivery& facts, bool from_the_start = true) noexcept {
        from.at(facts.publisher).take(e, facts, from_the_start);
    }
};

struct sent_counts {
    std::uint64_t market = 0;
    std::uint64_t critical = 0;
    std::uint64_t refused = 0;
};

void flood(ropeway::publisher<market_event>& to, std::uint64_t events, sent_counts& sent) {
    for (std::uint64_t i = 1; i <= events; ++i) {
        const bool critical = i % 50 == 0;
        std::uint64_t& number = critical ? sent.critical : sent.market;
        const auto kind = critical ? event_kind::execution_report : event_kind::trade;
        if (send(to, kind, number + 1)) {
            ++number;
        } else {
            ++sent.refused;
        }
    }
}

/// The resident consumers: 0 throws, 1 and 2 are whole, 3 and 4 may lose market data.
std::vector<ropeway::subscription> join(ropeway::dispatcher<market_event>& d,
                                        std::array<consumer, 5>& all) {
    std::vector<ropeway::subscription> subs;
    const auto whole = [&](std::size_t i, ropeway::delivery_mode mode) {
        subs.push_back(d.subscribe(
            "whole", overflow::block, {.delivery = mode},
            [&me = all[i]](const market_event& e, const delivery& facts) { me.take(e, facts); }));
    };
    const auto lossy = [&](std::size_t i, ropeway::delivery_mode mode) {
        subs.push_back(d.subscribe("lossy", overflow::drop_oldest, {.delivery = mode},
                                   [&me = all[i]](const market_event& e, const delivery& facts) {
                                       me.take(e, facts);
                                       for (std::uint64_t k = 0; k < (e.user & 15U); ++k) {
                                           ropeway::spin_pause();
                                       }
                                   }));
    };
    subs.push_back(d.subscribe("throws", overflow::block, {},
                               [&me = all[0]](const market_event& e, const delivery& facts) {
                                   me.take(e, facts);
                                   if (e.user % 100 == 7) {
                                       ++me.thrown;
                                       throw std::runtime_error("one in a hundred");
                                   }
                               }));
    whole(1, ropeway::duplicate);
    whole(2, ropeway::in_place);
    lossy(3, ropeway::duplicate);
    lossy(4, ropeway::in_place);
    return subs;
}

/// Joins, sees some events, leaves; from() of what it saw must be without a hole.
std::uint64_t visit(ropeway::dispatcher<market_event>& d, bool in_ring, const tally& ended,
                    std::uint64_t& wrong) {
    consumer guest;
    tally seen;
    auto sub = d.subscribe("guest", overflow::block,
                           {.delivery = in_ring ? ropeway::in_place : ropeway::duplicate},
                           [&](const market_event& e, const delivery& facts) {
                               guest.take(e, facts, false);
                               seen.add();
                           });
    static_cast<void>(eventually([&] { return seen.get() >= 50 || ended.get() == feeds; }));
    sub.unsubscribe();
    const std::uint64_t final_count = seen.get();
    for (const stream& each : guest.from) {
        wrong += each.wrong + each.told_lost;
    }
    return final_count;
}

}  // namespace

TEST_CASE("in is out to the last slot: many publishers, mixed policies, guests, a thrower") {
    const std::uint64_t events = under_tsan ? 30'000 : scaled(700'000);  // per publisher
    const std::size_t threads_before = thread_count();
    std::array<consumer, 5> all{};
    std::array<sent_counts, feeds> sent{};
    std::uint64_t visits = 0;
    std::uint64_t guests_saw = 0;
    std::uint64_t guests_wrong = 0;
    std::uint64_t failures = 0;
    std::uint64_t dropped = 0;
    {
        ropeway::dispatcher<market_event> d{small_dispatcher()};
        auto subs = join(d, all);
        std::vector<ropeway::publisher<market_event>> to;
        for (std::size_t i = 0; i < feeds; ++i) {
            to.push_back(d.publisher("feed", rings_of(128)));
        }
        d.start();
        tally ended;
        std::vector<std::thread> feeders;
        for (std::size_t i = 0; i < feeds; ++i) {
            feeders.emplace_back([&, i] {
                flood(to[i], events, sent.at(i));
                ended.add();
            });
        }
        std::vector<ropeway::failure_record> records(1024);
        while (ended.get() != feeds) {
            guests_saw += visit(d, visits++ % 2 == 0, ended, guests_wrong);
            failures += d.drain_failures(records);
        }
        for (std::thread& feeder : feeders) {
            feeder.join();
        }
        const auto report = d.stop(60s);
        for (std::size_t n = 0; (n = d.drain_failures(records)) != 0;) {
            failures += n;
        }
        CHECK(report.clean());
        CHECK(report.threads_gone);
        CHECK(report.slots_outstanding == 0);
        CHECK(d.leaks().clean());
        const auto stats = d.stats();
        CHECK(stats.duplicates_out == 0);
        CHECK(failures + stats.failures_dropped == all[0].thrown);
        for (std::size_t i = 0; i < feeds; ++i) {
            const auto& of = stats.publishers.at(i);
            CHECK(sent[i].refused == 0);
            CHECK(of.published == events);
            CHECK(of.recycled == events);
            CHECK(of.claims_out == 0);
            CHECK(of.in_rings == 0);
        }
        for (std::size_t i = 0; i < all.size(); ++i) {
            INFO("consumer " << i);
            const auto& of = stats.subscriptions.at(i);
            dropped += of.dropped + of.starved;
            CHECK(of.consumer.done + of.consumer.failed + of.dropped + of.starved ==
                  feeds * events);
            CHECK((i >= 3 || of.dropped + of.starved == 0));
        }
    }
    std::uint64_t told = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::size_t k = 0; k < feeds; ++k) {
            INFO("consumer " << i << ", publisher " << k);
            const stream& seen = all[i].from.at(k);
            CHECK(seen.wrong == 0);
            CHECK(seen.critical == sent.at(k).critical);
            CHECK(seen.market + seen.told_lost == sent.at(k).market);
            CHECK(seen.last_market == sent.at(k).market);
            told += seen.told_lost;
        }
    }
    CHECK(told == dropped);
    CHECK(dropped > 0);
    CHECK(all[0].thrown > 0);
    CHECK(guests_wrong == 0);
    CHECK(visits > 1);
    CHECK(guests_saw > 0);
    CHECK(eventually([&] { return thread_count() <= threads_before; }));
    std::cout << "stress: " << feeds * events << " events in, " << dropped << " dropped and told, "
              << failures << " failures, " << visits << " guests that saw " << guests_saw << "\n";
}
