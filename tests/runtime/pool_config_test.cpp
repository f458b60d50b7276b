// SPDX-License-Identifier: Apache-2.0
//
// A pool's settings: the seeds' bounds on both sides, in each source; which source wins; names that
// do not exist; the words of a refusal.
#include <ropeway/runtime/pool_config.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway_test.hpp>

using ropeway::load_pool_config;
using ropeway::pool_config;
using ropeway::pool_config_error;
using ropeway::pool_config_sources;
using ropeway::setting_map;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> problems_of(const pool_config_sources& sources) {
    try {
        (void)load_pool_config(sources);
    } catch (const pool_config_error& refused) {
        return refused.problems();
    }
    return {};
}

std::vector<std::string> problems_of(const setting_map& environment) {
    return problems_of(pool_config_sources{.environment = environment});
}

pool_config loaded(const setting_map& environment) {
    return load_pool_config({.environment = environment});
}

/// The only problem, or a text that matches nothing.
std::string problem_of(const setting_map& environment) {
    const std::vector<std::string> problems = problems_of(environment);
    return problems.size() == 1 ? problems[0] : "problems: " + std::to_string(problems.size());
}

}  // namespace

TEST_CASE("without any setting a pool is 2 to 10 connections to the embedded SQLite") {
    const pool_config config = load_pool_config({});
    CHECK(config.pool.name == "database");
    CHECK(config.pool.min_size == 2);
    CHECK(config.pool.max_size == 10);
    CHECK(config.pool.acquire_timeout == 30s);
    CHECK(config.pool.connect_timeout == 5s);
    CHECK(config.command_timeout == 30s);
    CHECK(config.pool.max_uses == 50'000);
    CHECK(config.pool.max_idle == 60s);
    CHECK(config.pool.max_age == 3600s);
    CHECK(config.pool.leak_timeout == 30s);
    CHECK(config.database == ropeway::database_kind::sqlite);
    CHECK(config.database_url == "sqlite::memory:");
    CHECK(config.retry.max_attempts == 3);
    CHECK(config.origins.empty());
}

TEST_CASE("each numeric variable reaches its field and keeps its bounds, both sides") {
    struct row {
        std::string variable;
        std::vector<std::string> legal;
        std::function<bool(const pool_config&)> last_is_set;
        std::vector<std::string> illegal;
        std::string range;
    };
    using C = pool_config;
    const std::vector<row> table{
        {"POOL_MIN_SIZE",
         {"1", "10"},
         [](const C& c) { return c.pool.min_size == 10; },
         {"0", "-1", "101", "ten", "1.5", "", "1e1", "0x2", "99999999999999999999"},
         "from 1 to 100"},
        {"POOL_MAX_SIZE",
         {"2", "100"},
         [](const C& c) { return c.pool.max_size == 100; },
         {"0", "-1", "101", "many"},
         "from 1 to 100"},
        {"POOL_RESERVED",
         {"0", "9"},
         [](const C& c) { return c.pool.reserved == 9; },
         {"-1", "100"},
         "from 0 to 99"},
        {"POOL_MAX_WAITERS",
         {"1", "100000"},
         [](const C& c) { return c.pool.max_waiters == 100'000; },
         {"0", "100001"},
         "from 1 to 100000"},
        {"POOL_TIMEOUT",
         {"0.001", "299.999", "0.25"},
         [](const C& c) { return c.pool.acquire_timeout == 250ms; },
         {"0", "-1", "300", "0.0009", "inf", "nan", "30s", "1e2", ""},
         "> 0 and < 300 seconds"},
        {"POOL_CONNECT_TIMEOUT",
         {"1", "60", "2.5"},
         [](const C& c) { return c.pool.connect_timeout == 2500ms; },
         {"0.999", "60.001"},
         "from 1 to 60 seconds"},
        {"POOL_COMMAND_TIMEOUT",
         {"1", "300"},
         [](const C& c) { return c.command_timeout == 300s; },
         {"0.999", "300.001"},
         "from 1 to 300 seconds"},
        {"POOL_MAX_QUERIES",
         {"1000", "9000000000"},
         [](const C& c) { return c.pool.max_uses == 9'000'000'000; },
         {"999", "0"},
         ">= 1000"},
        {"POOL_MAX_IDLE_TIME",
         {"10", "86400"},
         [](const C& c) { return c.pool.max_idle == 24h; },
         {"9.999", "0"},
         ">= 10 seconds"},
        {"POOL_MAX_CONNECTION_LIFETIME",
         {"60", "61"},
         [](const C& c) { return c.pool.max_age == 61s; },
         {"59.999", "0"},
         ">= 60 seconds"},
        {"POOL_LEAK_DETECTION_TIMEOUT",
         {"0", "10"},
         [](const C& c) { return c.pool.leak_timeout == 10s; },
         {"-0.001", "-5"},
         ">= 0 seconds (0: off)"},
        {"POOL_PROBE_TIMEOUT",
         {"0.001", "60"},
         [](const C& c) { return c.pool.probe_timeout == 60s; },
         {"0", "60.001"},
         "from 0.001 to 60 seconds"},
        {"POOL_RESET_TIMEOUT",
         {"0.001", "60"},
         [](const C& c) { return c.pool.reset_timeout == 60s; },
         {"0", "61"},
         "from 0.001 to 60 seconds"},
        {"POOL_CLOSE_TIMEOUT",
         {"0.001", "60"},
         [](const C& c) { return c.pool.close_timeout == 60s; },
         {"0", "61"},
         "from 0.001 to 60 seconds"},
        {"POOL_VALIDATE_AFTER",
         {"0", "3600"},
         [](const C& c) { return c.pool.validate_after == 1h; },
         {"-1", "3601"},
         "from 0 to 3600 seconds"},
        {"POOL_PROBE_INTERVAL",
         {"0", "0.01", "3600"},
         [](const C& c) { return c.pool.probe_interval == 1h; },
         {"0.009", "-1", "3601"},
         "0 (liveness' probes alone) or from 0.01 to 3600 seconds"},
        {"POOL_MAINTENANCE_INTERVAL",
         {"0.001", "3600"},
         [](const C& c) { return c.pool.maintenance_interval == 1h; },
         {"0", "3601"},
         "from 0.001 to 3600 seconds"},
        {"POOL_SHUTDOWN_TIMEOUT",
         {"0", "3600"},
         [](const C& c) { return c.shutdown_timeout == 1h; },
         {"-1", "3601"},
         "from 0 to 3600 seconds"},
        {"POOL_STARTUP_ATTEMPTS",
         {"1", "10"},
         [](const C& c) { return c.pool.startup_attempts == 10; },
         {"0", "11"},
         "from 1 to 10"},
        {"POOL_RETRY_ATTEMPTS",
         {"1", "10"},
         [](const C& c) { return c.retry.max_attempts == 10; },
         {"0", "11"},
         "from 1 to 10"},
    };
    for (const row& one : table) {
        for (const std::string& value : one.legal) {
            CAPTURE(one.variable, value);
            CHECK(problems_of(setting_map{{one.variable, value}}).empty());
        }
        CAPTURE(one.variable);
        const pool_config config = loaded({{one.variable, one.legal.back()}});
        CHECK(one.last_is_set(config));
        for (const std::string& value : one.illegal) {
            const std::string text = problem_of({{one.variable, value}});
            CAPTURE(value, text);
            CHECK(text.find(" (" + value + ") must be ") != std::string::npos);
            CHECK(text.find(one.range) != std::string::npos);
            CHECK(text.find(". Suggestion: Set POOL_") != std::string::npos);
            CHECK(text.ends_with(" [from " + one.variable + "]"));
        }
    }
}

TEST_CASE("words reach their fields, in any case, and others are refused with the list") {
    CHECK(loaded({{"POOL_VALIDATION", "always"}}).pool.validate == ropeway::validation::always);
    CHECK(loaded({{"POOL_VALIDATION", "Passive_Only"}}).pool.validate ==
          ropeway::validation::passive_only);
    CHECK(loaded({{"POOL_VALIDATION", "if_idle"}}).pool.validate == ropeway::validation::if_idle);
    CHECK(loaded({{"POOL_IDLE_ORDER", "oldest_idle"}}).pool.order ==
          ropeway::idle_order::oldest_idle);
    CHECK(loaded({{"POOL_STARTUP", "start_degraded"}}).pool.on_startup ==
          ropeway::startup::start_degraded);
    CHECK(loaded({{"POOL_STARTUP", "fail_fast"}}).pool.on_startup == ropeway::startup::fail_fast);
    CHECK(loaded({{"POOL_NAME", "orders"}}).pool.name == "orders");
    CHECK(problem_of({{"POOL_VALIDATION", "sometimes"}}) ==
          "validation (sometimes) must be one of passive_only, if_idle, always. Suggestion: Set "
          "POOL_VALIDATION to if_idle [from POOL_VALIDATION]");
    CHECK(problem_of({{"POOL_NAME", ""}}).find("name (\"\") must be a text of 1 to 64 bytes") == 0);
    CHECK(problem_of({{"POOL_NAME", std::string(65, 'x')}}).find("name (\"xxx") == 0);
}

TEST_CASE("leak detection is switched off by either of its settings") {
    for (const std::string off : {"false", "0", "no", "OFF", "False"}) {
        const pool_config config =
            loaded({{"POOL_ENABLE_LEAK_DETECTION", off}, {"POOL_LEAK_DETECTION_TIMEOUT", "10"}});
        CHECK_FALSE(config.leak_detection);
        CHECK(config.pool.leak_timeout == 0s);
    }
    for (const std::string on : {"true", "1", "yes", "on", "TRUE"}) {
        const pool_config config =
            loaded({{"POOL_ENABLE_LEAK_DETECTION", on}, {"POOL_LEAK_DETECTION_TIMEOUT", "10"}});
        CHECK(config.pool.leak_timeout == 10s);
    }
    CHECK(loaded({{"POOL_LEAK_DETECTION_TIMEOUT", "0"}}).pool.leak_timeout == 0s);
    CHECK(problem_of({{"POOL_ENABLE_LEAK_DETECTION", "maybe"}})
              .find("enable_leak_detection (maybe) must be one of true, false") == 0);
}

TEST_CASE("presets have the seeds' sizes and health rules") {
    struct row {
        std::string name;
        std::uint32_t min;
        std::uint32_t max;
    };
    for (const row& one : std::vector<row>{
             {"seed_000", 2, 10}, {"seed_001", 1, 10}, {"seed_002", 1, 10}, {"seed_004", 5, 20}}) {
        const pool_config config = loaded({{"POOL_SIZES", one.name}});
        CHECK(config.pool.min_size == one.min);
        CHECK(config.pool.max_size == one.max);
    }
    CHECK(loaded({{"POOL_HEALTH", "strict_000"}}).health.unhealthy_below == 0.5);
    CHECK(loaded({{"POOL_HEALTH", "strict_000"}}).health.degraded_below == 0.8);
    CHECK_FALSE(loaded({{"POOL_HEALTH", "liveness_002"}}).health.use_saturation);
    CHECK(loaded({{"POOL_HEALTH", "latency_004"}}).health.wait_limit == 200ms);
    CHECK(loaded({{"POOL_HEALTH", "combined"}}).health.wait_limit == 100ms);
    CHECK(loaded({{"POOL_LIVENESS", "seed_002"}}).pool.liveness.interval == 5s);
    CHECK(loaded({{"POOL_LIVENESS", "fast"}}).pool.liveness.detects_within() == 1750ms);
    CHECK(loaded({{"POOL_RECONNECT", "seed_000"}}).pool.reconnect.while_waiting == 0ms);
    CHECK(loaded({{"POOL_RECONNECT", "node"}}).pool.reconnect.cap == 30s);
    CHECK(loaded({{"POOL_RECONNECT", "pool"}}).pool.reconnect.while_waiting == 200ms);
    CHECK(problem_of({{"POOL_HEALTH", "strict"}})
              .find("health (strict) must be one of combined, strict_000, liveness_002, "
                    "latency_004") == 0);
}

TEST_CASE("a preset gives way to single settings of its own source and wins over lower ones") {
    const pool_config own = loaded({{"POOL_SIZES", "seed_004"}, {"POOL_MAX_SIZE", "30"}});
    CHECK(own.pool.min_size == 5);
    CHECK(own.pool.max_size == 30);
    const pool_config above = load_pool_config(
        {.environment = {{"POOL_MAX_SIZE", "30"}}, .settings = {{"sizes", "seed_004"}}});
    CHECK(above.pool.max_size == 20);
}

TEST_CASE("a maximum below the minimum is refused in the seed's words, with both origins") {
    CHECK(problem_of({{"POOL_MIN_SIZE", "10"}, {"POOL_MAX_SIZE", "5"}}) ==
          "max_size (5) must be >= min_size (10). Suggestion: Increase POOL_MAX_SIZE or reduce "
          "POOL_MIN_SIZE [max_size from POOL_MAX_SIZE, min_size from POOL_MIN_SIZE]");
    CHECK(problem_of({{"POOL_MIN_SIZE", "11"}})
              .ends_with("[max_size from its default, min_size from POOL_MIN_SIZE]"));
    CHECK(problems_of(setting_map{{"POOL_MIN_SIZE", "10"}, {"POOL_MAX_SIZE", "10"}}).empty());
    // A size that is wrong by itself is told once, not compared as well.
    CHECK(problem_of({{"POOL_MIN_SIZE", "11"}, {"POOL_MAX_SIZE", "0"}}).find("max_size (0)") == 0);
}

TEST_CASE("a maximum that leaves nothing of the server's limit is refused, where that is known") {
    CHECK(problem_of({{"POOL_SERVER_LIMIT", "10"}}) ==
          "max_size (10) must be < server_limit (10). Suggestion: Reduce POOL_MAX_SIZE, or raise "
          "the server's limit and POOL_SERVER_LIMIT");
    CHECK(loaded({{"POOL_SERVER_LIMIT", "11"}}).server_limit == 11);
    CHECK(loaded({{"POOL_SERVER_LIMIT", "0"}, {"POOL_MAX_SIZE", "100"}}).server_limit == 0);
    CHECK(
        problem_of({{"POOL_SERVER_LIMIT", "1"}}).find("server_limit (1) must be 0 (unknown) or") ==
        0);
    CHECK(problem_of({{"POOL_SERVER_LIMIT", "100001"}}).find("server_limit (100001)") == 0);
}

TEST_CASE("a reserve as large as the pool is refused") {
    CHECK(problem_of({{"POOL_RESERVED", "10"}}).find("reserved (10) must be from 0 to 9") == 0);
}

TEST_CASE("every problem is told at once, a line each") {
    const pool_config_sources sources{
        .environment = {{"POOL_MAX_SIZE", "0"}, {"POOL_TIMEOUT", "x"}, {"DATABASE_URL", "x"}}};
    CHECK(problems_of(sources).size() == 3);
    try {
        (void)load_pool_config(sources);
    } catch (const std::invalid_argument& refused) {
        const std::string text = refused.what();
        CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    }
}

TEST_CASE("what settings must not be together is told beside what is wrong with single ones") {
    const std::vector<std::string> told = problems_of(setting_map{{"POOL_TIMEOUT", "x"},
                                                                  {"POOL_MIN_SIZE", "21"},
                                                                  {"POOL_MAX_SIZE", "20"},
                                                                  {"POOL_RESERVED", "20"},
                                                                  {"POOL_SERVER_LIMIT", "20"}});
    REQUIRE(told.size() == 4);
    CHECK(told[0].find("timeout (x) must be") == 0);
    CHECK(told[1].find("max_size (20) must be >= min_size (21). ") == 0);
    CHECK(told[1].ends_with("[max_size from POOL_MAX_SIZE, min_size from POOL_MIN_SIZE]"));
    CHECK(told[2].find("reserved (20) must be from 0 to 19. ") == 0);
    CHECK(told[3].find("max_size (20) must be < server_limit (20). ") == 0);
    // Nothing is held against a setting that was refused: what it will be is not known.
    CHECK(problem_of({{"POOL_MAX_SIZE", "0"}, {"POOL_RESERVED", "50"}, {"POOL_SERVER_LIMIT", "5"}})
              .find("max_size (0) must be") == 0);
    CHECK(problem_of({{"POOL_SERVER_LIMIT", "1"}, {"POOL_MAX_SIZE", "50"}})
              .find("server_limit (1) must be") == 0);
    CHECK(problem_of({{"POOL_RESERVED", "x"}, {"POOL_MAX_SIZE", "5"}}).find("reserved (x)") == 0);
    CHECK(problems_of({.environment = {{"POOL_MIN_SIZE", "50"}, {"POOL_MAX_SIZE", "60"}},
                       .settings = {{"min_size", "x"}}})
              .size() == 1);
}

TEST_CASE("a config that a program filled is told its problems at once as well") {
    pool_config config;
    config.pool.min_size = 11;
    config.pool.reserved = 10;
    config.server_limit = 10;
    config.command_timeout = 0ms;
    config.pool.liveness.threshold = 0;
    try {
        (void)ropeway::checked(config);
        FAIL("it was accepted");
    } catch (const pool_config_error& refused) {
        REQUIRE(refused.problems().size() == 5);
        CHECK(refused.problems()[0].find("command_timeout (0) must be") == 0);
        CHECK(refused.problems()[1] ==
              "max_size (10) must be >= min_size (11). Suggestion: Increase POOL_MAX_SIZE or "
              "reduce POOL_MIN_SIZE");
        CHECK(refused.problems()[2].find("reserved (10) must be from 0 to 9. ") == 0);
        CHECK(refused.problems()[3].find("max_size (10) must be < server_limit (10)") == 0);
        CHECK(refused.problems()[4].find("liveness.threshold (0)") == 0);
    }
}

TEST_CASE("a variable that does not exist is refused with the nearest one that does") {
    struct row {
        std::string variable;
        std::string meant;
    };
    for (const row& one : std::vector<row>{{"POOL_MAXSIZE", "POOL_MAX_SIZE"},
                                           {"POOL_MAX_SIZES", "POOL_MAX_SIZE"},
                                           {"POOL_MIN", "POOL_MIN_SIZE"},
                                           {"POOL_TIME_OUT", "POOL_TIMEOUT"},
                                           {"POOL_MAX_LIFETIME", "POOL_MAX_CONNECTION_LIFETIME"},
                                           {"POOL_LEAK_TIMEOUT", "POOL_LEAK_DETECTION_TIMEOUT"},
                                           {"POOL_MAX_QUERY", "POOL_MAX_QUERIES"},
                                           {"POOL_DATABASE_URL", "DATABASE_URL"},
                                           {"POOL_min_size", "POOL_MIN_SIZE"},
                                           {"POOL_", "POOL_NAME"}}) {
        CAPTURE(one.variable);
        CHECK(problem_of({{one.variable, "1"}}) == "unknown variable " + one.variable +
                                                       ". Suggestion: Did you mean " + one.meant +
                                                       "? Rename it, or unset it");
    }
    CHECK(problems_of(setting_map{{"PATH", "/bin"}, {"POOLSIDE", "x"}, {"DATABASE", "x"}}).empty());
}

TEST_CASE("what the program sets wins over the environment, the last of two over the first") {
    const pool_config config =
        load_pool_config({.environment = {{"POOL_MAX_SIZE", "20"}, {"POOL_MIN_SIZE", "4"}},
                          .settings = {{"max_size", "30"}, {"max_size", "31"}}});
    CHECK(config.pool.max_size == 31);
    CHECK(config.pool.min_size == 4);
    CHECK(config.origins.at("max_size") == "the program");
    CHECK(config.origins.at("min_size") == "POOL_MIN_SIZE");
    const auto problems = problems_of(pool_config_sources{.settings = {{"max_sise", "1"}}});
    REQUIRE(problems.size() == 1);
    CHECK(problems[0] == "unknown setting \"max_sise\". Suggestion: Did you mean max_size?");
    const auto wrong = problems_of(pool_config_sources{.settings = {{"max_size", "0"}}});
    REQUIRE(wrong.size() == 1);
    CHECK(wrong[0].ends_with(" [from the program]"));
}

TEST_CASE("a lower source's wrong value is refused even where a higher one overrides it") {
    const auto problems = problems_of(pool_config_sources{
        .environment = {{"POOL_MAX_SIZE", "oops"}}, .settings = {{"max_size", "10"}}});
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].find("max_size (oops)") == 0);
}

TEST_CASE("DATABASE_URL says which database, and its password is in no message") {
    const pool_config config = loaded({{"DATABASE_URL", "postgres://app:s3cret@db:5432/orders"}});
    CHECK(config.database == ropeway::database_kind::postgres);
    CHECK(config.database_url == "postgres://app:s3cret@db:5432/orders");
    const std::string line = to_string(config);
    CAPTURE(line);
    CHECK(line.find("name=database, database_url=postgres://app:***@db:5432/orders "
                    "(DATABASE_URL), min_size=2, max_size=10,") == 0);
    CHECK(line.find("s3cret") == std::string::npos);
    CHECK(line.find('\n') == std::string::npos);

    const std::string refused = problem_of({{"DATABASE_URL", "postgres://app:s3cret@db:x/orders"}});
    CAPTURE(refused);
    CHECK(refused.find("database_url (***) must have a port") == std::string::npos);
    CHECK(refused.find("database_url (postgres://***) must have a port") == 0);
    CHECK(refused.ends_with("[from DATABASE_URL]"));
    CHECK(refused.find("s3cret") == std::string::npos);
    CHECK(problem_of({{"DATABASE_URL", ""}})
              .find("must not be empty. Suggestion: Unset DATABASE_URL") != std::string::npos);
}

TEST_CASE("an effective configuration is one line, with times in seconds and where each is from") {
    const std::string line = to_string(load_pool_config(
        {.environment = {{"POOL_TIMEOUT", "0.25"}}, .settings = {{"validation", "always"}}}));
    CAPTURE(line);
    CHECK(line.find(", timeout=0.25 (POOL_TIMEOUT), ") != std::string::npos);
    CHECK(line.find(", validation=always (the program), ") != std::string::npos);
    CHECK(line.find(", max_connection_lifetime=3600, ") != std::string::npos);
    CHECK(line.find(", enable_leak_detection=true, ") != std::string::npos);
}

TEST_CASE("a config that a program filled itself keeps the same bounds") {
    pool_config config;
    config.database_url = "postgres://db/orders";
    config.pool.max_size = 20;
    config.leak_detection = false;
    const pool_config good = ropeway::checked(config);
    CHECK(good.database == ropeway::database_kind::postgres);
    CHECK(good.pool.leak_timeout == 0s);

    config.pool.max_size = 101;
    config.pool.acquire_timeout = 300s;
    config.command_timeout = 999ms;
    config.database_url = "oracle://x";
    try {
        (void)ropeway::checked(config);
        FAIL("it was accepted");
    } catch (const pool_config_error& refused) {
        REQUIRE(refused.problems().size() == 4);
        CHECK(refused.problems()[0].find("max_size (101) must be from 1 to 100. ") == 0);
        CHECK(refused.problems()[1].find("timeout (300) must be > 0 and < 300 seconds. ") == 0);
        CHECK(refused.problems()[2].find("command_timeout (0.999) must be") == 0);
        CHECK(refused.problems()[3].find("database_url (***) must begin with") == 0);
    }
    config = {};
    config.pool.liveness.threshold = 0;
    CHECK_THROWS_AS(ropeway::checked(config), pool_config_error);
}

TEST_CASE("the process's environment is read where it concerns pools") {
    ::setenv("POOL_MAX_SIZE", "17", 1);
    ::setenv("DATABASE_URL", "sqlite:a=b.db", 1);
    ::setenv("ROPEWAY_OTHER", "1", 1);
    const setting_map environment = ropeway::process_environment();
    CHECK(environment.at("POOL_MAX_SIZE") == "17");
    CHECK(environment.at("DATABASE_URL") == "sqlite:a=b.db");
    CHECK_FALSE(environment.contains("ROPEWAY_OTHER"));
    CHECK_FALSE(environment.contains("PATH"));
    ::unsetenv("POOL_MAX_SIZE");
    ::unsetenv("DATABASE_URL");
    CHECK_FALSE(ropeway::process_environment().contains("POOL_MAX_SIZE"));
}
