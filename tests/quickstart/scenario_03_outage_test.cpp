// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 3: the server stops; that is seen within 2 s; it starts again; the pool is
// healthy again within 30 s, and a query works.
#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 3: an outage is seen within 2 s and ends by itself within 30 s") {
    auto& server = ropeway_test::shared_server();
    const auto pool = make_pool({.name = "qs3"});
    REQUIRE(start_error(*pool) == "");

    const auto stopped = std::chrono::steady_clock::now();
    server.stop(ropeway_test::stop_mode::fast);
    const bool seen = eventually(
        [&] { return pool->snapshot().liveness != ropeway::liveness_state::healthy; }, 10s);
    const auto seen_after = std::chrono::steady_clock::now() - stopped;
    CHECK(seen);
    CHECK(seen_after < 2s);
    const auto refused = pool->acquire(300ms);
    REQUIRE_FALSE(refused);
    CHECK_FALSE(refused.error().text().empty());

    server.start();
    const auto back = std::chrono::steady_clock::now();
    const bool healthy = eventually(
        [&] {
            const auto now = pool->snapshot();
            return now.total >= 2 && now.liveness == ropeway::liveness_state::healthy &&
                   now.state == ropeway::pool_state::healthy;
        },
        30s);
    const auto took = std::chrono::steady_clock::now() - back;
    CHECK(healthy);
    CHECK(took <= 30s);
    ropeway_test::say(
        "outage seen after %.1f ms (its stop included), healthy again after %.1f ms\n",
        static_cast<double>(seen_after.count()) / 1e6, static_cast<double>(took.count()) / 1e6);
    auto got = pool->acquire(1s);
    REQUIRE(got);
    CHECK(got->exec("SELECT 1"));
    got.held().reset();
    CHECK(pool->shutdown(5s).clean());
}

}  // namespace
