// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 6: 100 calls of the health check, p99 below 10 ms, without a query.
#include <ropeway/runtime/resource_pools.hpp>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 6: the health of a pool is told a hundred times, p99 below 10 ms") {
    auto& server = ropeway_test::shared_server();
    ropeway::logger log{{}};
    ropeway::resource_pools pools{log};
    ropeway::postgres::postgres_params settings;
    settings.url = server.url_tcp();
    auto& pool = pools.add<ropeway::postgres::connection>(
        "qs6", ropeway::postgres::make_connections(settings));
    pools.start();
    const auto best = best_of(10, 0.99, "health as JSON", [&] {
        tries one;
        for (int i = 0; i < 100; ++i) {
            std::string text;
            one.time([&] { text = pools.health_json(); });
            CHECK(text.find("\"total_connections\":2") != std::string::npos);
        }
        return one;
    });
    CHECK(best < slower * 10ms);
    CHECK(pools.health().status == ropeway::health_status::healthy);
    CHECK(pool.snapshot().acquired == 0);
    const auto reports = pools.stop(5s);
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].clean());
}

}  // namespace
