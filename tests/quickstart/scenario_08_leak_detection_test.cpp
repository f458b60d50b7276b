// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 8: with a leak timeout of 10 s a connection is held for 12 s; there is one
// warning, with the stack of its acquire. When it comes back after all, both connections are idle.
#include "quickstart.hpp"

namespace {

using namespace quickstart;
using kind = ropeway::resource_event_kind;

TEST_CASE("quickstart 8: a connection held too long is warned of once, with its stack") {
    virtual_time time;
    fake_server server{time};
    std::vector<told> events;
    fake_pool pool{server.maker(),
                   {.name = "qs8",
                    .min_size = 2,
                    .maintenance_interval = 1s,
                    .leak_timeout = 10s,
                    .observer = tell_into(events),
                    .time = &time}};
    REQUIRE_FALSE(pool.start().has_value());

    auto held = pool.acquire(1s);
    REQUIRE(held);
    time.advance(9900ms);
    CHECK(count_of(events, kind::leak) == 0);
    time.advance(2100ms);
    CHECK(count_of(events, kind::leak) == 1);
    CHECK(pool.snapshot().overdue == 1);
    CHECK(pool.snapshot().recent_leaks == 1);
    // However long it is held, once.
    time.advance(40s);
    CHECK(count_of(events, kind::leak) == 1);
    for (const told& one : events) {
        if (one.kind == kind::leak) {
            CHECK(one.stack > 0);
            CHECK(one.site.find("scenario_08") != std::string::npos);
            CHECK(one.lasted >= 10s);
            CHECK(one.lasted <= 12s);
        }
    }
    held.held().reset();
    time.advance(10ms);
    CHECK(count_of(events, kind::leak_returned) == 1);
    const auto found = pool.snapshot();
    CHECK(found.idle == 2);
    CHECK(found.active == 0);
    CHECK(found.leaks == 1);
    CHECK(found.overdue == 0);
    CHECK(pool.shutdown(1s).clean());
    CHECK(server.misuses().empty());
}

}  // namespace
