// SPDX-License-Identifier: Apache-2.0
//
// The table of settings, with the seeds' bounds.
#include "pool_settings.hpp"

#include <array>
#include <limits>
#include <type_traits>

namespace ropeway::detail {
namespace {

using std::chrono::milliseconds;
using enum number_unit;

constexpr std::int64_t second = 1000;
constexpr std::int64_t hour = 3600 * second;
constexpr std::int64_t no_end = std::numeric_limits<std::int64_t>::max();
// A time without an end of its own still has to fit in a clock's nanoseconds.
constexpr std::int64_t century = 876'600 * hour;

/// config.first.second, for a path of members.
template <auto... Path>
auto& at(auto& config) noexcept {
    return (config.*....*Path);
}

template <auto... Path>
std::int64_t get(const pool_config& config) {
    if constexpr (requires { at<Path...>(config).count(); }) {
        return at<Path...>(config).count();
    } else {
        return static_cast<std::int64_t>(at<Path...>(config));
    }
}

template <auto... Path>
void set(pool_config& config, std::int64_t value) {
    auto& field = at<Path...>(config);
    field = static_cast<std::remove_reference_t<decltype(field)>>(value);
}

/// Both ends are legal.
struct bounds {
    std::int64_t low;
    std::int64_t high;
};

template <auto... Path>
number_setting number(std::string_view key, number_unit unit, bounds legal, std::string_view range,
                      std::string_view suggestion) {
    return {key,   unit,       legal.low,     legal.high,   false,
            range, suggestion, &get<Path...>, &set<Path...>};
}

constexpr auto pool = &pool_config::pool;
using P = resource_pool_params;

std::vector<number_setting> make_sizes() {
    return {
        number<pool, &P::min_size>("min_size", count, {1, 100}, "from 1 to 100",
                                   "Set POOL_MIN_SIZE to the connections that are always in use"),
        number<pool, &P::max_size>("max_size", count, {1, 100}, "from 1 to 100",
                                   "Set POOL_MAX_SIZE to the connections the server can spare"),
        number<pool, &P::reserved>("reserved", count, {0, 99}, "from 0 to 99",
                                   "Set POOL_RESERVED to the connections kept for priority work"),
        number<pool, &P::max_waiters>("max_waiters", count, {1, 100'000}, "from 1 to 100000",
                                      "Set POOL_MAX_WAITERS to the number of threads that acquire"),
        number<pool, &P::max_uses>("max_queries", count, {1000, no_end}, ">= 1000",
                                   "Set POOL_MAX_QUERIES to 50000: connecting costs milliseconds"),
        number<pool, &P::startup_attempts>("startup_attempts", count, {1, 10}, "from 1 to 10",
                                           "Set POOL_STARTUP_ATTEMPTS to 3"),
        number<&pool_config::retry, &reconnect_params::max_attempts>(
            "retry_attempts", count, {1, 10}, "from 1 to 10", "Set POOL_RETRY_ATTEMPTS to 3"),
    };
}

std::vector<number_setting> make_times() {
    return {
        number<pool, &P::acquire_timeout>(
            "timeout", time, {1, 300 * second - 1}, "> 0 and < 300 seconds",
            "Set POOL_TIMEOUT to how long a caller can afford to wait"),
        number<pool, &P::connect_timeout>(
            "connect_timeout", time, {second, 60 * second}, "from 1 to 60 seconds",
            "Set POOL_CONNECT_TIMEOUT to 5, more for a server far away"),
        number<&pool_config::command_timeout>(
            "command_timeout", time, {second, 300 * second}, "from 1 to 300 seconds",
            "Set POOL_COMMAND_TIMEOUT to the longest statement's time"),
        number<pool, &P::max_idle>("max_idle_time", time, {10 * second, century}, ">= 10 seconds",
                                   "Set POOL_MAX_IDLE_TIME to 60"),
        number<pool, &P::max_age>("max_connection_lifetime", time, {60 * second, century},
                                  ">= 60 seconds", "Set POOL_MAX_CONNECTION_LIFETIME to 3600"),
        number<pool, &P::leak_timeout>(
            "leak_detection_timeout", time, {0, century}, ">= 0 seconds (0: off)",
            "Set POOL_LEAK_DETECTION_TIMEOUT beyond the longest honest use"),
        number<pool, &P::probe_timeout>("probe_timeout", time, {1, 60 * second},
                                        "from 0.001 to 60 seconds",
                                        "Set POOL_PROBE_TIMEOUT to 0.5"),
        number<pool, &P::reset_timeout>("reset_timeout", time, {1, 60 * second},
                                        "from 0.001 to 60 seconds", "Set POOL_RESET_TIMEOUT to 2"),
        number<pool, &P::close_timeout>("close_timeout", time, {1, 60 * second},
                                        "from 0.001 to 60 seconds", "Set POOL_CLOSE_TIMEOUT to 1"),
        number<pool, &P::validate_after>("validate_after", time, {0, hour},
                                         "from 0 to 3600 seconds", "Set POOL_VALIDATE_AFTER to 1"),
        number<pool, &P::maintenance_interval>("maintenance_interval", time, {1, hour},
                                               "from 0.001 to 3600 seconds",
                                               "Set POOL_MAINTENANCE_INTERVAL to 10"),
        number<&pool_config::shutdown_timeout>(
            "shutdown_timeout", time, {0, hour}, "from 0 to 3600 seconds",
            "Set POOL_SHUTDOWN_TIMEOUT to what the supervisor allows, less a second"),
    };
}

std::vector<number_setting> make_numbers() {
    std::vector<number_setting> all = make_sizes();
    for (const number_setting& one : make_times()) {
        all.push_back(one);
    }
    number_setting probe = number<pool, &P::probe_interval>(
        "probe_interval", time, {10, hour},
        "0 (liveness' probes alone) or from 0.01 to 3600 seconds", "Set POOL_PROBE_INTERVAL to 30");
    number_setting limit = number<&pool_config::server_limit>(
        "server_limit", count, {2, 100'000}, "0 (unknown) or from 2 to 100000",
        "Set POOL_SERVER_LIMIT to the server's max_connections, or this program's share of them");
    for (number_setting* setting : {&probe, &limit}) {
        setting->or_zero = true;
        all.push_back(*setting);
    }
    return all;
}

constexpr std::array<std::string_view, 8> flags{"true", "false", "1",  "0",
                                                "yes",  "no",    "on", "off"};
constexpr std::array<std::string_view, 4> sizes{"seed_000", "seed_001", "seed_002", "seed_004"};
constexpr std::array<std::string_view, 4> healths{"combined", "strict_000", "liveness_002",
                                                  "latency_004"};
constexpr std::array<std::string_view, 3> livenesses{"pool", "fast", "seed_002"};
constexpr std::array<std::string_view, 3> reconnects{"pool", "seed_000", "node"};
// In the order of their enumerations.
constexpr std::array<std::string_view, 3> validations{"passive_only", "if_idle", "always"};
constexpr std::array<std::string_view, 2> orders{"last_used", "oldest_idle"};
constexpr std::array<std::string_view, 2> startups{"fail_fast", "start_degraded"};

void set_sizes(pool_config& config, std::size_t index) {
    constexpr std::array<std::array<std::uint32_t, 2>, sizes.size()> seeds{
        {{2, 10}, {1, 10}, {1, 10}, {5, 20}}};
    config.pool.min_size = seeds[index][0];
    config.pool.max_size = seeds[index][1];
}

void set_health(pool_config& config, std::size_t index) {
    config.health =
        std::array{health_presets::combined(), health_presets::strict_000(),
                   health_presets::liveness_002(), health_presets::latency_004()}[index];
}

void set_liveness(pool_config& config, std::size_t index) {
    config.pool.liveness = std::array{liveness_presets::pool(), liveness_presets::fast(),
                                      liveness_presets::seed_002()}[index];
}

void set_reconnect(pool_config& config, std::size_t index) {
    config.pool.reconnect = std::array{reconnect_presets::pool(), reconnect_presets::seed_000(),
                                       reconnect_presets::node()}[index];
}

template <auto... Path>
void set_word(pool_config& config, std::size_t index) {
    set<Path...>(config, static_cast<std::int64_t>(index));
}

template <auto... Path>
std::size_t get_word(const pool_config& config) {
    return static_cast<std::size_t>(get<Path...>(config));
}

constexpr std::array<choice_setting, 8> choices{{
    {"sizes", sizes, "Set POOL_SIZES to the seed whose minimum and maximum fit", &set_sizes,
     nullptr},
    {"enable_leak_detection", flags, "Set POOL_ENABLE_LEAK_DETECTION to true",
     [](pool_config& config, std::size_t index) { config.leak_detection = index % 2 == 0; },
     [](const pool_config& config) -> std::size_t { return config.leak_detection ? 0 : 1; }},
    {"health", healths, "Set POOL_HEALTH to combined", &set_health, nullptr},
    {"liveness", livenesses, "Set POOL_LIVENESS to pool", &set_liveness, nullptr},
    {"reconnect", reconnects, "Set POOL_RECONNECT to pool", &set_reconnect, nullptr},
    {"validation", validations, "Set POOL_VALIDATION to if_idle", &set_word<pool, &P::validate>,
     &get_word<pool, &P::validate>},
    {"idle_order", orders, "Set POOL_IDLE_ORDER to last_used", &set_word<pool, &P::order>,
     &get_word<pool, &P::order>},
    {"startup", startups, "Set POOL_STARTUP to fail_fast", &set_word<pool, &P::on_startup>,
     &get_word<pool, &P::on_startup>},
}};

}  // namespace

std::span<const number_setting> number_settings() noexcept {
    static const std::vector<number_setting> all = make_numbers();
    return all;
}

std::span<const choice_setting> choice_settings() noexcept { return choices; }

const std::vector<std::string_view>& setting_keys() {
    static const std::vector<std::string_view> keys = [] {
        std::vector<std::string_view> all{"name", "database_url"};
        for (const number_setting& setting : number_settings()) {
            all.push_back(setting.key);
        }
        for (const choice_setting& setting : choices) {
            all.push_back(setting.key);
        }
        return all;
    }();
    return keys;
}

}  // namespace ropeway::detail
