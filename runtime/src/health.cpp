// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/health.hpp>

#include <cmath>
#include <string_view>

#include <nlohmann/json.hpp>

#include "log_line.hpp"

namespace ropeway {
namespace {

// Keys stay in the order in which they are read best.
using json = nlohmann::ordered_json;
using std::chrono::nanoseconds;

double in_seconds(nanoseconds time) noexcept { return std::chrono::duration<double>{time}.count(); }
double in_milliseconds(nanoseconds time) noexcept {
    return std::chrono::duration<double, std::milli>{time}.count();
}

std::string text_of(std::chrono::system_clock::time_point time) {
    std::string out;
    detail::append_time(out, nanoseconds{time.time_since_epoch()}.count());
    return out;
}

/// The moment `ago` before `now`; null where nothing has happened yet.
json moment(std::chrono::system_clock::time_point now, nanoseconds ago) {
    if (ago.count() < 0) {
        return nullptr;
    }
    return text_of(now - std::chrono::duration_cast<std::chrono::system_clock::duration>(ago));
}

json json_of(const latency_summary& of) {
    return {{"count", of.count},
            {"mean", in_milliseconds(of.mean)},
            {"p50", in_milliseconds(of.p50)},
            {"p95", in_milliseconds(of.p95)},
            {"p99", in_milliseconds(of.p99)},
            {"max", in_milliseconds(of.max)}};
}

json json_of(const std::optional<pool_latencies>& of) {
    if (!of) {
        return nullptr;
    }
    return {{"wait", json_of(of->wait)},
            {"hold", json_of(of->hold)},
            {"create", json_of(of->create)},
            {"validate", json_of(of->validate)}};
}

json statistics_of(const pool_health& pool, std::chrono::system_clock::time_point at) {
    const resource_snapshot& now = pool.now;
    const bool failed = static_cast<bool>(pool.last_error);
    const bool timed = pool.latencies.has_value();
    return {{"total_connections", now.total},
            {"idle_connections", now.idle},
            {"active_connections", now.active},
            {"waiting_requests", now.waiting},
            {"total_acquisitions", now.acquired},
            {"total_releases", now.released},
            {"avg_acquisition_time_ms",
             timed ? json(in_milliseconds(pool.latencies->wait.mean)) : json(nullptr)},
            {"peak_active_connections", now.peak_active},
            {"peak_wait_time_ms",
             timed ? json(in_milliseconds(pool.latencies->wait.max)) : json(nullptr)},
            {"pool_created_at", moment(at, now.age)},
            {"last_health_check", moment(at, now.since_check)},
            {"last_error", failed ? json(pool.last_error.text) : json(nullptr)},
            {"last_error_time", failed ? moment(at, now.since_error) : json(nullptr)}};
}

json error_of(const pool_health& pool) {
    if (!pool.last_error) {
        return nullptr;
    }
    return {
        {"kind", to_string(pool.last_error.kind)},
        {"code", pool.last_error.code_text()},
        {"text", pool.last_error.text},
        {"age_seconds", pool.now.since_error.count() < 0 ? json(nullptr)
                                                         : json(in_seconds(pool.now.since_error))}};
}

json closed_of(const resource_snapshot& now) {
    json out = json::object();
    for (std::size_t i = 0; i != close_reasons; ++i) {
        out[std::string{to_string(static_cast<close_reason>(i))}] = now.closed[i];
    }
    return out;
}

json json_of(const pool_health& pool, std::chrono::system_clock::time_point at) {
    const resource_snapshot& now = pool.now;
    return {
        {"name", pool.name},
        {"status", to_string(pool.status)},
        {"reason", pool.reason},
        {"state", to_string(now.state)},
        {"liveness", to_string(now.liveness)},
        {"statistics", statistics_of(pool, at)},
        {"sizes",
         {{"min_size", now.min_size},
          {"max_size", now.max_size},
          {"opening", now.opening},
          {"closing", now.closing},
          {"quarantined", now.quarantined}}},
        {"counters",
         {{"immediate", now.immediate},
          {"timeouts", now.timeouts},
          {"refused", now.refused},
          {"opened", now.opened},
          {"open_failed", now.open_failed}}},
        {"closed", closed_of(now)},
        {"latency_ms", json_of(pool.latencies)},
        {"leaks", {{"total", now.leaks}, {"recent", now.recent_leaks}, {"overdue", now.overdue}}},
        {"last_error", error_of(pool)}};
}

}  // namespace

latency_summary summary_of(const histogram& times) noexcept {
    const auto at = [&](double share) {
        return nanoseconds{static_cast<std::int64_t>(times.percentile(share))};
    };
    return {.count = times.count(),
            .mean = nanoseconds{std::llround(times.mean())},
            .p50 = at(0.50),
            .p95 = at(0.95),
            .p99 = at(0.99),
            .max = nanoseconds{static_cast<std::int64_t>(times.max())}};
}

std::string to_json(const runtime_health& health) {
    json out = {{"status", to_string(health.status)},
                {"timestamp", text_of(health.at)},
                {"uptime_seconds", in_seconds(health.uptime)},
                {"pools", json::array()}};
    for (const pool_health& pool : health.pools) {
        out["pools"].push_back(json_of(pool, health.at));
    }
    return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace ropeway
