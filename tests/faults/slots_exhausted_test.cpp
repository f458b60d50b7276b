// SPDX-License-Identifier: Apache-2.0
//
// Injection 9: the server has no connection slot left.
#include "fault_test.hpp"

using namespace ropeway_test;

namespace {

/// Whether a lease is refused for want of a slot: as soon as the pool has heard so from the server,
/// which a machine that stalls may tell later than one acquire waits. No acquire may succeed, or
/// end after its deadline.
bool refused_as_too_many(pg_pool& pool) {
    bool leased = false;
    bool late = false;
    const bool refused = wait_until(
        [&] {
            resource_error_kind told = resource_error_kind::none;
            const auto over = overrun(100ms, [&] {
                const auto got = pool.acquire(100ms);
                leased = leased || got;
                told = got ? told : why(got.error());
            });
            late = late || over > allowed_overrun;
            return told == resource_error_kind::too_many;
        },
        5s);
    CHECK_FALSE(leased);
    CHECK_FALSE(late);
    return refused;
}

}  // namespace

TEST_CASE("a server without a free slot: typed, bounded, and used as soon as one is free") {
    require_postgres();
    // Of these three are kept for superusers: three are left for riders.
    postgres_server server{{.max_connections = 6}};
    rig first{{.url = server.url_unix(), .min_size = 3, .max_size = 3}};
    first.start();
    REQUIRE(first.wait_idle(3));

    SECTION("a pool that must have its minimum does not start, and says why") {
        rig second{{.url = server.url_tcp(), .min_size = 1, .max_size = 2}};
        std::optional<ropeway::pool_error> failed;
        // Three tries, 10 and 50 ms apart, each answered at once.
        CHECK(overrun(2s, [&] { failed = second->start(); }) <= 0ms);
        REQUIRE(failed.has_value());
        CHECK(why(*failed) == resource_error_kind::too_many);
        CHECK(failed->cause.code_text() == "53300");
        CHECK(failed->text().find("53300") != std::string::npos);
        CHECK(second->snapshot().total == 0);
        CHECK(second->snapshot().open_failed >= 3);
        CHECK(second.log().wait_for("Connection pool could not be initialized: "));
        second.end_without_leak(server, 3);
    }
    SECTION("a pool that may start without goes on trying, and is served when a slot is free") {
        rig second{{.url = server.url_tcp(),
                    .min_size = 1,
                    .max_size = 2,
                    .pool = [](ropeway::resource_pool_params& params) {
                        params.on_startup = ropeway::startup::start_degraded;
                    }}};
        CHECK_FALSE(second->start().has_value());
        CHECK(refused_as_too_many(second.pool()));
        CHECK(second->snapshot().timeouts >= 1);
        CHECK(second->snapshot().open_failed >= 1);
        CHECK(second->snapshot().state != ropeway::pool_state::healthy);
        CHECK(second.log().wait_for("Connection could not be opened (try 1): "));
        first->resize(1, 1);
        // While a caller waits tries are at most 200 ms apart.
        CHECK(overrun(1s, [&] { CHECK(answers(second.pool(), 5s)); }) <= 0ms);
        CHECK(second.wait_total(1));
        CHECK(server.backends().size() <= 3);
        second.end_without_leak(server, 1, 2);
    }
    SECTION("a pool that wants to grow keeps what it has and hands it on in turn") {
        first->resize(1, 1);
        REQUIRE(server.wait_backends(1));
        REQUIRE(first.wait_idle(1));  // the pool's ends of its sessions are closed, too
        rig second{{.url = server.url_unix(), .min_size = 2, .max_size = 4}};
        second.start();
        auto one = second->acquire(1s);
        auto two = second->acquire(1s);
        REQUIRE(one);
        REQUIRE(two);
        CHECK(refused_as_too_many(second.pool()));
        CHECK(second->snapshot().open_failed >= 1);
        CHECK(second.log().wait_for("Connection could not be opened (try 1): "));
        one.held().reset();
        CHECK(answers(second.pool(), 1s));
        CHECK(second.seen().count(resource_event_kind::lost) == 0);
        two.held().reset();
        second.end_without_leak(server, 1);
    }
    first.end_without_leak(server);
}
