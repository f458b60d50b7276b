// SPDX-License-Identifier: Apache-2.0
//
// Injection 6: the postmaster is stopped (SIGSTOP): it takes connections and answers none. Work on
// open sessions goes on, connectors are bounded in number and time.
#include "fault_test.hpp"

using namespace ropeway_test;

TEST_CASE(
    "a postmaster that answers nothing stops no session, and new ones end at their deadlines") {
    postgres_server& server = shared_server();
    rig ride{
        {.url = server.url_tcp(),
         .min_size = 2,
         .max_size = 4,
         .pool = [](ropeway::resource_pool_params& params) { params.connect_timeout = 600ms; }}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    server.pause();
    // However this ends, the server that other test cases share goes on.
    const std::unique_ptr<postgres_server, void (*)(postgres_server*)> paused{
        &server, [](postgres_server* one) { one->resume(); }};
    auto one = ride->acquire(1s);
    auto two = ride->acquire(1s);
    REQUIRE(one);
    REQUIRE(two);
    for (int round = 0; round < 5; ++round) {
        CHECK(ask(*one, "select 7") == "7");
        CHECK(ask(*two, "select 8") == "8");
        const auto late = overrun(100ms, [&] { CHECK_FALSE(ride->acquire(100ms)); });
        CHECK(late <= allowed_overrun);
        const auto now = ride->snapshot();
        CHECK(now.total + now.opening + now.closing <= 4);
        CHECK(now.active == 2);
    }
    // Each try ended at its own deadline, and says that nothing answered.
    CHECK(ride.seen().wait_for(resource_event_kind::open_failed));
    for (const auto& failed : ride.seen().of(resource_event_kind::open_failed)) {
        CHECK(failed.error == resource_error_kind::unavailable);
    }
    CHECK(ride.seen().count(resource_event_kind::lost) == 0);
    CHECK(ride.log().wait_for("Connection could not be opened (try 1): "));
    server.resume();
    auto three = ride->acquire(2s);
    REQUIRE(three);
    CHECK(ask(*three, "select 9") == "9");
    one.held().reset();
    two.held().reset();
    three.held().reset();
    ride.end_without_leak(server);
}
