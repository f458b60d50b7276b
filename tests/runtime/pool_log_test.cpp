// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/pool_log.hpp>

#include <algorithm>
#include <array>
#include <string>

#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>
#include <ropeway_test.hpp>

#include "log_test_support.hpp"

using namespace ropeway_test;
using ropeway::close_reason;
using ropeway::log_level;
using ropeway::resource_error;
using ropeway::resource_error_kind;
using ropeway::resource_event;
using ropeway::resource_event_kind;

namespace {

/// What the log holds after a pool told `events`.
std::vector<nlohmann::json> records_of(const std::vector<resource_event>& events,
                                       ropeway::resource_pool_params params = {}) {
    lines out;
    {
        ropeway::logging_params settings = caught_in(out, {});
        settings.level = log_level::trace;
        ropeway::logger log{settings};
        ropeway::pool_log told{log, params};
        for (const resource_event& event : events) {
            told(event);
        }
    }
    std::vector<nlohmann::json> parsed_lines;
    std::transform(out.begin(), out.end(), std::back_inserter(parsed_lines), parsed);
    return parsed_lines;
}

nlohmann::json record_of(resource_event event) {
    event.pool = "orders";
    const auto all = records_of({event}, {.min_size = 2, .max_size = 10});
    REQUIRE(all.size() == 1);
    CHECK(all.front()["pool"] == "orders");
    return all.front();
}

std::string message_of(const resource_event& event) { return record_of(event)["message"]; }

const resource_error refused{resource_error_kind::unavailable,
                             {"08001"},
                             "connection to postgres://app:s3cret@db/x refused"};

}  // namespace

TEST_CASE("the log says what a pool did in the words that operators search for") {
    using kind = resource_event_kind;
    CHECK(message_of({.kind = kind::started, .count = 2}) ==
          "Connection pool initialized: min_size=2, max_size=10");
    CHECK(message_of({.kind = kind::lost, .error = &refused}) ==
          "Database connectivity lost, entering reconnection mode");
    CHECK(message_of({.kind = kind::retry, .count = 1, .lasted = 1s}) ==
          "Reconnection attempt 1 after 1s delay");
    CHECK(message_of({.kind = kind::retry, .count = 12, .lasted = 15'230ms}) ==
          "Reconnection attempt 12 after 15.23s delay");
    CHECK(message_of({.kind = kind::retry, .count = 2, .lasted = 50ms}) ==
          "Reconnection attempt 2 after 0.05s delay");
    CHECK(message_of({.kind = kind::recovered, .count = 1, .limit = 2}) ==
          "Connection pool recovered: 1/2 connections available");
    CHECK(message_of({.kind = kind::shrunk, .count = 2, .limit = 7}) ==
          "Pool shrunk from 7 to 2 connections due to idle timeout");
    CHECK(message_of({.kind = kind::leaks_recent, .count = 3}) ==
          "Connection pool health degraded: 3 potential leaks detected in last 60s");
}

TEST_CASE("a leak's record names the connection, how long, where, by whom and the stack") {
    ropeway::name_this_thread("strategies");
    const std::array<const void*, 2> stack{__builtin_return_address(0), nullptr};
    const nlohmann::json record = record_of({.kind = resource_event_kind::leak,
                                             .resource = 7,
                                             .lasted = 30'200ms,
                                             .site = ropeway::intern_site("orders.cpp", 42),
                                             .thread = ropeway::thread_number(),
                                             .stack = stack.data(),
                                             .stack_size = 1});
    const std::string message = record["message"];
    CHECK(message.find("Potential connection leak detected: connection 7 held for 30.2s, "
                       "acquired at orders.cpp:42 by strategies (thread ") == 0);
    CHECK(record["level"] == "warning");
    CHECK(record["connection_id"] == 7);
    CHECK(record["held_duration_seconds"] == Approx(30.2));
    CHECK(record["site"] == "orders.cpp:42");
    const std::string frames = record["stack_trace"];
    CHECK(frames.rfind("#0 ", 0) == 0);
    CHECK(frames.find("0x") != std::string::npos);

    const nlohmann::json back =
        record_of({.kind = resource_event_kind::leak_returned, .resource = 7, .lasted = 41'300ms});
    CHECK(back["message"] == "Connection 7 returned after all, held for 41.3s");
    CHECK(back["level"] == "info");
}

TEST_CASE("a recycled connection's record says why") {
    const auto closed = [](close_reason why) {
        return record_of(
            {.kind = resource_event_kind::closed, .resource = 3, .lasted = 3600s, .reason = why});
    };
    CHECK(closed(close_reason::uses)["message"] ==
          "Connection 3 recycled: query limit after 3600s");
    CHECK(closed(close_reason::age)["message"] == "Connection 3 recycled: lifetime after 3600s");
    CHECK(closed(close_reason::idle)["message"] ==
          "Connection 3 recycled: idle timeout after 3600s");
    CHECK(closed(close_reason::idle)["level"] == "info");
    CHECK(closed(close_reason::broken)["level"] == "warning");
    CHECK(closed(close_reason::violation)["level"] == "error");
}

TEST_CASE("the phases of a shutdown are logged with connections and times") {
    using kind = resource_event_kind;
    CHECK(message_of({.kind = kind::shutdown_begun, .count = 3}) ==
          "Connection pool shutting down: waiting for 3 connections in use");
    const nlohmann::json forced = record_of({.kind = kind::shutdown_forced,
                                             .resource = 9,
                                             .lasted = 5s,
                                             .site = ropeway::intern_site("risk.cpp", 7),
                                             .thread = ropeway::thread_number()});
    CHECK(std::string{forced["message"]}.find(
              "Connection 9 force-closed at shutdown: held for 5s, acquired at risk.cpp:7 by ") ==
          0);
    CHECK(forced["held_duration_seconds"] == Approx(5.0));
    CHECK(forced["level"] == "warning");
    CHECK(message_of({.kind = kind::shutdown_done, .count = 1, .lasted = 1500ms}) ==
          "Connection pool terminated after 1.5s, 1 connections forced");
    CHECK(record_of({.kind = kind::shutdown_done, .lasted = 1ms})["level"] == "info");
}

TEST_CASE("every kind of event has a record with a message") {
    std::vector<resource_event> all;
    for (std::size_t i = 0; i != ropeway::resource_event_kinds; ++i) {
        all.push_back({.kind = static_cast<resource_event_kind>(i), .pool = "orders"});
    }
    const auto records = records_of(all);
    REQUIRE(records.size() == ropeway::resource_event_kinds);
    for (std::size_t i = 0; i != records.size(); ++i) {
        CAPTURE(i);
        CHECK_FALSE(std::string{records[i]["message"]}.empty());
        CHECK(records[i]["event"] == to_string(static_cast<resource_event_kind>(i)));
    }
}

TEST_CASE("leases are logged at debug, so that they are seen only when asked for") {
    CHECK(record_of({.kind = resource_event_kind::acquired, .resource = 1})["level"] == "debug");
    CHECK(record_of({.kind = resource_event_kind::released, .resource = 1})["level"] == "debug");
    CHECK(record_of({.kind = resource_event_kind::opened, .resource = 1})["level"] == "debug");
}

TEST_CASE("an error's record carries kind, code and text, and never a password") {
    for (const auto kind : {resource_event_kind::open_failed, resource_event_kind::check_failed,
                            resource_event_kind::start_failed, resource_event_kind::lost}) {
        const nlohmann::json record = record_of({.kind = kind, .error = &refused});
        CHECK(record["error"] == "unavailable");
        CHECK(record["code"] == "08001");
        CHECK(record["cause"] == "connection to postgres://app:***@db/x refused");
        CHECK(record.dump().find("s3cret") == std::string::npos);
    }
}

TEST_CASE("passwords are masked wherever a text may hold one") {
    const std::pair<const char*, const char*> cases[] = {
        {"nothing to hide", "nothing to hide"},
        {"postgres://u:p@h:5432/d", "postgres://u:***@h:5432/d"},
        {"postgres://u:p@ss/w:rd@h/d and more", "postgres://u:***@h/d and more"},
        {"postgresql://u@h:5432/d", "postgresql://u@h:5432/d"},
        {"postgres://h:5432/d", "postgres://h:5432/d"},
        {"a postgres://u:one@h/d b mysql://v:two@g/e c",
         "a postgres://u:***@h/d b mysql://v:***@g/e c"},
        {"postgres://h/d?password=abc&x=1", "postgres://h/d?password=***&x=1"},
        {"host=h password=abc dbname=d", "host=h password=*** dbname=d"},
        {"host=h password = 'a b\\'c' dbname=d", "host=h password = *** dbname=d"},
        {"PGPASSWORD=abc; x", "PGPASSWORD=***; x"},
        {"sslpassword=abc", "sslpassword=***"},
        {"password authentication failed for user \"app\"",
         "password authentication failed for user \"app\""},
        {"password=", "password=***"},
        {"password='never closed", "password=***"},
        {"://", "://"},
        {"x://:@", "x://:***@"},
    };
    for (const auto& [text, masked] : cases) {
        CHECK(ropeway::without_passwords(text) == masked);
    }
}

TEST_CASE("the user's own observer is told as well, and what it throws stops nothing") {
    std::vector<resource_event_kind> told;
    ropeway::resource_pool_params params;
    params.observer = [&](const resource_event& event) {
        told.push_back(event.kind);
        throw std::runtime_error{"not our affair"};
    };
    const auto records = records_of({{.kind = resource_event_kind::lost, .pool = "orders"},
                                     {.kind = resource_event_kind::resumed, .pool = "orders"}},
                                    params);
    CHECK(records.size() == 2);
    CHECK(told == std::vector{resource_event_kind::lost, resource_event_kind::resumed});
}

TEST_CASE("a flood of one kind of event is limited, while each leak is written") {
    std::vector<resource_event> flood(
        100, {.kind = resource_event_kind::open_failed, .pool = "orders", .count = 1});
    for (std::size_t i = 0; i != flood.size(); ++i) {
        flood[i].count = i;  // the text differs; the limit is of the kind
    }
    const auto records = records_of(flood);
    const auto failed = std::count_if(records.begin(), records.end(), [](const auto& record) {
        return record.value("event", "") == "open failed";
    });
    CHECK(failed == 20);
    const auto leaks = records_of(
        std::vector<resource_event>(100, {.kind = resource_event_kind::leak, .pool = "orders"}));
    CHECK(leaks.size() == 100);
}

TEST_CASE("a resize is reflected in what the pool says of its start later") {
    const auto records = records_of(
        {{.kind = resource_event_kind::resized, .pool = "orders", .count = 5, .limit = 10},
         {.kind = resource_event_kind::started, .pool = "orders"}},
        {.min_size = 1, .max_size = 10});
    REQUIRE(records.size() == 2);
    CHECK(records[0]["message"] == "Connection pool resized: max_size from 10 to 5");
    CHECK(records[1]["message"] == "Connection pool initialized: min_size=1, max_size=5");
}
