// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 9: five connections are held; statistics say so at once, below 1 ms.
#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 9: statistics are right at once and cost less than 1 ms") {
    const auto pool = make_pool({.name = "qs9"});
    REQUIRE(start_error(*pool) == "");
    const auto before = pool->snapshot();
    CHECK(before.active == 0);
    CHECK(before.acquired == 0);
    std::vector<ropeway::lease<ropeway::postgres::connection>> held;
    for (int i = 0; i < 5; ++i) {
        auto got = pool->acquire(2s);
        REQUIRE(got);
        held.push_back(got.take());
    }
    const auto best = best_of(5, 1.0, "a snapshot", [&] {
        tries one;
        for (int i = 0; i < 100; ++i) {
            ropeway::resource_snapshot now;
            one.time([&] { now = pool->snapshot(); });
            CHECK(now.active == 5);
            CHECK(now.total == now.idle + now.active);
        }
        return one;
    });
    CHECK(best < slower * 1ms);
    held.clear();
    const auto after = pool->snapshot();
    CHECK(after.active == 0);
    CHECK(after.peak_active >= 5);
    CHECK(after.acquired == 5);
    CHECK(after.released == 5);
    CHECK(pool->times().hold.count() == 5);
    CHECK(pool->shutdown(5s).clean());
}

}  // namespace
