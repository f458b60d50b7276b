// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 2: twenty acquires, each with a query; p95 below 10 ms, all counted.
#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 2: twenty connections are acquired, used and counted, p95 below 10 ms") {
    const auto pool = make_pool({.name = "qs2", .validate = ropeway::validation::always});
    REQUIRE(start_error(*pool) == "");
    const auto best = best_of(5, 0.95, "acquire with validation", [&] {
        tries one;
        for (int i = 0; i < 20; ++i) {
            const auto begun = std::chrono::steady_clock::now();
            auto got = pool->acquire(1s);
            one.add(std::chrono::steady_clock::now() - begun);
            REQUIRE(got);
            const auto answer = got->exec("SELECT 1");
            REQUIRE(answer);
            CHECK(answer.get<int>(0, 0) == 1);
        }
        return one;
    });
    CHECK(best < slower * 10ms);
    {
        // One that is taken at once counts as no wait; the third of these waits for its connect.
        const auto first = pool->acquire(1s);
        const auto second = pool->acquire(1s);
        CHECK(pool->acquire(2s));
    }
    const auto found = pool->snapshot();
    CHECK(found.acquired >= 20);
    CHECK(found.released >= 20);
    CHECK(found.acquired == found.released);
    const auto waits = pool->times().wait;
    CHECK(waits.count() >= 20);
    CHECK(waits.max() > 0);
    CHECK(waits.mean() > 0);
    CHECK(pool->shutdown(5s).clean());
}

}  // namespace
