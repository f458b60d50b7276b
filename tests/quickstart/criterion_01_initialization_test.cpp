// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-001: a pool with its minimum of validated connections is there within 2 s (p95).
#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("000-SC-001: a pool starts within 2 s, p95 of twenty") {
    static_cast<void>(ropeway_test::shared_server());
    const auto best = best_of(2, 0.95, "start, minimum 2, SCRAM over TCP", [] {
        tries one;
        for (int i = 0; i < 20; ++i) {
            const auto pool = make_pool({.name = "sc1"});
            std::string failed;
            one.time([&] { failed = start_error(*pool); });
            REQUIRE(failed == "");
            CHECK(pool->snapshot().idle == 2);
        }
        return one;
    });
    CHECK(best < 2s);
}

}  // namespace
