// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 5: a query of 5 s is in flight when the pool is shut down; it completes, and
// the shutdown takes 5 to 6 s, far below its 30 s.
#include "quickstart.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 5: a query in flight completes before a graceful shutdown ends") {
    virtual_time time;
    fake_server server{time};
    fake_pool pool{server.maker(), {.name = "qs5", .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());

    bool completed = false;
    auto query = time.call([&] {
        auto got = pool.acquire(1s);
        completed = got && got->use(5s);
    });
    const auto begun = time.now();
    const auto report = pool.shutdown(30s);
    const auto took = time.now() - begun;
    CHECK(query.ended());
    CHECK(completed);
    CHECK(report.clean());
    CHECK(took >= 5s);
    CHECK(took <= 6s);
    CHECK(report.lasted == took);
    CHECK(server.counts().open_now == 0);
    CHECK(server.counts().farewells == server.counts().opened);
    CHECK(server.misuses().empty());
}

TEST_CASE("quickstart 5: new requests are refused and waiting ones end when a shutdown begins") {
    virtual_time time;
    fake_server server{time};
    fake_pool pool{server.maker(), {.name = "qs5", .min_size = 1, .max_size = 1, .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());

    auto holder = time.call([&] {
        auto got = pool.acquire(1s);
        static_cast<void>(got->use(3s));
    });
    ropeway::resource_error_kind waited = ropeway::resource_error_kind::none;
    std::chrono::nanoseconds ended_after{};
    const auto begun = time.now();
    auto waiter = time.call([&] {
        auto got = pool.acquire(20s);
        waited = got ? waited : got.error().kind;
        ended_after = time.now() - begun;
    });
    ropeway::resource_error_kind late = ropeway::resource_error_kind::none;
    auto newcomer = time.call([&] {
        time.advance(1s);
        auto got = pool.acquire(20s);
        late = got ? late : got.error().kind;
    });
    CHECK(pool.shutdown(30s).clean());
    CHECK(waiter.ended());
    CHECK(newcomer.ended());
    CHECK(waited == ropeway::resource_error_kind::closed);
    CHECK(ended_after == 0s);
    CHECK(late == ropeway::resource_error_kind::closed);
    CHECK(time.now() - begun >= 3s);
    CHECK(time.now() - begun <= 4s);
}

}  // namespace
