// SPDX-License-Identifier: Apache-2.0
//
// The facade: the loop from claim to report, failures in the log, and what it refuses.
#include <ropeway/ropeway.hpp>

#include <ropeway_test.hpp>

#include <stdexcept>
#include <string>
#include <vector>

using namespace ropeway;
using namespace std::chrono_literals;

namespace {

runtime_params small() {
    runtime_params params;
    params.workers.count = 2;
#if defined(__SANITIZE_THREAD__)
    params.workers.where = make_thread_executor();  // oneTBB is not instrumented
#endif
    return params;
}

bool send(publisher<market_event>& to, event_kind kind, std::uint64_t user) {
    auto event = to.claim();
    if (!event) {
        return false;
    }
    event->kind = kind;
    event->user = user;
    event->trace = {0xFEED, user};
    return static_cast<bool>(to.publish(std::move(event)));
}

}  // namespace

TEST_CASE("the loop through the facade ends clean, and its report says so") {
    std::uint64_t got = 0;
    runtime rt{small()};
    auto reader = rt.subscribe("reader", overflow::block, {}, [&](const market_event&) { ++got; });
    auto feed = rt.publisher("feed");
    rt.start();
    for (std::uint64_t i = 1; i <= 1000; ++i) {
        REQUIRE(send(feed, i % 10 == 0 ? event_kind::control_ack : event_kind::trade, i));
    }
    const runtime_report report = rt.stop(30s);
    CHECK(report.clean());
    CHECK(report.failures == 0);
    CHECK(report.dispatcher.workers_gone);
    CHECK_FALSE(report.text().empty());
    CHECK(got == 1000);
    CHECK(rt.stop(30s).text() == report.text());  // a second stop is the first one's
    CHECK(rt.partials().stats().outstanding == 0);
    CHECK_FALSE(rt.memory_report().empty());
}

TEST_CASE("a handler that throws is a line in the log, with trace and consumer, and a number") {
    std::vector<std::string> lines;  // written by the log's thread, which ends with the runtime
    std::uint64_t observed = 0;      // by the failure log's thread, joined by stop()
    runtime_report report;
    {
        auto params = small();
        params.log.callback = [&](log_level, std::string_view line) { lines.emplace_back(line); };
        params.on_failure = [&](const failure_record& record) {
            observed += record.trace == trace_id{0xFEED, 7} ? 1U : 0U;
        };
        runtime rt{params};
        auto bad = rt.subscribe("momentum", overflow::block, {}, [](const market_event& e) {
            if (e.user == 7) {
                throw std::runtime_error("book is crossed");
            }
        });
        auto feed = rt.publisher("feed");
        rt.start();
        for (std::uint64_t i = 1; i <= 10; ++i) {
            REQUIRE(send(feed, event_kind::trade, i));
        }
        report = rt.stop(30s);
    }
    CHECK(report.clean());  // a failed handler is no unclean stop
    CHECK(report.failures == 1);
    CHECK(report.failures_dropped == 0);
    CHECK(observed == 1);
    std::size_t told = 0;
    for (const std::string& line : lines) {
        told += line.find("book is crossed") != std::string::npos &&
                        line.find("momentum") != std::string::npos
                    ? 1U
                    : 0U;
    }
    CHECK(told == 1);
}

TEST_CASE("what the facade refuses names the field and the value") {
    using Catch::Matchers::Contains;
    auto params = small();
    params.workers.count = 1000;
    REQUIRE_THROWS_WITH(runtime{params}, Contains("count is 1000"));
    auto unwritable = small();
    unwritable.log.file = "/nowhere/engine.log";
    REQUIRE_THROWS_WITH(runtime{unwritable}, Contains("/nowhere/engine.log"));
}
