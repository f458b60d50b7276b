// SPDX-License-Identifier: Apache-2.0
#include "growth.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

#include "ours.hpp"
#include "plot.hpp"
#include "publish_one.hpp"
#include "stopwatch.hpp"

namespace ropeway::bench {
namespace {

/// Median of the rounds. Throws when a count was wrong.
double middle_of(const plan& how, const std::string& what, const design& run) {
    std::vector<double> values;
    for (unsigned round = 0; round < how.rounds; ++round) {
        show_progress(what, round, how.rounds);
        const measured now = run();
        if (!now.faults.empty()) {
            throw std::runtime_error(what + ": " + now.faults.front());
        }
        values.push_back(now.value);
    }
    return spread_of(std::move(values)).median;
}

/// An event of a given size, which its handlers read whole.
template <std::size_t Bytes>
struct sized_event {
    event_kind kind = event_kind::trade;
    std::uint64_t routing_version = 0;
    std::array<std::uint64_t, Bytes / 8 - 2> words{};
};

/// Million events per second to three consumers, duplicates.
template <std::size_t Bytes>
measured run_payload(std::uint64_t events) {
    using event_type = sized_event<Bytes>;
    static_assert(sizeof(event_type) == Bytes);
    constexpr unsigned consumers = 3;
    measured out;
    struct alignas(cache_block) seen {
        std::uint64_t sum = 0;
        std::uint64_t count = 0;
        std::atomic<bool> all{false};
    };
    std::array<seen, consumers> each;
    dispatcher<event_type> fan;
    std::vector<subscription> joined;
    for (unsigned c = 0; c < consumers; ++c) {
        joined.push_back(fan.subscribe("consumer " + std::to_string(c + 1), overflow::block, {},
                                       [&mine = each[c], events](const event_type& event) {
                                           for (const std::uint64_t word : event.words) {
                                               mine.sum += word;
                                           }
                                           if (++mine.count == events) {
                                               mine.all.store(true, std::memory_order_release);
                                           }
                                       }));
    }
    publisher<event_type> feed = fan.publisher("feed");
    fan.start();
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; ++i) {
        const auto write = [i](event_type& event) { event.words.fill(i); };
        if (!publish_one(feed, i, write, out.faults)) {
            return out;
        }
    }
    for (const seen& one : each) {
        patience waiting;
        while (!one.all.load(std::memory_order_acquire)) {  // pairs with the handler's release
            waiting.wait();
        }
    }
    out.value = static_cast<double>(events) / since.seconds() / 1e6;
    static_cast<void>(fan.stop(std::chrono::seconds{5}));
    for (const seen& one : each) {
        expect(one.sum, (Bytes / 8 - 2) * (events * (events - 1) / 2), "checksum", out.faults);
    }
    return out;
}

std::uint64_t events_for(double consumers, const plan& how) {
    return static_cast<std::uint64_t>(8e6 / (1 + consumers)) / how.divisor;
}

/// Fills `out` with the rates of duplicates and in place; setup_at(x) is the fan at each x.
plot with_rates(const plan& how, plot out, const std::function<fan(double)>& setup_at) {
    constexpr std::array modes{delivery_mode::duplicate, delivery_mode::in_place};
    out.beside = "million events per second";
    out.lines = {{"duplicates", {}}, {"in place", {}}};
    for (const double x : out.x) {
        for (std::size_t i = 0; i < modes.size(); ++i) {
            fan setup = setup_at(x);
            setup.delivery = modes[i];
            out.lines[i].y.push_back(
                middle_of(how, "rate, " + out.below, [&] { return run_ours(setup); }));
        }
    }
    return out;
}

plot with_consumers(const plan& how) {
    return with_rates(how,
                      {.title = "Rate and number of consumers",
                       .below = "consumers",
                       .x = {1, 2, 3, 5, 10, 20, 35, 50},
                       .log_y = true},
                      [&how](double n) {
                          return fan{.consumers = static_cast<unsigned>(n),
                                     .events = events_for(n, how)};
                      });
}

plot cost_and_latency(const plan& how) {
    plot out{.title = "One publish, and publish to handler, at 100k events per second",
             .below = "consumers",
             .beside = "ns, profile latency",
             .x = {1, 2, 3, 5, 10, 20, 35, 50},
             .lines = {{"one publish", {}}, {"p50 to handler", {}}},
             .log_y = true};
    const std::uint64_t events = 50'000 / how.divisor;
    for (const double n : out.x) {
        const auto consumers = static_cast<unsigned>(n);
        out.lines[0].y.push_back(
            middle_of(how, "publish, consumers", [&] { return publish_cost(consumers, events); }));
        out.lines[1].y.push_back(middle_of(
            how, "p50, consumers", [&] { return median_latency(consumers, 100'000, events); }));
    }
    return out;
}

plot with_capacity(const plan& how) {
    return with_rates(how,
                      {.title = "Rate and capacity of the ring, three consumers",
                       .below = "slots",
                       .x = {64, 256, 1024, 4096, 16384, 65536}},
                      [&how](double slots) {
                          return fan{
                              .consumers = 3,
                              .events = events_for(3, how),
                              .rings = {.market_capacity = static_cast<std::uint32_t>(slots)}};
                      });
}

plot with_payload(const plan& how) {
    plot out{.title = "Rate and size of the event, three consumers, duplicates",
             .below = "bytes",
             .beside = "million events per second",
             .x = {64, 112, 240},
             .lines = {{"duplicates", {}}}};
    const std::uint64_t events = events_for(3, how);
    std::vector<double>& y = out.lines[0].y;
    y.push_back(middle_of(how, "rate, payload", [&] { return run_payload<64>(events); }));
    y.push_back(middle_of(how, "rate, payload", [&] { return run_payload<112>(events); }));
    y.push_back(middle_of(how, "rate, payload", [&] { return run_payload<240>(events); }));
    return out;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> plots_of_growth(const host_facts& host,
                                                                 const plan& how) {
    plan fewer = how;
    fewer.rounds = std::min(how.rounds, 5U);
    const std::string note = host.cpu + ", " + std::to_string(host.cpus) + " cpus, " +
                             host.compiler + ", commit " + host.commit;
    std::vector<std::pair<std::string, std::string>> out;
    const auto add = [&](const char* name, plot made) {
        made.note = note;
        out.emplace_back(name, to_svg(made));
    };
    add("growth_consumers.svg", with_consumers(fewer));
    add("growth_latency.svg", cost_and_latency(fewer));
    add("growth_capacity.svg", with_capacity(fewer));
    add("growth_payload.svg", with_payload(fewer));
    return out;
}

}  // namespace ropeway::bench
