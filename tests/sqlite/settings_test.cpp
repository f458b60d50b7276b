// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/settings.hpp>

#include <stdexcept>
#include <string>

#include <ropeway_test.hpp>

namespace {

using namespace std::chrono_literals;
using ropeway::sqlite::checked;
using ropeway::sqlite::params_from_url;
using ropeway::sqlite::sqlite_params;

std::string refusal(sqlite_params params) {
    try {
        static_cast<void>(checked(std::move(params)));
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
    return "accepted";
}

TEST_CASE("defaults and both ends of each range are accepted") {
    CHECK(refusal({}) == "accepted");
    CHECK(refusal({.busy_timeout = 0ms, .command_timeout = 1ms, .max_rows = 1}) == "accepted");
    CHECK(refusal({.busy_timeout = 300s, .command_timeout = 300s, .max_rows = 1'000'000'000}) ==
          "accepted");
}

TEST_CASE("a refusal names the field, its value, the range and what to do") {
    CHECK(refusal({.busy_timeout = 300'001ms}) ==
          "busy_timeout (300001 ms) must be between 0 ms and 300000 ms. Suggestion: Choose a "
          "value in that range");
    CHECK(refusal({.busy_timeout = -1ms}) != "accepted");
    CHECK(refusal({.command_timeout = 0ms}) != "accepted");
    CHECK(refusal({.command_timeout = 300'001ms}) != "accepted");
    CHECK(refusal({.max_rows = 0}).starts_with("max_rows (0) must be between 1 and 1000000000"));
    CHECK(refusal({.path = ""}).starts_with("path must not be empty"));
    CHECK(refusal({.path = std::string("a\0b", 3)}) != "accepted");
    CHECK(refusal({.read_only = true}).starts_with("read_only goes with a file"));
    CHECK(refusal({.prepared = {{"", "SELECT 1"}}}) != "accepted");
    CHECK(refusal({.prepared = {{"one", ""}}}) != "accepted");
    CHECK(refusal({.prepared = {{"one", std::string("SELECT 1\0", 9)}}}) != "accepted");
    CHECK(refusal({.prepared = {{"one", "SELECT 1"}, {"one", "SELECT 2"}}}) ==
          "two prepared statements are named 'one'. Suggestion: Rename one");
}

TEST_CASE("a URL names a file or memory") {
    CHECK(params_from_url("sqlite:orders.db").path == "orders.db");
    CHECK(params_from_url("sqlite:/var/lib/orders.db").path == "/var/lib/orders.db");
    CHECK(params_from_url("sqlite:///var/lib/orders.db").path == "/var/lib/orders.db");
    CHECK(params_from_url("sqlite::memory:").path == ":memory:");
    CHECK_THROWS_AS(params_from_url("sqlite:"), std::invalid_argument);
    CHECK_THROWS_AS(params_from_url("sqlite://host/orders.db"), std::invalid_argument);
    CHECK_THROWS_AS(params_from_url("postgres://host/orders"), std::invalid_argument);
}

}  // namespace
