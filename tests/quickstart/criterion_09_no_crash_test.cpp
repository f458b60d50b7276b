// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-009: no crash in outages and recoveries: callers go on while the server stops and starts
// in each way, they get typed errors only, and work again afterwards.
#include <array>
#include <atomic>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

struct callers_saw {
    std::atomic<std::uint64_t> served{0};
    std::atomic<std::uint64_t> refused{0};
    std::atomic<std::uint64_t> untyped{0};
};

void call_until(const std::atomic<bool>& over, postgres_pool& pool, callers_saw& saw) {
    while (!over) {
        auto got = pool.acquire(100ms);
        if (!got) {
            ++saw.refused;
            saw.untyped += got.error().kind == ropeway::resource_error_kind::none ? 1 : 0;
            continue;
        }
        const auto answer = got->exec("SELECT 1");
        ++(answer ? saw.served : saw.refused);
        saw.untyped += !answer && answer.error().kind == ropeway::resource_error_kind::none ? 1 : 0;
    }
}

TEST_CASE("000-SC-009: outages and recoveries of every kind crash nothing") {
    auto& server = ropeway_test::shared_server();
    const auto pool = make_pool({.name = "sc9"});
    REQUIRE(start_error(*pool) == "");
    std::atomic<bool> over{false};
    callers_saw saw;
    std::thread first{[&] { call_until(over, *pool, saw); }};
    std::thread second{[&] { call_until(over, *pool, saw); }};
    bool all_recovered = true;
    for (const auto mode : {ropeway_test::stop_mode::fast, ropeway_test::stop_mode::immediate}) {
        server.stop(mode);
        all_recovered =
            eventually([&] { return pool->snapshot().total == 0; }, 5s) && all_recovered;
        server.start();
        const std::uint64_t before = saw.served;
        all_recovered = eventually([&] { return saw.served > before + 100; }, 20s) && all_recovered;
    }
    over = true;
    first.join();
    second.join();
    ropeway_test::say("two outages: %llu queries served, %llu refused\n",
                      static_cast<unsigned long long>(saw.served),
                      static_cast<unsigned long long>(saw.refused));
    CHECK(all_recovered);
    CHECK(saw.refused > 0);
    CHECK(saw.untyped == 0);
    // A broken one that was returned is closed a moment later.
    CHECK(eventually([&] { return pool->snapshot().active == 0; }, 20s));
    CHECK(pool->shutdown(5s).clean());
}

}  // namespace
