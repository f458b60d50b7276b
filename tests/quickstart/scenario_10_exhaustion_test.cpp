// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 10: all five connections are held; a sixth request waits at least 2.5 s,
// until one comes back, and then succeeds.
#include "quickstart.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 10: the sixth request waits until one of five connections comes back") {
    virtual_time time;
    fake_server server{time};
    fake_pool pool{server.maker(), {.name = "qs10", .max_size = 5, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());

    std::vector<ropeway::lease<fake_resource>> held;
    for (int i = 0; i < 5; ++i) {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        held.push_back(got.take());
    }
    CHECK(pool.snapshot().active == 5);

    const auto begun = time.now();
    std::chrono::nanoseconds waited{};
    bool succeeded = false;
    auto sixth = time.call([&] {
        auto got = pool.acquire(30s);
        waited = time.now() - begun;
        succeeded = got && got->use();
    });
    CHECK(pool.snapshot().waiting == 1);
    time.advance(2500ms);
    CHECK_FALSE(sixth.ended());
    held.pop_back();
    sixth.finish();
    CHECK(succeeded);
    CHECK(waited >= 2500ms);
    CHECK(waited < 2510ms);
    CHECK(server.counts().most_alive == 5);
    CHECK(pool.snapshot().waiting == 0);
    held.clear();
    CHECK(pool.shutdown(1s).clean());
}

TEST_CASE("quickstart 10: without a return it fails at its deadline and says who holds what") {
    virtual_time time;
    fake_server server{time};
    fake_pool pool{server.maker(), {.name = "qs10", .min_size = 1, .max_size = 1, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());
    auto held = pool.acquire(1s);
    REQUIRE(held);
    const auto begun = time.now();
    auto second = pool.acquire(2500ms);
    REQUIRE_FALSE(second);
    CHECK(time.now() - begun == 2500ms);
    CHECK(second.error().kind == ropeway::resource_error_kind::timeout);
    REQUIRE(second.error().holders.size() == 1);
    CHECK(second.error().holders[0].site.find("scenario_10") != std::string::npos);
    CHECK(second.error().holders[0].held == 2500ms);
    CHECK_FALSE(second.error().text().empty());
}

}  // namespace
