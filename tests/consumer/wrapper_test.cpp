// SPDX-License-Identifier: Apache-2.0
//
// The wrapper alone: three ways a delivery ends, each with the event back in its pool and counted.
#include <ropeway/consumer/wrapper.hpp>

#include <ropeway_test.hpp>

#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ropeway/pool/event_pool.hpp>

using namespace ropeway;

namespace {

class record_list final : public failure_sink {
  public:
    bool push(const failure_record& record) noexcept override {
        if (count_ == kept_.size()) {
            return false;
        }
        kept_[count_++] = record;
        return true;
    }
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] const failure_record& at(std::size_t i) const { return kept_.at(i); }

  private:
    std::array<failure_record, 4> kept_{};
    std::size_t count_ = 0;
};

template <class Handler>
wrapper<market_event, Handler> wrapped(std::string_view name, Handler handler,
                                       failure_sink* sink = nullptr,
                                       std::uint64_t min_version = 0) {
    return {name, std::move(handler), sink, min_version};
}

pooled<market_event> made(event_pool<market_event>& pool, event_kind kind, std::uint64_t version) {
    auto event = pool.get();
    event->kind = kind;
    event->routing_version = version;
    event->trace = {7, version};
    return event;
}

}  // namespace

TEST_CASE("an event goes back after return, throw and filter, and each is counted by kind") {
    recycler back;
    event_pool<market_event> pool{{.back = &back}};
    record_list failures;
    std::uint64_t calls = 0;
    auto consumer = wrapped(
        "momentum",
        [&](market_event& e) {
            ++calls;
            if (e.routing_version == 9) {
                throw std::runtime_error("no such book");
            }
        },
        &failures, 5);
    static_assert(!std::is_copy_constructible_v<decltype(consumer)>);

    CHECK(consumer.invoke(made(pool, event_kind::trade, 5)) == outcome::done);
    CHECK(pool.stats().outstanding == 0);
    CHECK(consumer.invoke(made(pool, event_kind::trade, 4)) == outcome::filtered);
    CHECK(calls == 1);  // not called at all
    CHECK(pool.stats().outstanding == 0);
    CHECK(consumer.invoke(made(pool, event_kind::quote, 9), {.sequence = 31}) == outcome::failed);
    CHECK(pool.stats().outstanding == 0);
    CHECK(consumer.invoke(made(pool, event_kind::execution_report, 0)) == outcome::done);
    CHECK(consumer.invoke({}) == outcome::filtered);  // nothing at all
    CHECK(pool.stats().outstanding == 0);
    CHECK(pool.stats().recycled == 4);

    const consumer_stats stats = consumer.stats();
    const auto of = [](const kind_counts& counts, event_kind kind) {
        return counts[static_cast<std::size_t>(kind)];
    };
    CHECK(stats.done == 2);
    CHECK(of(stats.done_by_kind, event_kind::trade) == 1);
    CHECK(of(stats.done_by_kind, event_kind::execution_report) == 1);
    CHECK(stats.filtered == 1);
    CHECK(of(stats.filtered_by_kind, event_kind::trade) == 1);
    CHECK(stats.failed == 1);
    CHECK(of(stats.failed_by_kind, event_kind::quote) == 1);
    CHECK(stats.min_version == 5);

    REQUIRE(failures.count() == 1);
    const failure_record& record = failures.at(0);
    CHECK(std::string{record.what} == "no such book");
    CHECK(std::string{record.consumer} == "momentum");
    CHECK(record.trace == trace_id{7, 9});
    CHECK(record.sequence == 31);
    CHECK(record.routing_version == 9);
}

TEST_CASE(
    "market data is processed from the higher of the two minimum versions on, critical always") {
    auto consumer = wrapped(
        "c", [](const market_event&) {}, nullptr, 3);
    struct line {
        event_kind kind;
        std::uint64_t version;
        std::uint64_t floor;
        bool processed;
    };
    for (const line& now :
         {line{event_kind::trade, 3, 0, true}, line{event_kind::trade, 2, 0, false},
          line{event_kind::trade, 3, 4, false}, line{event_kind::trade, 4, 4, true},
          line{event_kind::execution_report, 0, 9, true}, line{event_kind::control_ack, 0, 9, true},
          line{static_cast<event_kind>(200), 0, 9, true}}) {
        market_event event;
        event.kind = now.kind;
        event.routing_version = now.version;
        CHECK(consumer.should_process(event, now.floor) == now.processed);
    }
}

TEST_CASE("the minimum version only rises, whoever raises it") {
    auto consumer = wrapped("c", [](const market_event&) {});
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
        threads.emplace_back([&consumer, t] {
            for (std::uint64_t i = 0; i < 10'000; ++i) {
                consumer.update_min_version(i * 4 + t);
            }
        });
    }
    for (auto& each : threads) {
        each.join();
    }
    CHECK(consumer.stats().min_version == 9'999 * 4 + 3);
    consumer.update_min_version(1);
    CHECK(consumer.stats().min_version == 9'999 * 4 + 3);
}

TEST_CASE("what is thrown need not be an exception, and a long message is cut visibly") {
    record_list failures;
    int what = 0;
    auto consumer = wrapped(
        std::string(50, 'n'),
        [&](const market_event&) {
            if (what == 0) {
                throw 42;
            }
            throw std::runtime_error(std::string(500, 'x'));
        },
        &failures);
    market_event event;
    CHECK(consumer.process(event, {}, 0) == outcome::failed);
    what = 1;
    CHECK(consumer.process(event, {}, 0) == outcome::failed);
    REQUIRE(failures.count() == 2);
    CHECK_FALSE(std::string_view{failures.at(0).what}.empty());
    CHECK(std::string_view{failures.at(1).what}.ends_with("..."));
    CHECK(std::string_view{failures.at(1).what}.size() < sizeof(failure_record::what));
    CHECK(consumer.name() == std::string(31, 'n'));
    // A full sink, and none at all, cost the count nothing.
    for (int i = 0; i < 10; ++i) {
        CHECK(consumer.process(event, {}, 0) == outcome::failed);
    }
    CHECK(failures.count() == 4);
    CHECK(consumer.stats().failed == 12);
}

TEST_CASE("one call in 64 is timed") {
    auto consumer = wrapped("c", [](const market_event&) {
        const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds{20};
        while (std::chrono::steady_clock::now() < until) {
        }
    });
    market_event event;
    for (int i = 0; i < 640; ++i) {
        CHECK(consumer.process(event, {}, 0) == outcome::done);
    }
    const consumer_stats stats = consumer.stats();
    CHECK(stats.sampled == 10);
    CHECK(stats.sampled_ns >= 10 * 19'000);
    CHECK(stats.sampled_max_ns >= 19'000);
    CHECK(stats.sampled_max_ns <= stats.sampled_ns);
}
