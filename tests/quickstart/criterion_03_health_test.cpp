// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-003: a health check without a query takes less than 10 ms (p99), also while the pool
// reconnects.
#include <ropeway/pool/assess.hpp>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

tries assess_many(const postgres_pool& pool, ropeway::health_status& status) {
    tries one;
    for (int i = 0; i < 1000; ++i) {
        one.time([&] { status = ropeway::assess(pool.snapshot()).status; });
    }
    return one;
}

TEST_CASE("000-SC-003: a health check takes less than 10 ms, p99, in health and in an outage") {
    auto& server = ropeway_test::shared_server();
    const auto pool = make_pool({.name = "sc3"});
    REQUIRE(start_error(*pool) == "");
    ropeway::health_status status{};
    CHECK(best_of(3, 0.99, "health", [&] { return assess_many(*pool, status); }) < slower * 10ms);
    CHECK(status == ropeway::health_status::healthy);
    server.stop(ropeway_test::stop_mode::immediate);
    REQUIRE(eventually([&] { return pool->snapshot().total == 0; }, 5s));
    CHECK(best_of(3, 0.99, "health in an outage", [&] { return assess_many(*pool, status); }) <
          10ms);
    CHECK(status != ropeway::health_status::healthy);
    server.start();
    CHECK(pool->shutdown(5s).clean());
}

}  // namespace
