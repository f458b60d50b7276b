// SPDX-License-Identifier: Apache-2.0
//
// Short runs through the real path, whole and with one planted fault each.
#include <ropeway_test.hpp>

#include <algorithm>
#include <atomic>
#include <thread>

#include "run.hpp"

using namespace ropeway::soak;

namespace {

[[nodiscard]] scenario short_run() {
    scenario out;
    out.wanted.events = 20'000;
    out.wanted.rate = 40'000.0;
    out.wanted.consumers = 4;
    out.wanted.flips_per_second = 20.0;
    out.wanted.executor = executor_kind::threads;
    return out;
}

[[nodiscard]] run_result with(fault what, std::uint32_t consumer = 1) {
    scenario planned = short_run();
    planned.planted.what = what;
    planned.planted.consumer = consumer;
    const std::atomic<bool> never{false};
    return run(planned, nullptr, never);
}

[[nodiscard]] bool says(const verdict& v, std::string_view part) {
    return std::any_of(v.failures.begin(), v.failures.end(), [part](const std::string& each) {
        return each.find(part) != std::string::npos;
    });
}

void explain(const verdict& v) {
    for (const std::string& each : v.failures) {
        UNSCOPED_INFO(each);
    }
}

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer makes a thread of its own beside a program's first: before the run counts them.
const bool sanitizer_has_its_thread = (std::thread{[] {}}.join(), true);
#endif

}  // namespace

TEST_CASE("A run without faults passes, and its numbers add up") {
    const run_result done = with(fault::none);
    explain(done.result);
    CHECK(exit_code(done.result) == 0);
    const reconciliation& c = done.result.counts;
    CHECK(c.published == 20'000);
    CHECK(c.expected == 80'000);
    CHECK(c.done + c.filtered + c.dropped + c.failed == c.expected);
    CHECK(c.failed > 0);
    CHECK(c.critical_expected > 0);
    CHECK(c.critical_done == c.critical_expected);
    CHECK(done.result.slots_outstanding == 0);
    CHECK(done.result.threads_after == done.result.threads_before);
    CHECK(done.result.latency_ns.p50 > 0);
    CHECK(done.result.flips > 0);
    CHECK(done.result.cpu_seconds > 0.0);
    CHECK(done.result.peak_pool_use > 0.0);
    CHECK_FALSE(done.result.interrupted);
}

TEST_CASE("A lost event fails the run") {
    const verdict v = with(fault::lost).result;
    CHECK(exit_code(v) == 1);
    CHECK(v.counts.lost == 1);
    CHECK(says(v, "plain-01: lost 1 (market)"));
}

TEST_CASE("A lost critical event fails the run") {
    const verdict v = with(fault::lost_critical).result;
    CHECK(exit_code(v) == 1);
    CHECK(v.counts.lost == 1);
    CHECK(v.counts.critical_done == v.counts.critical_expected - 1);
    CHECK(says(v, "plain-01: lost 1 (critical)"));
}

TEST_CASE("Handler calls for stale market data fail the run") {
    // So few that no handler falls behind: what waits until it is stale is filtered and called for
    // nothing.
    scenario planned = short_run();
    planned.wanted.events = 4'000;
    planned.wanted.rate = 4'000.0;
    planned.planted.what = fault::stale;
    planned.planted.consumer = 1;
    const std::atomic<bool> never{false};
    const run_result done = run(planned, nullptr, never);
    const verdict& v = done.result;
    CAPTURE(v.counts.stale_done, v.counts.stale_pending, v.counts.filtered, v.flips, v.seconds);
    CHECK(exit_code(v) == 1);
    REQUIRE(v.failures.size() == 1);
    CHECK(says(v, "stale handler calls of"));
}

TEST_CASE("A doubled event fails the run") {
    const verdict v = with(fault::doubled).result;
    CHECK(exit_code(v) == 1);
    CHECK(v.counts.doubled == 1);
    CHECK(says(v, "plain-01: doubled 1 (publisher 0, market)"));
}

TEST_CASE("A reordered event fails the run") {
    const verdict v = with(fault::reordered).result;
    CHECK(exit_code(v) == 1);
    CHECK(v.counts.reordered == 1);
    CHECK(v.counts.lost == 0);
    CHECK(says(v, "plain-01: reordered 1 (publisher 0, market)"));
}

TEST_CASE("A changed event fails the run") {
    const verdict v = with(fault::corrupt).result;
    CHECK(exit_code(v) == 1);
    CHECK(says(v, "plain-01: 1 events came with a wrong checksum"));
}

TEST_CASE("A leaked slot fails the run") {
    const verdict v = with(fault::leaked_slot).result;
    CHECK(exit_code(v) == 1);
    CHECK(v.slots_outstanding == 1);
    CHECK(says(v, "1 slots outstanding after the stop (leaked)"));
}

TEST_CASE("A double put fails the run") {
    const run_result done = with(fault::double_put);
    CHECK(exit_code(done.result) == 1);
    CHECK(done.result.double_puts == 1);
    CHECK(done.result.failures == std::vector<std::string>{"1 double puts"});
    REQUIRE(done.violations.size() == 1);
    CHECK(done.violations.front().find("planted") != std::string::npos);
}

TEST_CASE("An interrupted run is judged by what was published so far") {
    scenario planned = short_run();
    planned.wanted.events = 1'000'000'000;
    const std::atomic<bool> at_once{true};
    const run_result done = run(planned, nullptr, at_once);
    CHECK(done.result.interrupted);
    CHECK(done.result.counts.published < 1'000'000'000);
    CHECK(done.result.counts.lost == 0);
}
