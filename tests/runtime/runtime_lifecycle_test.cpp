// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/runtime.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <stdexcept>

#include <ropeway/dispatcher/executor.hpp>
#include <ropeway_test.hpp>

#include "log_test_support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::failure_record;
using ropeway::market_event;
using ropeway::runtime_params;
using ropeway::runtime_report;

namespace {

/// Own threads: they end with stop(), and ThreadSanitizer sees into them.
runtime_params small(unsigned workers = 2) {
    runtime_params params;
    params.name = "trial";
    params.workers.count = workers;
    params.workers.where = ropeway::make_thread_executor({.name = "trial"});
    return params;
}

bool send(ropeway::publisher<market_event>& out, event_kind kind) {
    auto event = out.claim(kind);
    if (!event) {
        return false;
    }
    event->price = 61'800 * ropeway::price_scale;
    return static_cast<bool>(out.publish(std::move(event)));
}

std::size_t count_of(const lines& all, const std::string& message) {
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(),
                      [&](const std::string& line) { return parsed(line)["message"] == message; }));
}

/// What the constructor says about `params`; empty when it takes them.
std::string refusal(runtime_params params) {
    try {
        const ropeway::runtime rt{std::move(params)};
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return {};
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a loop through the facade delivers everything and its report says so") {
    constexpr std::uint64_t each = 500;
    ropeway::runtime rt{small()};
    std::atomic<std::uint64_t> trades{0};
    std::atomic<std::uint64_t> reports{0};
    auto prices = rt.subscribe("prices", ropeway::overflow::block, {.kinds = ropeway::market_data},
                               [&](market_event& e) {
                                   // relaxed: read after stop(), which joins the workers
                                   trades.fetch_add(e.price > 0, std::memory_order_relaxed);
                               });
    auto risk = rt.subscribe("risk", ropeway::overflow::block,
                             {.kinds = ropeway::critical, .delivery = ropeway::in_place},
                             [&](const market_event&) {
                                 reports.fetch_add(1, std::memory_order_relaxed);  // as above
                             });
    auto out = rt.publisher("feed");
    rt.start();
    bool sent = true;
    for (std::uint64_t i = 0; i < each; ++i) {
        sent = send(out, event_kind::trade) && send(out, event_kind::execution_report) && sent;
    }
    CHECK(sent);
    const runtime_report report = rt.stop(20s);
    CHECK(report.clean());
    CHECK(report.dispatcher.drained);
    CHECK(report.dispatcher.workers_gone);
    CHECK(report.dispatcher.threads_gone);
    CHECK(report.dispatcher.undelivered == 0);
    CHECK(report.dispatcher.slots_outstanding == 0);
    CHECK(report.failures == 0);
    CHECK(report.failures_dropped == 0);
    CHECK(report.log_lines_dropped == 0);
    CHECK(has(report.text(), "clean: everything was delivered"));
    CHECK(trades.load(std::memory_order_relaxed) == each);
    CHECK(reports.load(std::memory_order_relaxed) == each);
    CHECK(rt.partials().stats().outstanding == 0);
}

TEST_CASE("a second stop returns the first report and logs nothing more") {
    lines caught;
    runtime_params params = small(1);
    params.log = caught_in(caught, {});
    ropeway::runtime rt{std::move(params)};
    auto all = rt.subscribe("all", ropeway::overflow::block, {}, [](const market_event&) {});
    auto out = rt.publisher("feed");
    rt.start();
    CHECK(send(out, event_kind::trade));
    const std::string first = rt.stop(20s).text();
    CHECK(rt.stop(20s).text() == first);
    CHECK(rt.stop(0s).clean());
    CHECK(rt.log().flush(5s));
    CHECK(count_of(caught, "runtime started") == 1);
    CHECK(count_of(caught, "runtime stopped") == 1);

    auto late = out.claim();
    const auto refused = out.publish(std::move(late));
    CHECK(refused.status == ropeway::publish_status::stopped);
}

TEST_CASE("a runtime that was never started stops clean") {
    ropeway::runtime rt{small(1)};
    CHECK(rt.stop(1s).clean());
}

TEST_CASE("each failure of a handler is logged once, and the consumer goes on") {
    lines caught;
    std::vector<std::string> observed;  // by the failure log's thread, which stop() joins
    runtime_params params = small(1);
    params.log = caught_in(caught, {});
    params.on_failure = [&](const failure_record& record) { observed.emplace_back(record.what); };
    ropeway::runtime rt{std::move(params)};
    std::atomic<int> handled{0};
    auto risk = rt.subscribe("risk", ropeway::overflow::block, {}, [&](const market_event& e) {
        if (e.kind == event_kind::execution_report) {
            throw std::runtime_error("limit exceeded");
        }
        handled.fetch_add(1, std::memory_order_relaxed);  // read after stop()
    });
    auto out = rt.publisher("feed");
    rt.start();
    CHECK(send(out, event_kind::execution_report));
    CHECK(send(out, event_kind::control_command));
    CHECK(send(out, event_kind::execution_report));
    const runtime_report report = rt.stop(20s);
    CHECK(report.clean());  // a handler's failure does not make a stop unclean
    CHECK(report.failures == 2);
    CHECK(report.failures_dropped == 0);
    CHECK(has(report.text(), "Handlers failed 2 times"));
    CHECK(handled.load(std::memory_order_relaxed) == 1);
    CHECK(observed == std::vector<std::string>(2, "limit exceeded"));
    CHECK(rt.log().flush(5s));
    CHECK(count_of(caught, "consumer failed") == 2);
    const auto line = std::find_if(caught.begin(), caught.end(), [](const std::string& each) {
        return parsed(each)["message"] == "consumer failed";
    });
    REQUIRE(line != caught.end());
    CHECK(parsed(*line)["consumer"] == "risk");
    CHECK(parsed(*line)["what"] == "limit exceeded");
    CHECK(parsed(*line)["kind"] == "execution_report");
}

TEST_CASE("parameters out of range are refused with the field, its value and what is legal") {
    runtime_params subscriptions = small();
    subscriptions.max_subscriptions = 65;
    const auto first = refusal(std::move(subscriptions));
    INFO(first);
    CHECK(has(first, "max_subscriptions is 65"));
    CHECK(has(first, "between 1 and 64"));

    runtime_params failures = small();
    failures.failure_capacity = 63;
    CHECK(has(refusal(std::move(failures)), "failure_capacity is 63, and must be between 64"));

    runtime_params workers = small(257);
    CHECK(has(refusal(std::move(workers)), "count is 257, and must be between 0 and 256"));

    runtime_params partials = small();
    partials.partial_slots = 0;
    CHECK(has(refusal(std::move(partials)),
              "partial_slots is 0, and must be between 1 and 2147483648."));

    ropeway::runtime rt{small()};
    try {
        static_cast<void>(rt.publisher("feed", {.market_capacity = 1000}));
        FAIL("a capacity that is no power of two was taken");
    } catch (const std::invalid_argument& error) {
        INFO(error.what());
        CHECK(has(error.what(), "is 1000"));
        CHECK(has(error.what(), "the next one is 1024"));
    }
}

TEST_CASE("its threads are gone after stop") {
    const std::size_t before = threads_now();
    ropeway::runtime rt{small()};
    auto all = rt.subscribe("all", ropeway::overflow::block, {}, [](const market_event&) {});
    auto out = rt.publisher("feed");
    rt.start();
    CHECK(threads_now() > before);  // at least the failure log's
    CHECK(send(out, event_kind::trade));
    const runtime_report report = rt.stop(20s);
    CHECK(report.dispatcher.threads_gone);
    CHECK(threads_left(before) == before);
}

TEST_CASE("memory_report names the partials besides what the dispatcher holds") {
    ropeway::runtime rt{small()};
    const auto uses = rt.memory_report();
    const auto partials = std::find_if(
        uses.begin(), uses.end(), [](const auto& use) { return use.what == "trial partials"; });
    REQUIRE(partials != uses.end());
    CHECK(partials->bytes > 0);
    CHECK(uses.size() > 1);
}
