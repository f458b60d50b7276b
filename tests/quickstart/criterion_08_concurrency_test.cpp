// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-008: 100 concurrent requests, none deadlocks, none times out; several rounds, with
// fewer connections each.
#include <atomic>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("000-SC-008: a hundred concurrent requests are all served, however few connections") {
    for (const std::uint32_t most : {10U, 3U, 1U}) {
        INFO("connections: " << most);
        const auto pool = make_pool({.name = "sc8", .min_size = 1, .max_size = most});
        REQUIRE(start_error(*pool) == "");
        std::atomic<int> done{0};
        const auto begun = std::chrono::steady_clock::now();
        on_threads(100, [&](std::size_t) {
            auto got = pool->acquire(30s);
            if (got && got->exec("SELECT 1")) {
                ++done;
            }
        });
        ropeway_test::say(
            "100 requests on %u connections: %.1f ms\n", most,
            static_cast<double>((std::chrono::steady_clock::now() - begun).count()) / 1e6);
        CHECK(done == 100);
        const auto found = pool->snapshot();
        CHECK(found.acquired == 100);
        CHECK(found.timeouts == 0);
        CHECK(found.waiting == 0);
        CHECK(found.peak_active <= most);
        CHECK(pool->shutdown(5s).clean());
    }
}

}  // namespace
