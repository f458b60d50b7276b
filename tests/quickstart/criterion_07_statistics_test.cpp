// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-007: statistics are never stale, need no lock and cost about a microsecond; while four
// threads lease and return, each snapshot is consistent.
#include <atomic>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("000-SC-007: snapshots under load are consistent and cheap") {
    const auto pool = make_pool({.name = "sc7"});
    REQUIRE(start_error(*pool) == "");
    std::atomic<bool> over{false};
    std::atomic<int> inconsistent{0};
    tries all;
    on_threads(5, [&](std::size_t which) {
        if (which != 0) {
            while (!over) {
                const auto held = pool->acquire(1s);
            }
            return;
        }
        std::uint64_t last = 0;
        for (int i = 0; i < 20'000; ++i) {
            ropeway::resource_snapshot now;
            all.time([&] { now = pool->snapshot(); });
            const bool right = now.total == now.idle + now.active && now.total <= now.max_size &&
                               now.acquired >= now.released && now.acquired >= last &&
                               now.peak_active >= now.active;
            inconsistent += right ? 0 : 1;
            last = now.acquired;
        }
        over = true;
    });
    all.print("a snapshot under load, the clock's two reads included");
    CHECK(inconsistent == 0);
    CHECK(all.percentile(0.5) < slower * 1ms);
    CHECK(all.percentile(0.5) < slower * 10us);  // about 1 us on a machine with nothing else to do
    const auto held = pool->acquire(1s);
    CHECK(pool->snapshot().active == 1);
    const auto again = pool->acquire(1s);
    CHECK(pool->snapshot().active == 2);
}

}  // namespace
