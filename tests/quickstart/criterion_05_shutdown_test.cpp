// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-005: a graceful shutdown ends within 30 s (p99), whatever is under way: leases held for
// long or for ever, callers that wait, a silent server, an outage.
#include <random>

#include "quickstart.hpp"

namespace {

using namespace quickstart;

struct outcome {
    std::chrono::nanoseconds took{};
    std::size_t forced = 0;
};

outcome shutdown_amid(std::mt19937_64& random) {
    virtual_time time;
    fake_server server{time};
    fake_pool pool{server.maker(), {.name = "sc5", .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    std::vector<ropeway::testing::virtual_caller> callers;
    const auto count = random() % 20;
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto lasts = std::chrono::milliseconds{random() % 40'000};
        callers.push_back(time.call([&pool, lasts] {
            auto got = pool.acquire(60s);
            if (got) {
                static_cast<void>(got->use(lasts));
            }
        }));
    }
    time.advance(std::chrono::milliseconds{random() % 5000});
    const auto what = random() % 4;
    if (what == 1) {
        server.set_silent(true);
    } else if (what == 2) {
        server.go_down();
    }
    const auto begun = time.now();
    const auto report = pool.shutdown(29s);
    const outcome result{.took = time.now() - begun, .forced = report.forced.size()};
    CHECK(report.lasted == result.took);
    // What is in a holder's hands ends when he lets go of it, the rest by now.
    CHECK(server.counts().open_now == report.forced.size());
    for (auto& one : callers) {
        one.finish();
    }
    CHECK(server.counts().open_now == 0);
    CHECK(server.misuses() == std::vector<std::string>{});
    return result;
}

TEST_CASE("000-SC-005: a graceful shutdown ends within 30 s whatever is under way") {
    std::mt19937_64 random{6};
    tries all;
    std::size_t forced = 0;
    for (int i = 0; i < 200; ++i) {
        const outcome one = shutdown_amid(random);
        all.add(one.took);
        forced += one.forced;
    }
    all.print("shutdown (virtual)");
    CHECK(all.percentile(0.99) <= 30s);
    CHECK(all.percentile(1.0) <= 30s);
    CHECK(forced > 0);  // some were held beyond the deadline, or this proves little
}

}  // namespace
