// SPDX-License-Identifier: Apache-2.0
//
// Once warm, a cycle of acquire and return allocates nothing and makes no system call, and a
// snapshot allocates nothing.
#include <chrono>
#include <thread>

#include <ropeway/pool/resource_pool.hpp>

#include "allocation_count.hpp"
#include "ropeway_test.hpp"
#include "scripted_resource.hpp"
#include "system_call_count.hpp"

using namespace std::chrono_literals;
using ropeway_test::allocations;
using ropeway_test::made_by;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;

namespace {

ropeway::resource_pool_params params_of() {
    ropeway::resource_pool_params params;
    params.name = "steady";
    params.min_size = 4;
    params.max_size = 4;
    params.max_uses = 0;
    return params;
}

bool cycle(scripted_pool& pool, int times) {
    bool well = true;
    for (int i = 0; i != times; ++i) {
        auto got = pool.acquire(1s);
        well = well && got;
    }
    return well;
}

}  // namespace

TEST_CASE("nothing is allocated by acquire, return, try_acquire and snapshot") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of());
    REQUIRE_FALSE(pool.start().has_value());
    REQUIRE(cycle(pool, 1000));
    const std::uint64_t before = allocations();
    const bool well = cycle(pool, 100'000);
    for (int i = 0; i != 1000; ++i) {
        const auto now = pool.snapshot();
        static_cast<void>(now);
        const auto one = pool.try_acquire();
        static_cast<void>(one);
    }
    const std::uint64_t made = allocations() - before;
    CHECK(well);
    CHECK(made == 0);
}

TEST_CASE("no system call is made by a cycle while leases come and go") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of());
    REQUIRE_FALSE(pool.start().has_value());
    bool counted = false;
    bool well = false;
    std::uint64_t made = 0;
    std::thread([&] {
        well = cycle(pool, 1000);
        counted = ropeway_test::count_system_calls();
        const std::uint64_t before = ropeway_test::system_calls();
        well = cycle(pool, 100'000) && well;
        made = ropeway_test::system_calls() - before;
    }).join();
    CHECK(well);
#if defined(__x86_64__)
    CHECK(counted);
#else
    ropeway_test::say("system calls are counted on x86-64 only: nothing was shown here\n");
#endif
    if (counted) {
        INFO("the last one was " << ropeway_test::last_system_call());
        CHECK(made == 0);
    }
}
