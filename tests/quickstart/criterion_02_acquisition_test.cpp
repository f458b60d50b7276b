// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-002: acquire with validation takes less than 10 ms (p95), by a probe each time and by a
// look.
#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

tries acquire_many(ropeway::validation how) {
    const auto pool = make_pool({.name = "sc2", .validate = how});
    REQUIRE(start_error(*pool) == "");
    tries one;
    for (int i = 0; i < 500; ++i) {
        one.time([&] { REQUIRE(pool->acquire(1s)); });
    }
    CHECK(pool->snapshot().acquired == 500);
    return one;
}

TEST_CASE("000-SC-002: acquire with validation takes less than 10 ms, p95") {
    CHECK(best_of(3, 0.95, "acquire, a probe each time",
                  [] { return acquire_many(ropeway::validation::always); }) < 10ms);
    CHECK(best_of(3, 0.95, "acquire, a look each time",
                  [] { return acquire_many(ropeway::validation::passive_only); }) < 10ms);
}

}  // namespace
