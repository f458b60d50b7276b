// SPDX-License-Identifier: Apache-2.0
//
// Injection 11: the primary dies, the standby is promoted. One URL names both; the pool finds the
// one that takes writes.
#include "fault_test.hpp"

using namespace ropeway_test;

TEST_CASE("a pool follows the role of primary from one server to the other") {
    require_postgres();
    postgres_server primary;
    primary.exec("create table carried(n int)");
    primary.exec("grant all on carried to rider");
    postgres_server standby{postgres_server::follows{primary}};
    const std::string both = "postgresql://rider:" + primary.password() +
                             "@127.0.0.1:" + std::to_string(primary.port()) +
                             ",127.0.0.1:" + std::to_string(standby.port()) +
                             "/postgres?target_session_attrs=read-write";
    rig ride{{.url = both}};
    ride.start();
    {
        auto held = ride->acquire(2s);
        REQUIRE(held);
        CHECK(ask(*held, "insert into carried values (1) returning n") == "1");
    }
    REQUIRE(wait_until([&] { return standby.value("select count(*) from carried") == "1"; }));
    CHECK(standby.wait_backends(0));

    primary.kill9();
    REQUIRE(ride.seen().wait_for(resource_event_kind::lost));
    // The standby answers, but not as what is asked for, and the pool says so.
    std::string cause;
    bool leased = false;
    CHECK(wait_until(
        [&] {
            const auto refused = ride->acquire(150ms);
            leased = leased || refused;
            cause = refused ? "a lease" : refused.error().cause.text;
            return cause.find("read-only") != std::string::npos ||
                   cause.find("hot standby") != std::string::npos;
        },
        5s));
    INFO(cause);
    REQUIRE_FALSE(leased);
    standby.promote();
    const auto promoted = steady::now();
    auto held = ride->acquire(5s);
    REQUIRE(held);
    say("promoted: leased again after %.1f ms\n", in_ms(steady::now() - promoted));
    CHECK(ask(*held, "insert into carried values (2) returning n") == "2");
    CHECK(ask(*held, "select string_agg(n::text, ',' order by n) from carried") == "1,2");
    held.held().reset();
    CHECK(ride.seen().count(resource_event_kind::lost) == 1);
    CHECK(ride.seen().wait_for(resource_event_kind::recovered));
    CHECK(ride.log().wait_for("Connection pool recovered: "));
    CHECK(ride.log().has("Database connectivity lost, entering reconnection mode"));
    ride.end_without_leak(standby);
}
