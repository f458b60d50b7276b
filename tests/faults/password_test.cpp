// SPDX-License-Identifier: Apache-2.0
//
// Injection 10: the password is wrong, then rotated. Errors are typed and say nothing of it.
#include "fault_test.hpp"
#include "postgres_template.hpp"

using namespace ropeway_test;

namespace {

// No text that the pool gave out holds any of the passwords.
void expect_discreet(const std::string& said) {
    CHECK(said.find("not-the-word") == std::string::npos);
    CHECK(said.find(template_password) == std::string::npos);
    CHECK(said.find("rotated-word") == std::string::npos);
}

}  // namespace

TEST_CASE("a wrong password ends the start at once, typed, and is in no text") {
    postgres_server& server = shared_server();
    std::string url = server.url_tcp();
    url.replace(url.find(server.password()), server.password().size(), "not-the-word");
    rig ride{{.url = url}};
    const host_jitter jitter;
    const auto begun = steady::now();
    const auto failed = ride->start();
    REQUIRE(failed.has_value());
    const auto lasted = steady::now() - begun;
    CHECK(lasted < 2s + jitter.lost());
    CHECK(failed->kind == resource_error_kind::authentication);
    CHECK(failed->cause.kind == resource_error_kind::authentication);
    CHECK(ride.log().wait_for("password authentication failed"));
    CHECK(ride->snapshot().opened == 0);
    CHECK(ride->snapshot().open_failed >= 1);
    expect_discreet(ride.log().text() + failed->text() + failed->cause.text + ride.seen().text() +
                    ride->last_error().text);
    ride.end_without_leak(server);
}

TEST_CASE("a password changes at the server, then here: refused at once in between, served after") {
    postgres_server server;
    rig ride{{.url = server.url_tcp()}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    server.change_password("rotated-word");
    // Open sessions do not care.
    CHECK(answers(ride.pool(), 1s));
    ride->soft_evict();
    REQUIRE(ride.seen().wait_for(resource_event_kind::open_failed));
    // Waiting does not help against this, so nobody waits.
    const host_jitter jitter;
    const auto begun = steady::now();
    auto refused = ride->acquire(5s);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().kind == resource_error_kind::authentication);
    const auto lasted = steady::now() - begun;
    CHECK(lasted < 2s + jitter.lost());
    CHECK(ride->snapshot().open_failed >= 1);
    CHECK(ride.log().wait_for("password authentication failed"));
    expect_discreet(refused.error().text() + refused.error().cause.text + ride.seen().text() +
                    ride.log().text());

    ride.settings().set_password("rotated-word");
    ride->soft_evict();
    CHECK(wait_until([&] { return answers(ride.pool(), 1s); }, 10s));
    CHECK(ride.wait_idle(2));
    CHECK(server.wait_backends(2));
    CHECK(wait_until([&] { return ride->snapshot().state == ropeway::pool_state::healthy; }));
    expect_discreet(ride.log().text() + ride.seen().text());
    ride.end_without_leak(server);
}
