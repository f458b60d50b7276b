// SPDX-License-Identifier: Apache-2.0
//
// Sessions under TLS: the options reach libpq, a server that is not the right one is refused, and a
// look, a deadline and a COPY work as without.
#include <filesystem>
#include <string>

#include <poll.h>

#include "child_process.hpp"
#include "host_jitter.hpp"
#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;
using ropeway::resource_error_kind;

constexpr const char* openssl = "/usr/bin/openssl";

/// A certificate for localhost that signs itself, and its key, readable by the server alone.
void make_certificate(const std::string& folder, const std::string& name) {
    run_child({.command = {openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                           "-subj", "/CN=localhost", "-addext",
                           "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", name + ".key",
                           "-out", name + ".crt"},
               .output = folder + "/openssl.log",
               .folder = folder,
               .user = server_user()},
              20s);
}

/// The shared server with TLS switched on, once.
postgres_server& tls_server() {
    postgres_server& server = shared_server();
    static const bool made = [&server] {
        if (!std::filesystem::exists(openssl)) {
            ROPEWAY_SKIP("/usr/bin/openssl is not installed, which makes the certificates");
        }
        make_certificate(server.folder(), "server");
        make_certificate(server.folder(), "other");
        server.set("ssl_cert_file", server.folder() + "/server.crt");
        server.set("ssl_key_file", server.folder() + "/server.key");
        server.set("ssl", "on");
        server.stop();
        server.start();
        return true;
    }();
    static_cast<void>(made);
    return server;
}

[[nodiscard]] pg::postgres_params verified(const std::string& root = "server.crt") {
    postgres_server& server = tls_server();
    std::string url = server.url_tcp();
    const std::string address = "127.0.0.1";
    url.replace(url.find(address), address.size(), "localhost");
    return {.url = url,
            .options = {{"sslmode", "verify-full"}, {"sslrootcert", server.folder() + "/" + root}}};
}

TEST_CASE("A verified TLS session runs commands, is looked at, probed, reset") {
    const auto session = open_session(verified());
    CHECK(session->uses_tls());
    CHECK(
        session->exec("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").get<bool>(0, 0));
    CHECK(session->check() == ropeway::resource_health::usable);
    CHECK(run_task(*session, ropeway::resource_task::probe));
    CHECK(session->exec("SET work_mem = '3MB'"));
    CHECK(give_back(*session));
    CHECK(session->exec("SHOW work_mem").text(0, 0) == "4MB");
    const auto large = session->exec("SELECT repeat('x', 3000000)");
    CHECK(large.text(0, 0).size() == 3'000'000);
}

TEST_CASE("A server whose certificate is not the expected one is refused") {
    pg::connection session(std::make_shared<pg::settings>(verified("other.crt")));
    CHECK_FALSE(run_task(session, ropeway::resource_task::open));
    CHECK(session.error().kind == resource_error_kind::authentication);
    CHECK(session.error().text.find("certificate") != std::string::npos);
}

TEST_CASE("The end of a TLS session is seen, and why") {
    const auto session = open_session(verified());
    REQUIRE(tls_server().terminate(session->backend_pid()));
    pollfd look{session->idle_fd(), POLLRDHUP, 0};
    REQUIRE(::poll(&look, 1, 5000) == 1);
    CHECK(session->check() == ropeway::resource_health::dead);
    CHECK(session->error().code_text() == "57P01");
}

TEST_CASE("A deadline under TLS is kept, and its cancel request reaches the server") {
    const auto session = open_session(verified());
    const host_jitter jitter;
    const auto begun = std::chrono::steady_clock::now();
    // Long enough for the server to have read the command: until then it forgets a cancel request.
    CHECK(session->exec("SELECT pg_sleep(30)", 500ms).error().kind == resource_error_kind::timeout);
    const auto lasted = std::chrono::steady_clock::now() - begun;
    CHECK(lasted < 2s + jitter.lost());
    CHECK(wait_until(
        [] {
            return tls_server().value(
                       "SELECT count(*) FROM pg_stat_activity WHERE usename = "
                       "'rider' AND state = 'active'") == "0";
        },
        5s));
}

TEST_CASE("A COPY under TLS arrives whole") {
    const auto session = open_session(verified());
    tls_server().exec(
        "DROP TABLE IF EXISTS under_tls; CREATE TABLE under_tls (a int4, b text);"
        "GRANT ALL ON under_tls TO rider");
    pg::copy_writer writer(*session, {.table = "under_tls", .format = pg::copy_format::binary});
    const std::string text(1000, 'x');
    for (int row = 0; row < 5000; ++row) {
        REQUIRE(writer.row({row, text}));
    }
    CHECK(writer.finish().affected() == 5000);
}

TEST_CASE("Without TLS the same server is reached as before") {
    CHECK_FALSE(open_session({.url = tls_server().url_tcp(), .options = {{"sslmode", "disable"}}})
                    ->uses_tls());
}

}  // namespace
