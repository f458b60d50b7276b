// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/failure_log.hpp>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>

#include <pthread.h>

#include <ropeway/pool/event_kind.hpp>
#include <ropeway_test.hpp>

#include "log_test_support.hpp"

using namespace ropeway_test;
using ropeway::failure_log;
using ropeway::failure_record;
using ropeway::logger;
using ropeway::logging_params;

namespace trading {

__attribute__((noipa)) void reject_order() { throw std::runtime_error("limit exceeded"); }

}  // namespace trading

namespace {

failure_record sample(std::uint64_t sequence) {
    failure_record record;
    record.trace = {0x1, 0x2a};
    std::strcpy(record.consumer, "risk");
    record.kind = 6;
    record.routing_version = 3;
    record.sequence = sequence;
    std::strcpy(record.what, "limit \"exceeded\"\n");
    record.at_ns = leap_day_ns;
    return record;
}

/// Hands out `total` records; read by the failure log's thread only.
ropeway::failure_source counted(std::uint64_t total) {
    return [next = std::uint64_t{0}, total](std::span<failure_record> out) mutable {
        const auto count = std::min<std::uint64_t>(out.size(), total - next);
        for (std::uint64_t i = 0; i < count; ++i) {
            out[i] = sample(++next);
        }
        return static_cast<std::size_t>(count);
    };
}

std::string_view name_of_kind(std::uint32_t kind) {
    return ropeway::to_string(static_cast<ropeway::event_kind>(kind));
}

}  // namespace

TEST_CASE("a stop that may take for ever carries all and ends") {
    lines caught;
    logger log{caught_in(caught, {})};
    failure_log failures{log, counted(1000), {.stop_within = std::chrono::milliseconds::max()}};
    CHECK(failures.stop());
    CHECK(failures.carried() == 1000);
    CHECK(log.flush(std::chrono::milliseconds::max()));
}

TEST_CASE("a failure becomes one structured record") {
    lines caught;
    logger log{caught_in(caught, {})};
    {
        failure_log failures{log, counted(1)};
        CHECK(failures.stop());
        CHECK(failures.carried() == 1);
    }
    CHECK(log.flush(5s));
    REQUIRE(caught.size() == 1);
    CHECK(
        caught[0] ==
        R"({"time":"2024-02-29T23:59:59.000000001Z","level":"warning","message":"consumer failed",)"
        R"("trace_id":"0000000000000001000000000000002a","consumer":"risk","kind":6,)"
        R"("routing_version":3,"sequence":1,"what":"limit \"exceeded\"\n",)"
        R"("at":"2024-02-29T23:59:59.000000001Z"})");
}

TEST_CASE("kinds are named when the program says how") {
    lines caught;
    logger log{caught_in(caught, {})};
    { const failure_log failures{log, counted(1), {.kind_name = &name_of_kind}}; }
    CHECK(log.flush(5s));
    REQUIRE(caught.size() == 1);
    CHECK(parsed(caught[0])["kind"] == "execution_report");
}

TEST_CASE("the record names the function that threw") {
    lines caught;
    logger log{caught_in(caught, {})};
    failure_record record = sample(1);
    try {
        trading::reject_order();
    } catch (...) {
        record.stack = ropeway::last_throw();
    }
    {
        const failure_log failures{log, [&, given = false](auto out) mutable {
                                       out[0] = record;
                                       return std::exchange(given, true) ? std::size_t{0}
                                                                         : std::size_t{1};
                                   }};
    }
    CHECK(log.flush(5s));
    REQUIRE(caught.size() == 1);
    const auto stack = parsed(caught[0])["stack"].get<std::string>();
    CAPTURE(stack);
    CHECK(stack.rfind("#0 trading::reject_order()+0x", 0) == 0);
}

TEST_CASE("every failure is written, also through a log whose queue is small") {
    constexpr std::uint64_t total = 5000;
    lines caught;
    logging_params params = caught_in(caught, {});
    params.queue_capacity = 16;
    params.rate_burst = 1;  // a rate must not touch failures
    logger log{std::move(params)};
    std::uint64_t observed = 0;
    {
        ropeway::failure_log_params how;
        how.stop_within = 60s;
        how.observer = [&](const failure_record& record) { observed += record.sequence; };
        failure_log failures{log, counted(total), std::move(how)};
        CHECK(failures.stop());
        CHECK(failures.carried() == total);
        CHECK(failures.stop());
    }
    CHECK(log.flush(30s));
    CHECK(observed == total * (total + 1) / 2);
    REQUIRE(caught.size() == total);
    CHECK(parsed(caught[total - 1])["sequence"] == total);
    CHECK(log.stats().dropped == 0);
}

TEST_CASE("records are carried while the program runs, not only at its end") {
    lines caught;
    logger log{caught_in(caught, {})};
    failure_log failures{log, counted(3), {.poll = 1ms}};
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (failures.carried() < 3 && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    CHECK(failures.carried() == 3);
}

TEST_CASE("stopping is bounded although the source never ends") {
    lines caught;
    logger log{caught_in(caught, {})};
    failure_log failures{log,
                         [](std::span<failure_record> out) {
                             out[0] = sample(1);
                             return std::size_t{1};
                         },
                         {.stop_within = 20ms}};
    const auto start = std::chrono::steady_clock::now();
    CHECK_FALSE(failures.stop());
    CHECK(std::chrono::steady_clock::now() - start < 10s);
    CHECK(failures.carried() > 0);
}

TEST_CASE("a source or an observer that throws is counted, and the thread goes on") {
    lines caught;
    logger log{caught_in(caught, {})};
    ropeway::failure_log_params params;
    params.poll = 1ms;
    params.observer = [](const failure_record&) { throw 1; };
    failure_log failures{log,
                         [calls = 0](std::span<failure_record> out) mutable -> std::size_t {
                             ++calls;
                             if (calls == 1) {
                                 throw std::runtime_error("not now");
                             }
                             out[0] = sample(1);
                             return calls == 2 ? 1 : 0;
                         },
                         std::move(params)};
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (failures.source_errors() < 2 && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    CHECK(failures.source_errors() == 2);
    CHECK(failures.stop());
}

TEST_CASE("texts without an end and a depth out of range are read within their arrays") {
    lines caught;
    logger log{caught_in(caught, {})};
    {
        const failure_log failures{log, [given = false](auto out) mutable {
                                       std::memset(out[0].consumer, 'c', sizeof(out[0].consumer));
                                       std::memset(out[0].what, 'w', sizeof(out[0].what));
                                       out[0].stack.depth = 1000;
                                       return std::exchange(given, true) ? std::size_t{0}
                                                                         : std::size_t{1};
                                   }};
    }
    CHECK(log.flush(5s));
    REQUIRE(caught.size() == 1);
    CHECK(parsed(caught[0])["consumer"] == std::string(32, 'c'));
    CHECK(parsed(caught[0])["what"] == std::string(120, 'w'));
}

TEST_CASE("the thread bears its name and is gone with the failure log") {
    lines caught;
    logger log{caught_in(caught, {})};
    const std::size_t before = threads_now();
    std::string name;
    {
        ropeway::failure_log_params params;
        params.observer = [&](const failure_record&) {
            char text[16]{};
            pthread_getname_np(pthread_self(), text, sizeof(text));
            name = text;
        };
        const failure_log failures{log, counted(1), std::move(params)};
    }
    CHECK(name == "rw-failures");
    CHECK(threads_left(before) == before);
}

TEST_CASE("without a source, or with times out of range, it is refused") {
    logger log;
    CHECK_THROWS_AS((failure_log{log, nullptr}), std::invalid_argument);
    CHECK_THROWS_AS((failure_log{log, counted(0), {.poll = 0ms}}), std::invalid_argument);
    CHECK_THROWS_AS((failure_log{log, counted(0), {.stop_within = -1ms}}), std::invalid_argument);
}
