// SPDX-License-Identifier: Apache-2.0
//
// The faulty network that other tests rely on: it passes, delays, swallows, throttles and cuts.
#include "fault_proxy.hpp"

#include "child_process.hpp"
#include "postgres_test.hpp"

#include <chrono>
#include <memory>
#include <string>

#include <libpq-fe.h>
#include <poll.h>

namespace {

using namespace std::chrono_literals;
using ropeway_test::cut_kind;
using ropeway_test::fault_proxy;
using ropeway_test::flow_direction;
using ropeway_test::flow_scope;
using ropeway_test::patience;
using ropeway_test::postgres_server;
using ropeway_test::shared_server;
using ropeway_test::wait_until;

using session = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using steady = std::chrono::steady_clock;

session open(const std::string& url, std::chrono::seconds limit = 30s) {
    const std::string how = "?sslmode=disable&connect_timeout=" + std::to_string(limit.count());
    return {PQconnectdb((url + how).c_str()), PQfinish};
}

std::string ask(const session& to, const std::string& sql) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> got{PQexec(to.get(), sql.c_str()), PQclear};
    return PQresultStatus(got.get()) == PGRES_TUPLES_OK ? PQgetvalue(got.get(), 0, 0)
                                                        : PQerrorMessage(to.get());
}

bool readable(const session& one, std::chrono::milliseconds within) {
    pollfd fd{.fd = PQsocket(one.get()), .events = POLLIN, .revents = 0};
    return ::poll(&fd, 1, static_cast<int>(within.count())) > 0;
}

}  // namespace

TEST_CASE("a proxy passes everything on, and counts it") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    const session one = open(server.url_tcp(proxy.port()));
    CHECK(ask(one, "select 7") == "7");
    CHECK(ask(one, "select length(repeat('x', 3000000))") == "3000000");
    const auto before = proxy.passed(flow_direction::to_client);
    CHECK(ask(one, "select repeat('x', 3000000)").size() == 3'000'000);
    CHECK(proxy.passed(flow_direction::to_client) - before > 3'000'000);
    CHECK(proxy.accepted() == 1);
    CHECK(proxy.open() == 1);
}

TEST_CASE("the end of a connection passes through, from either side") {
    postgres_server& server = shared_server();
    REQUIRE(server.wait_backends(0));
    fault_proxy proxy{server.port()};
    session one = open(server.url_tcp(proxy.port()));
    const session two = open(server.url_tcp(proxy.port()));
    CHECK(server.wait_backends(2));
    one.reset();
    CHECK(server.wait_backends(1));
    CHECK(server.terminate(PQbackendPID(two.get())));
    CHECK(readable(two, patience));
    CHECK(ask(two, "select 1").find("terminating connection") != std::string::npos);
    CHECK(wait_until([&] { return proxy.open() == 0; }));
}

TEST_CASE("a delay is felt once in each direction that has it") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    const session one = open(server.url_tcp(proxy.port()));
    proxy.set({.delay = 40ms});
    auto begun = steady::now();
    CHECK(ask(one, "select 7") == "7");
    CHECK(steady::now() - begun >= 80ms);
    proxy.set(flow_direction::to_server, {});
    begun = steady::now();
    CHECK(ask(one, "select 7") == "7");
    CHECK(steady::now() - begun >= 40ms);
    proxy.heal();
    CHECK(ask(one, "select 7") == "7");
}

TEST_CASE("a black hole says nothing, and lets go what it held when it heals") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    const session one = open(server.url_tcp(proxy.port()));
    for (const auto direction : {flow_direction::to_server, flow_direction::to_client}) {
        proxy.set(direction, {.black_hole = true});
        REQUIRE(PQsendQuery(one.get(), "select 7") == 1);
        CHECK_FALSE(readable(one, 60ms));
        proxy.heal();
        CHECK(readable(one, patience));
        while (PGresult* got = PQgetResult(one.get())) {
            CHECK(PQresultStatus(got) == PGRES_TUPLES_OK);
            PQclear(got);
        }
    }
    proxy.set({.black_hole = true}, flow_scope::new_ones);
    CHECK(ask(one, "select 7") == "7");
    const auto begun = steady::now();
    CHECK(PQstatus(open(server.url_tcp(proxy.port()), 2s).get()) == CONNECTION_BAD);
    CHECK(steady::now() - begun >= 1900ms);
}

TEST_CASE("a connection is cut with and without a farewell, at once and after so many bytes") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    const std::string url = server.url_tcp(proxy.port());
    for (const cut_kind how : {cut_kind::fin, cut_kind::rst}) {
        const session now = open(url);
        REQUIRE(PQstatus(now.get()) == CONNECTION_OK);
        proxy.cut(how);
        CHECK(readable(now, patience));
        CHECK(PQstatus(now.get()) == CONNECTION_OK);
        (void)ask(now, "select 7");
        CHECK(PQstatus(now.get()) == CONNECTION_BAD);

        const session later = open(url);
        proxy.set(flow_direction::to_client, {.cut_after = 1000, .cut = how},
                  flow_scope::open_ones);
        CHECK(ask(later, "select 7") == "7");
        const auto before = proxy.passed(flow_direction::to_client);
        (void)ask(later, "select repeat('x', 100000)");
        CHECK(PQstatus(later.get()) == CONNECTION_BAD);
        CHECK(proxy.passed(flow_direction::to_client) - before < 1000);
    }
    CHECK(wait_until([&] { return proxy.open() == 0; }));
    CHECK(server.wait_backends(0));
}

TEST_CASE("a throttled connection is as slow as it was told to be") {
    postgres_server& server = shared_server();
    fault_proxy proxy{server.port()};
    const session one = open(server.url_tcp(proxy.port()));
    proxy.set(flow_direction::to_client, {.bytes_per_second = 100'000});
    const auto begun = steady::now();
    CHECK(ask(one, "select repeat('x', 20000)").size() == 20'000);
    CHECK(steady::now() - begun >= 190ms);
}

TEST_CASE("a proxy refuses new connections, and may lead them elsewhere") {
    postgres_server& server = shared_server();
    fault_proxy proxy{1};
    const std::string url = server.url_tcp(proxy.port());
    CHECK(PQstatus(open(url).get()) == CONNECTION_BAD);
    proxy.lead_to(server.port());
    const session one = open(url);
    CHECK(ask(one, "select 7") == "7");
    proxy.refuse(true);
    CHECK(PQstatus(open(url).get()) == CONNECTION_BAD);
    CHECK(ask(one, "select 7") == "7");
    proxy.refuse(false);
    CHECK(PQstatus(open(url).get()) == CONNECTION_OK);
}
