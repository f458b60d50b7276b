// SPDX-License-Identifier: Apache-2.0
//
// The example of virtual_time.hpp, to the letter: the script is_in_header.sh compares them.
#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include <ropeway_test.hpp>

using namespace std::chrono_literals;

// clang-format off
TEST_CASE("a connection is replaced after an hour") {
    ropeway::testing::virtual_time time;
    ropeway::testing::fake_server server{time};
    ropeway::resource_pool<ropeway::testing::fake_resource> pool{
        server.maker(), {.min_size = 1, .max_age = 1h, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    const std::uint64_t first = pool.acquire()->number();
    time.advance(61min);
    REQUIRE(pool.acquire()->number() != first);
    CHECK(server.counts().opened == 2);
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
}
// clang-format on
