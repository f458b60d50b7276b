// SPDX-License-Identifier: Apache-2.0
//
// What a person reads when a pool fails, word for word.
#include <ropeway/pool/resource_stats.hpp>

#include <chrono>
#include <string>
#include <string_view>

#include <ropeway_test.hpp>

using ropeway::lease_holder;
using ropeway::pool_error;
using ropeway::resource_error;
using ropeway::resource_error_kind;
using ropeway::resource_shutdown_report;
using namespace std::chrono_literals;

namespace {

resource_error failure(resource_error_kind kind, std::string_view code, std::string text) {
    resource_error error{.kind = kind, .text = std::move(text)};
    code.copy(error.code.data(), error.code.size() - 1);
    return error;
}

pool_error exhausted() {
    pool_error error;
    error.kind = resource_error_kind::timeout;
    error.pool = "orders";
    error.waited = 30s;
    error.snapshot.active = 2;
    error.snapshot.total = 2;
    error.snapshot.max_size = 2;
    error.snapshot.waiting = 3;
    error.snapshot.state = ropeway::pool_state::degraded;
    error.snapshot.liveness = ropeway::liveness_state::healthy;
    return error;
}

}  // namespace

TEST_CASE("an exhausted pool says its numbers, who holds what since when, and what to do") {
    pool_error error = exhausted();
    error.holders.push_back({.resource = 7,
                             .site = "book.cpp:42",
                             .thread = "risk (thread 3)",
                             .held = 41'200ms,
                             .overdue = true});
    error.holders.push_back({.resource = 9, .site = "book.cpp:50", .held = 850us});
    error.snapshot.overdue = 1;
    CHECK(error.text() ==
          "Pool \"orders\": timeout after 30.0 s: no connection before the deadline. 2 of at most "
          "2 connections leased, 0 idle, 0 opening, 3 callers waiting; the pool is degraded, "
          "liveness healthy. Leased, longest first: connection 7 for 41.2 s (overdue) by "
          "book.cpp:42 on risk (thread 3); connection 9 for 850 us by book.cpp:50. Suggestion: "
          "Find the holders that are overdue: they look like leaks.");
}

TEST_CASE("what helps against a timeout depends on the numbers") {
    pool_error error = exhausted();
    CHECK(error.text().find("increase POOL_MAX_SIZE") != std::string::npos);
    error.snapshot.active = 1;
    CHECK(error.text().find("Check that the server answers") != std::string::npos);
}

TEST_CASE("the cause is told with its SQLSTATE, its age and its text") {
    pool_error error;
    error.kind = resource_error_kind::unavailable;
    error.snapshot.since_error = 120ms;
    error.snapshot.quarantined = 2;
    error.cause =
        failure(resource_error_kind::recovering, "57P03", "the database system is starting up");
    const std::string text = error.text();
    CAPTURE(text);
    CHECK(text.find("The pool: unavailable: no connection can be opened.") == 0);
    CHECK(text.find(" 2 in quarantine,") != std::string::npos);
    CHECK(text.find(" Latest failure (120 ms ago): recovering [57P03]: the database system is "
                    "starting up.") != std::string::npos);
    CHECK(text.find("host and port in DATABASE_URL") != std::string::npos);
}

TEST_CASE("a cause without a code or an age shows neither, and keeps its own full stop") {
    pool_error error;
    error.kind = resource_error_kind::authentication;
    error.cause = failure(resource_error_kind::authentication, "", "Refused.");
    const std::string text = error.text();
    CAPTURE(text);
    CHECK(text.find(" Latest failure: authentication: Refused. Suggestion: Correct user") !=
          std::string::npos);
    CHECK(text.find('[') == std::string::npos);
    CHECK(text.find("ago") == std::string::npos);
}

TEST_CASE("every kind of failure says what to do, where there is something") {
    for (std::size_t kind = 1; kind != ropeway::resource_error_kinds; ++kind) {
        pool_error error;
        error.kind = static_cast<resource_error_kind>(kind);
        const std::string text = error.text();
        CAPTURE(text);
        const bool advised = text.find(" Suggestion: ") != std::string::npos;
        CHECK(advised == (error.kind != resource_error_kind::canceled));
        CHECK(text.find("unknown failure") == std::string::npos);
    }
}

TEST_CASE("times are told in the unit a person expects") {
    const auto held_for = [](std::chrono::nanoseconds held) {
        pool_error error;
        error.holders.push_back({.resource = 1, .held = held});
        const std::string text = error.text();
        const auto begin = text.find("connection 1 for ") + 17;
        return text.substr(begin,
                           text.find('.', text.find_first_not_of("0123456789.", begin)) - begin);
    };
    CHECK(held_for(0ns) == "0 us");
    CHECK(held_for(999us) == "999 us");
    CHECK(held_for(1ms) == "1.0 ms");
    CHECK(held_for(150ms) == "150 ms");
    CHECK(held_for(12'340ms) == "12.3 s");
    CHECK(held_for(599s) == "599 s");
    CHECK(held_for(3725s) == "62 min 5 s");
}

TEST_CASE("a clean shutdown is one sentence") {
    resource_shutdown_report report;
    report.pool = "orders";
    report.closed = 10;
    report.lasted = 12'500us;
    CHECK(report.text() ==
          "Pool \"orders\" shut down in 12.5 ms: 10 connections closed, 0 forced.");
}

TEST_CASE("a forced shutdown lists who still held what") {
    resource_shutdown_report report;
    report.closed = 1;
    report.lasted = 30s;
    report.forced.push_back(
        {.resource = 4, .site = "sweep.cpp:9", .thread = "thread 2", .held = 95s});
    CHECK(report.text() ==
          "The pool shut down in 30.0 s: 1 connections closed, 1 forced. Still held at the "
          "deadline: connection 4 for 95.0 s by sweep.cpp:9 on thread 2. Suggestion: give leases "
          "back before shutdown(), or give it a longer deadline.");
}
