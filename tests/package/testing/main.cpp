// SPDX-License-Identifier: Apache-2.0
//
// A user's own test of how it uses a pool, built outside of this tree: no server, no thread, no
// sleep; an hour passes at once.
#include <chrono>
#include <cstdio>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

int main() {
    using namespace std::chrono_literals;
    ropeway::testing::virtual_time time;
    ropeway::testing::fake_server server{time};
    ropeway::resource_pool<ropeway::testing::fake_resource> pool{
        server.maker(), {.min_size = 1, .max_size = 1, .time = &time}};
    if (pool.start().has_value()) {
        return 1;
    }
    server.go_down();
    bool served = false;
    auto waiter = time.call([&] {
        auto got = pool.acquire(2h);
        served = got && got->use();
    });
    time.advance(1h);
    server.come_up();
    waiter.finish();
    const bool clean = pool.shutdown(1s).clean() && server.misuses().empty();
    std::printf("%s\n", served && clean ? "served after the outage" : "not served");
    return served && clean ? 0 : 1;
}
