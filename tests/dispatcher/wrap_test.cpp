// SPDX-License-Identifier: Apache-2.0
//
// Counts of few bits wrap: positions in the tail (32 bits), of conflated events (40) and of pins
// (48), and the generations of slots (32). Everything starts a few hundred events before the wraps,
// which then fall together, and every account must be as far from them.
#include <map>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::delivery;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

constexpr std::uint32_t capacity = 64;

struct stream {
    std::map<std::uint32_t, std::uint64_t> latest{};
    std::uint64_t got = 0;
    std::uint64_t gone = 0;
    std::uint64_t reports = 0;
    std::uint64_t disorder = 0;
    std::uint64_t last = 0;

    void take(const market_event& e, const delivery& facts) {
        ++got;
        gone += facts.lost_before + facts.conflated_before;
        if (e.kind == event_kind::execution_report) {
            ++reports;
        } else {
            disorder += e.user <= last ? 1U : 0U;
            last = e.user;
            latest[e.instrument] = e.user;
        }
    }
};

}  // namespace

TEST_CASE("positions, sequences and generations wrap, and nothing is lost, doubled or reordered",
          "[wrap]") {
    const std::uint64_t before = GENERATE(std::uint64_t{1} << 32U, std::uint64_t{1} << 40U,
                                          std::uint64_t{1} << 48U, std::uint64_t{1} << 59U);
    const auto level = GENERATE(ropeway::guard_level::guard, ropeway::guard_level::full);
    auto params = small_dispatcher(2);
    params.guard = level;
    params.starts.position = before - 8 * capacity;
    params.starts.generation = 0xFFFF'FFFCU;
    violations seen;
    ropeway::dispatcher<market_event> d{params};
    struct reader {
        overflow policy;
        ropeway::delivery_mode mode;
        ropeway::event_order order;
        stream of{};
    };
    std::vector<reader> readers;
    for (const overflow policy : {overflow::block, overflow::drop_oldest, overflow::conflate}) {
        for (const auto mode : {ropeway::duplicate, ropeway::in_place}) {
            for (const auto order :
                 {ropeway::event_order::critical_first, ropeway::event_order::in_sequence}) {
                readers.push_back({policy, mode, order});
            }
        }
    }
    gate stuck;
    std::vector<ropeway::subscription> subs;
    for (reader& one : readers) {
        const bool waits = one.policy != overflow::block;
        subs.push_back(
            d.subscribe("s", one.policy,
                        {.kinds = event_kind::quote | event_kind::execution_report,
                         .delivery = one.mode,
                         .order = one.order,
                         .backlog = 1024,
                         .execution = waits ? ropeway::execution_mode::own_thread
                                            : ropeway::execution_mode::group},
                        [&one, &stuck, waits](const market_event& e, const delivery& facts) {
                            if (waits && one.of.got == 0) {
                                stuck.pass();  // lapped over the wrap
                            }
                            one.of.take(e, facts);
                        }));
    }
    auto feed = d.publisher("feed", rings_of(capacity));
    CHECK(subs[0].first_sequence(0) == 2 * params.starts.position + 1);
    d.start();
    constexpr std::uint64_t events = 3000;
    std::map<std::uint32_t, std::uint64_t> latest;
    std::uint64_t reports = 0;
    std::uint64_t last_sequence = 2 * params.starts.position;
    for (std::uint64_t i = 1; i <= events; ++i) {
        const bool report = i % 8 == 0;
        const auto instrument = static_cast<std::uint32_t>(i % 7 + 1);
        const auto result =
            send(feed, report ? event_kind::execution_report : event_kind::quote, i, instrument);
        REQUIRE(result);
        REQUIRE(result.sequence == ++last_sequence);
        if (report) {
            ++reports;
        } else {
            latest[instrument] = i;
        }
        if (i == events / 2) {
            stuck.open();
        }
    }
    const auto report = d.stop(30s);
    CHECK(report.clean());
    const auto stats = d.stats();
    for (std::size_t i = 0; i < readers.size(); ++i) {
        INFO("policy " << static_cast<int>(readers[i].policy) << ", delivery "
                       << static_cast<int>(readers[i].mode) << ", order "
                       << static_cast<int>(readers[i].order));
        const stream& of = readers[i].of;
        CHECK(of.reports == reports);
        CHECK(of.disorder == 0);
        CHECK(of.got + of.gone == events);
        CHECK(of.gone == stats.subscriptions[i].dropped + stats.subscriptions[i].conflated);
        if (readers[i].policy != overflow::drop_oldest) {
            CHECK(of.latest == latest);
        }
        if (readers[i].policy == overflow::block) {
            CHECK(of.got == events);
        }
    }
    CHECK(stats.publishers.at(0).recycled == events);
    CHECK(stats.duplicates_out == 0);
    CHECK(stats.kept_out == 0);
    CHECK(seen.all() == 0);
}
