// SPDX-License-Identifier: Apache-2.0
#include <ropeway_test.hpp>

#include <nlohmann/json.hpp>

#include "status_line.hpp"
#include "verdict.hpp"

using namespace ropeway::soak;

namespace {

[[nodiscard]] reconciliation good_counts() {
    reconciliation r;
    r.published = 1'000'000;
    r.expected = 10'000'000;
    r.done = 9'800'000;
    r.filtered = 50'000;
    r.dropped = 50'000;
    r.failed = 100'000;
    r.critical_expected = r.critical_done = 100'000;
    r.stale_done = 3;
    r.stale_pending = 50'003;
    return r;
}

[[nodiscard]] run_facts good_facts() {
    run_facts f;
    f.host = "a \"host\"";
    f.commit = "abc";
    f.workers = 2;
    f.seed = 7;
    f.flips = 20;
    f.drained = f.workers_gone = true;
    f.threads_before = f.threads_after = 1;
    f.rss_start_bytes = 10'000'000;
    f.rss_end_bytes = 10'900'000;
    f.rss_events = 900'000;
    f.latency_ns = {1, 2, 3, 4, 5};
    f.seconds = 20.0;
    return f;
}

[[nodiscard]] std::string only_failure(const run_facts& facts) {
    const verdict v = judge(good_counts(), facts);
    CHECK_FALSE(v.pass);
    REQUIRE(v.failures.size() == 1);
    return v.failures.front();
}

}  // namespace

TEST_CASE("Good counts and facts pass") {
    const verdict v = judge(good_counts(), good_facts());
    CHECK(v.pass);
    CHECK(v.failures.empty());
    CHECK(v.events_per_second == ropeway_test::Approx(50'000.0));
    CHECK(v.rss_slope_bytes_per_million_events == ropeway_test::Approx(1'000'000.0));
}

TEST_CASE("Each broken rule fails the run and says so") {
    run_facts f = good_facts();
    f.slots_outstanding = 2;
    CHECK(only_failure(f) == "2 slots outstanding after the stop (leaked)");
    f = good_facts();
    f.double_puts = 1;
    CHECK(only_failure(f) == "1 double puts");
    f = good_facts();
    f.use_after_puts = 1;
    CHECK(only_failure(f) == "1 uses after put");
    f = good_facts();
    f.write_after_puts = 1;
    CHECK(only_failure(f) == "1 writes after put");
    f = good_facts();
    f.other_violations = 1;
    CHECK(only_failure(f) == "1 other violations");
    f = good_facts();
    f.threads_after = 2;
    CHECK(only_failure(f) == "1 threads before the run, 2 after it");
    f = good_facts();
    f.drained = false;
    f.unfinished = {"slow-09", "plain-01"};
    CHECK(only_failure(f) ==
          "not everything was delivered before the stop's deadline: slow-09, plain-01");
    f = good_facts();
    f.workers_gone = false;
    CHECK(only_failure(f) == "a worker still ran after the stop");
    f = good_facts();
    f.failure_records_dropped = 5;
    CHECK(only_failure(f) == "5 failure records were dropped by a full queue");
    f = good_facts();
    f.publish_errors = {"publisher: publish ended with: misuse"};
    CHECK(only_failure(f) == "publisher: publish ended with: misuse");
}

TEST_CASE("Memory may grow by a mebibyte, in runs long enough to judge") {
    run_facts f = good_facts();
    f.rss_end_bytes = f.rss_start_bytes + (1U << 20U);
    CHECK(judge(good_counts(), f).pass);
    f.rss_end_bytes += 4096;
    CHECK(only_failure(f) ==
          "memory grew by 1,052,672 bytes between 10 % and 100 % of the run (limit 1,048,576)");
    f.rss_events = 1000;
    CHECK(judge(good_counts(), f).pass);
}

TEST_CASE("Nothing published is no pass") {
    run_facts f = good_facts();
    CHECK_FALSE(judge(reconciliation{}, f).pass);
}

TEST_CASE("Too many stale handler calls fail") {
    reconciliation r = good_counts();
    r.stale_done = 41;
    r.stale_pending = 100;
    CHECK(judge(r, good_facts()).failures ==
          std::vector<std::string>{"41 stale handler calls of 100 stale events"});
}

TEST_CASE("The JSON has exactly the stable keys, in order") {
    const auto out = nlohmann::ordered_json::parse(to_json(judge(good_counts(), good_facts())));
    std::vector<std::string> keys;
    for (const auto& [key, value] : out.items()) {
        keys.push_back(key);
    }
    CHECK(keys == std::vector<std::string>{"schema",
                                           "verdict",
                                           "failures",
                                           "host",
                                           "commit",
                                           "profile",
                                           "workers",
                                           "seed",
                                           "events_published",
                                           "deliveries_expected",
                                           "deliveries_done",
                                           "deliveries_filtered",
                                           "deliveries_dropped",
                                           "deliveries_failed",
                                           "deliveries_lost",
                                           "deliveries_doubled",
                                           "deliveries_reordered",
                                           "critical_expected",
                                           "critical_done",
                                           "critical_dropped",
                                           "stale_done",
                                           "slots_outstanding",
                                           "double_puts",
                                           "use_after_puts",
                                           "write_after_puts",
                                           "threads_before",
                                           "threads_after",
                                           "rss_start_bytes",
                                           "rss_end_bytes",
                                           "rss_slope_bytes_per_million_events",
                                           "latency_ns",
                                           "events_per_second",
                                           "interrupted",
                                           "seconds",
                                           "cpu_seconds",
                                           "flips",
                                           "peak_pool_use"});
    CHECK(out["verdict"] == "pass");
    CHECK(out["host"] == "a \"host\"");
    CHECK(out["deliveries_expected"] == 10'000'000);
    CHECK(out["latency_ns"] ==
          nlohmann::ordered_json::parse(R"({"p50": 1, "p90": 2, "p99": 3, "p999": 4, "max": 5})"));
}

TEST_CASE("A failed run says fail and why, in JSON and table") {
    run_facts f = good_facts();
    f.slots_outstanding = 1;
    const verdict v = judge(good_counts(), f);
    const auto out = nlohmann::json::parse(to_json(v));
    CHECK(out["verdict"] == "fail");
    CHECK(out["failures"][0] == "1 slots outstanding after the stop (leaked)");
    const std::string table = to_table(v);
    CHECK(table.find("FAILED: 1 slots outstanding") != std::string::npos);
    CHECK(table.find("verdict: FAIL\n") != std::string::npos);
    CHECK(to_table(judge(good_counts(), good_facts())).find("verdict: PASS\n") !=
          std::string::npos);
}

TEST_CASE("The table says what its numbers leave out") {
    run_facts f = good_facts();
    const std::string whole = to_table(judge(good_counts(), f));
    CHECK(whole.find("not judged") == std::string::npos);
    CHECK(whole.find("interrupted") == std::string::npos);
    CHECK(whole.find("but the slow ones") == std::string::npos);
    f.rss_events = 499'999;
    f.interrupted = f.latency_without_slow = true;
    const std::string part = to_table(judge(good_counts(), f));
    CHECK(part.find("fewer than 500,000 events after its first 10 %: growth is told, not judged") !=
          std::string::npos);
    CHECK(part.find("interrupted: the verdict is about what") != std::string::npos);
    CHECK(part.find("of all consumers but the slow ones") != std::string::npos);
}

TEST_CASE("The status line names progress, time left, rate, flight, memory and failures") {
    status_facts s;
    s.progress = 0.426;
    s.eta_seconds = 11.2;
    s.events = 1'234'567;
    s.events_per_second = 49'812.4;
    s.in_flight = 1024;
    s.rss_bytes = 15U << 20U;
    s.failures = 99;
    CHECK(
        status_text(s) ==
        "soak  42 %, 12 s left | 1,234,567 events, 49,812 ev/s | in flight 1,024 | RSS 15.0 MiB | "
        "failures 99");
}
