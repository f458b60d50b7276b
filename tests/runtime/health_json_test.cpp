// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/health.hpp>

#include <string>

#include <nlohmann/json.hpp>
#include <ropeway_test.hpp>

using namespace std::chrono_literals;
using nlohmann::json;
using ropeway_test::Approx;

namespace {

/// 2024-02-29T23:59:59Z.
constexpr std::chrono::system_clock::time_point leap_day{std::chrono::seconds{1'709'251'199}};

ropeway::runtime_health one_pool() {
    ropeway::runtime_health out;
    out.status = ropeway::health_status::degraded;
    out.at = leap_day;
    out.uptime = 90s;
    ropeway::pool_health& pool = out.pools.emplace_back();
    pool.name = "orders";
    pool.status = ropeway::health_status::degraded;
    pool.reason = "leaks";
    pool.now.total = 5;
    pool.now.idle = 2;
    pool.now.active = 3;
    pool.now.waiting = 4;
    pool.now.acquired = 1000;
    pool.now.released = 997;
    pool.now.peak_active = 5;
    pool.now.recent_leaks = 1;
    pool.now.leaks = 6;
    pool.now.overdue = 1;
    pool.now.min_size = 2;
    pool.now.max_size = 10;
    pool.now.age = 60s;
    pool.now.state = ropeway::pool_state::degraded;
    pool.now.liveness = ropeway::liveness_state::suspect;
    pool.now.since_error = 9s;
    pool.now.since_check = 1s;
    pool.now.closed[static_cast<std::size_t>(ropeway::close_reason::age)] = 11;
    pool.last_error = {ropeway::resource_error_kind::recovering, {"57P03"}, "starting up"};
    pool.latencies.emplace().wait = {
        .count = 1000, .mean = 2ms, .p50 = 1ms, .p95 = 5ms, .p99 = 8ms, .max = 20ms};
    return out;
}

}  // namespace

TEST_CASE("the thirteen statistics stand in the object under the names that monitors know") {
    const json all = json::parse(to_json(one_pool()));
    const json& statistics = all["pools"][0]["statistics"];
    CHECK(statistics.size() == 13);
    CHECK(statistics["total_connections"] == 5);
    CHECK(statistics["idle_connections"] == 2);
    CHECK(statistics["active_connections"] == 3);
    CHECK(statistics["waiting_requests"] == 4);
    CHECK(statistics["total_acquisitions"] == 1000);
    CHECK(statistics["total_releases"] == 997);
    CHECK(statistics["avg_acquisition_time_ms"] == Approx(2.0));
    CHECK(statistics["peak_active_connections"] == 5);
    CHECK(statistics["peak_wait_time_ms"] == Approx(20.0));
    CHECK(statistics["pool_created_at"] == "2024-02-29T23:58:59.000000000Z");
    CHECK(statistics["last_health_check"] == "2024-02-29T23:59:58.000000000Z");
    CHECK(statistics["last_error"] == "starting up");
    CHECK(statistics["last_error_time"] == "2024-02-29T23:59:50.000000000Z");
}

TEST_CASE("status, state, liveness, leaks, latencies and the last error are told by name") {
    const json all = json::parse(to_json(one_pool()));
    CHECK(all["status"] == "degraded");
    CHECK(all["timestamp"] == "2024-02-29T23:59:59.000000000Z");
    CHECK(all["uptime_seconds"] == Approx(90.0));
    REQUIRE(all["pools"].size() == 1);
    const json& pool = all["pools"][0];
    CHECK(pool["name"] == "orders");
    CHECK(pool["status"] == "degraded");
    CHECK(pool["reason"] == "leaks");
    CHECK(pool["state"] == to_string(ropeway::pool_state::degraded));
    CHECK(pool["liveness"] == "suspect");
    CHECK(pool["leaks"] == json{{"total", 6}, {"recent", 1}, {"overdue", 1}});
    CHECK(pool["sizes"]["max_size"] == 10);
    CHECK(pool["closed"].size() == ropeway::close_reasons);
    CHECK(pool["closed"]["age"] == 11);
    CHECK(pool["latency_ms"]["wait"]["p99"] == Approx(8.0));
    CHECK(pool["latency_ms"].size() == 4);
    CHECK(pool["last_error"]["kind"] == "recovering");
    CHECK(pool["last_error"]["code"] == "57P03");
    CHECK(pool["last_error"]["age_seconds"] == Approx(9.0));
}

TEST_CASE("what has not happened yet is null") {
    ropeway::runtime_health health;
    health.at = leap_day;
    health.pools.emplace_back().name = "fresh";
    const json pool = json::parse(to_json(health))["pools"][0];
    CHECK(pool["last_error"].is_null());
    CHECK(pool["statistics"]["last_error"].is_null());
    CHECK(pool["statistics"]["last_error_time"].is_null());
    CHECK(pool["statistics"]["last_health_check"].is_null());
    CHECK(pool["latency_ms"].is_null());
    CHECK(pool["statistics"].size() == 13);
    CHECK(pool["statistics"]["avg_acquisition_time_ms"].is_null());
    CHECK(pool["statistics"]["peak_wait_time_ms"].is_null());
}

TEST_CASE("a text that is not UTF-8 does not spoil the object") {
    ropeway::runtime_health health = one_pool();
    health.pools[0].last_error.text = "M\xFCnchen \xFF \" \n";
    CHECK_NOTHROW(json::parse(to_json(health)));
}

TEST_CASE("no pool, no trouble") {
    const json all = json::parse(to_json(ropeway::runtime_health{}));
    CHECK(all["status"] == "healthy");
    CHECK(all["pools"].empty());
}

TEST_CASE("a summary's numbers are the distribution's") {
    ropeway::histogram times;
    for (int i = 1; i <= 100; ++i) {
        times.record(static_cast<std::uint64_t>(i) * 1'000'000);
    }
    const ropeway::latency_summary summary = ropeway::summary_of(times);
    CHECK(summary.count == 100);
    CHECK(summary.max == 100ms);
    CHECK(static_cast<double>(summary.mean.count()) == Approx(50.5e6).epsilon(0.032));
    CHECK(static_cast<double>(summary.p50.count()) == Approx(50e6).epsilon(0.063));
    CHECK(static_cast<double>(summary.p99.count()) == Approx(99e6).epsilon(0.063));
    CHECK(ropeway::summary_of(ropeway::histogram{}).mean == 0ns);
}
