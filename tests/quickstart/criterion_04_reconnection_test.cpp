// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-004: after an outage the pool is connected again within 30 s (p95) of the server's return,
// by itself; with a caller waiting, within 0.25 s. 200 outages of any length on the virtual clock.
#include <random>

#include "quickstart.hpp"

namespace {

using namespace quickstart;

/// From the server's return to a pool with its minimum.
std::chrono::nanoseconds recovery(std::mt19937_64& random, bool somebody_waits,
                                  const ropeway::reconnect_params& schedule) {
    virtual_time time;
    fake_server server{time};
    fake_pool pool{server.maker(),
                   {.name = "sc4", .reconnect = schedule, .time = &time, .seed = random() | 1}};
    REQUIRE_FALSE(pool.start().has_value());
    time.advance(std::chrono::milliseconds{random() % 10'000});
    server.go_down();
    ropeway::testing::virtual_caller waiter;
    bool served = false;
    if (somebody_waits) {
        waiter = time.call([&] { served = static_cast<bool>(pool.acquire(300s)); });
    }
    time.advance(std::chrono::milliseconds{5000 + random() % 200'000});
    CHECK(pool.snapshot().total == 0);
    const auto back = time.now();
    server.come_up();
    while (somebody_waits ? !waiter.ended() : pool.snapshot().total < 2) {
        REQUIRE(time.now() - back < 60s);
        time.advance(5ms);
    }
    CHECK((!somebody_waits || served));
    const auto took = time.now() - back;
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
    return took;
}

TEST_CASE("000-SC-004: the pool reconnects within 30 s of the server's return") {
    std::mt19937_64 random{4};
    for (const auto& schedule :
         {ropeway::reconnect_presets::pool(), ropeway::reconnect_presets::seed_000()}) {
        tries all;
        for (int i = 0; i < 100; ++i) {
            all.add(recovery(random, false, schedule));
        }
        all.print("reconnection, nobody waits (virtual)");
        CHECK(all.percentile(0.95) <= 30s);
        CHECK(all.percentile(1.0) <= 17'700ms);  // 16 s + 10 % and the open
    }
}

TEST_CASE("000-SC-004: the pool reconnects within 250 ms while somebody waits") {
    std::mt19937_64 random{5};
    tries all;
    for (int i = 0; i < 100; ++i) {
        all.add(recovery(random, true, ropeway::reconnect_presets::pool()));
    }
    all.print("reconnection, a caller waits (virtual)");
    CHECK(all.percentile(1.0) <= 250ms);
}

}  // namespace
