// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed_generated.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <vector>

#include <ropeway/runtime/feed_peaks.hpp>
#include <ropeway_test.hpp>

using namespace ropeway;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;

std::vector<market_event> take(const generated_feed_params& params, std::size_t count) {
    const auto source = make_generated_feed(params);
    std::vector<market_event> events(count);
    for (auto& event : events) {
        if (!source->next(event)) {
            break;
        }
    }
    return events;
}

/// What the tables were fitted to.
struct measured {
    double mean = 0;         ///< messages per second
    double busy = 0;         ///< part of the milliseconds that hold a message
    double in_bursts_5 = 0;  ///< part of the messages in milliseconds of at least 5
    double in_bursts_20 = 0;
    double in_bursts_50 = 0;
    std::uint64_t peak_ms = 0;
    std::uint64_t peak_s = 0;
};

measured measure(burst_shape shape, std::uint64_t seed, std::chrono::seconds length) {
    const auto source = make_generated_feed({.shape = shape,
                                             .seed = seed,
                                             .heartbeat_interval = 0s,
                                             .duration = length,
                                             .start_ns = 0});
    burst_meter meter;
    std::map<std::int64_t, std::uint64_t> counts;
    market_event event;
    while (source->next(event)) {
        meter.add(event.receive_ns);
        ++counts[event.receive_ns / ns_per_ms];
    }
    const auto in_bursts = [&](std::uint64_t least) {
        std::uint64_t sum = 0;
        for (const auto& [ms, count] : counts) {
            sum += count >= least ? count : 0;
        }
        return static_cast<double>(sum) / static_cast<double>(meter.events());
    };
    const auto seconds = static_cast<double>(length.count());
    return {static_cast<double>(meter.events()) / seconds,
            static_cast<double>(counts.size()) / (seconds * 1000),
            in_bursts(5),
            in_bursts(20),
            in_bursts(50),
            meter.peak_in_1ms(),
            meter.peak_in_1s()};
}

struct range {
    double low = 0;
    double high = 0;
};

bool within(double value, const range& allowed) {
    return value >= allowed.low && value <= allowed.high;
}

/// What measure() may find, field by field.
struct expected {
    range mean, busy, in_bursts_5, in_bursts_20, in_bursts_50, peak_ms, peak_s;
};

void check_shape(burst_shape shape, std::chrono::seconds length, const expected& allowed) {
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        const auto m = measure(shape, seed, length);
        INFO("seed " << seed << " mean " << m.mean << " busy " << m.busy << " bursts "
                     << m.in_bursts_5 << ' ' << m.in_bursts_20 << ' ' << m.in_bursts_50 << " peaks "
                     << m.peak_ms << ' ' << m.peak_s);
        CHECK(within(m.mean, allowed.mean));
        CHECK(within(m.busy, allowed.busy));
        CHECK(within(m.in_bursts_5, allowed.in_bursts_5));
        CHECK(within(m.in_bursts_20, allowed.in_bursts_20));
        CHECK(within(m.in_bursts_50, allowed.in_bursts_50));
        CHECK(within(static_cast<double>(m.peak_ms), allowed.peak_ms));
        CHECK(within(static_cast<double>(m.peak_s), allowed.peak_s));
    }
}

}  // namespace

TEST_CASE("the same seed gives the same feed, another seed another one") {
    const auto first = take({.seed = 7}, 20'000);
    CHECK(first == take({.seed = 7}, 20'000));
    CHECK_FALSE(first == take({.seed = 8}, 20'000));
}

TEST_CASE("a seed means the same events on every machine") {
    const auto source = make_generated_feed({.seed = 1, .start_ns = 0});
    std::uint64_t hash = 14695981039346656037U;
    market_event event;
    for (int i = 0; i < 5000 && source->next(event); ++i) {
        for (const auto word :
             {static_cast<std::uint64_t>(event.receive_ns), static_cast<std::uint64_t>(event.price),
              static_cast<std::uint64_t>(event.kind), std::uint64_t{event.instrument}}) {
            hash = (hash ^ word) * 1099511628211U;
        }
    }
    CHECK(hash == 1100375220996982925U);
}

TEST_CASE("the Binance shape has the mean, the peaks and the bursts of its recording") {
    // recorded: 272/s, 11.2 % busy, 46/16/7 % in bursts of 5/20/50, 182 in 1 ms, 2527 in 1 s
    check_shape(burst_shape::binance_futures, 345s,
                {.mean = {240, 310},
                 .busy = {0.095, 0.125},
                 .in_bursts_5 = {0.40, 0.52},
                 .in_bursts_20 = {0.12, 0.22},
                 .in_bursts_50 = {0.04, 0.10},
                 .peak_ms = {180, 230},
                 .peak_s = {1500, 3200}});
}

TEST_CASE("the MIAX shape has the mean, the peaks and the bursts of its recording") {
    // recorded: 848/s, 16.1 % busy, 76/43/16 % in bursts of 5/20/50, 422 in 1 ms, 5961 in 1 s
    check_shape(burst_shape::miax_options, 60s,
                {.mean = {740, 960},
                 .busy = {0.14, 0.18},
                 .in_bursts_5 = {0.70, 0.80},
                 .in_bursts_20 = {0.34, 0.47},
                 .in_bursts_50 = {0.11, 0.23},
                 .peak_ms = {420, 520},
                 .peak_s = {3500, 7000}});
}

TEST_CASE("a run of 20 seconds has a peak burst already") {
    for (const std::uint64_t seed : {1U, 99U, 12345U}) {
        CHECK(measure(burst_shape::miax_options, seed, 20s).peak_ms >= 420);
        CHECK(measure(burst_shape::binance_futures, seed, 20s).peak_ms >= 180);
    }
}

TEST_CASE("stamps never fall, instruments are in the table and prices are positive") {
    const auto source = make_generated_feed({.instruments = 30});
    market_event event;
    std::int64_t latest = 0;
    std::vector<std::uint64_t> per_instrument(31);
    for (int i = 0; i < 100'000; ++i) {
        REQUIRE(source->next(event));
        REQUIRE(event.receive_ns >= latest);
        latest = event.receive_ns;
        REQUIRE(event.instrument <= 30);
        ++per_instrument[event.instrument];
        if (event.kind == event_kind::heartbeat) {
            continue;
        }
        REQUIRE(event.instrument >= 1);
        REQUIRE(event.price > 0);
        REQUIRE(event.quantity > 0);
        if (event.kind == event_kind::quote) {
            REQUIRE(event.price2 > event.price);
        }
    }
    CHECK(source->instruments().size() == 30);
    CHECK(source->instruments().name_of(1) == "G1");
    CHECK(std::all_of(per_instrument.begin(), per_instrument.end(), [](auto n) { return n > 0; }));
    CHECK(per_instrument[1] > 3 * per_instrument[30]);
}

TEST_CASE("kinds come in the proportion of their weights") {
    const auto source = make_generated_feed({.kinds = {.quote = 1, .trade = 2, .ticker = 1},
                                             .heartbeat_interval = 0s,
                                             .events = 40'000});
    market_event event;
    while (source->next(event)) {
    }
    const auto stats = source->stats();
    CHECK(stats.events == 40'000);
    CHECK(within(static_cast<double>(stats.of(event_kind::trade)), {19'000, 21'000}));
    CHECK(within(static_cast<double>(stats.of(event_kind::quote)), {9'000, 11'000}));
    CHECK(within(static_cast<double>(stats.of(event_kind::ticker)), {9'000, 11'000}));
    CHECK(stats.of(event_kind::book_update) == 0);
    CHECK(stats.of(event_kind::heartbeat) == 0);
}

TEST_CASE("heartbeats stand at every multiple of their interval, and the feed ends on time") {
    const auto source =
        make_generated_feed({.heartbeat_interval = 250ms, .duration = 3s, .start_ns = 0});
    market_event event;
    std::int64_t expected = 0;
    std::int64_t latest = 0;
    while (source->next(event)) {
        latest = event.receive_ns;
        if (event.kind != event_kind::heartbeat) {
            continue;
        }
        expected += 250 * ns_per_ms;
        CHECK(event.receive_ns == expected);
    }
    CHECK(expected == 3000 * ns_per_ms);
    CHECK(latest <= 3000 * ns_per_ms);
}

TEST_CASE("parameters out of range are refused with the value and the range") {
    const auto refused = [](const generated_feed_params& params, const std::string& value) {
        try {
            static_cast<void>(make_generated_feed(params));
        } catch (const feed_error& error) {
            return error.fault() == feed_fault::bad_value && error.value() == value &&
                   !error.remedy().empty();
        }
        return false;
    };
    CHECK(refused({.instruments = 0}, "0"));
    CHECK(refused({.instruments = 65537}, "65537"));
    CHECK(refused({.kinds = {}}, "0"));
    CHECK(refused({.heartbeat_interval = -1ns}, "-1 ns"));
    CHECK(refused({.heartbeat_interval = 1ns}, "1 ns"));
    CHECK(refused({.duration = -1ns}, "-1 ns"));
}
