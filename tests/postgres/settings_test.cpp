// SPDX-License-Identifier: Apache-2.0
//
// What is refused, with which words, and that no password is in them.
#include <ropeway/pool/postgres/settings.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include "ropeway_test.hpp"

namespace {

namespace pg = ropeway::postgres;
using namespace std::chrono_literals;

[[nodiscard]] std::string refusal(const pg::postgres_params& params) {
    try {
        static_cast<void>(pg::checked(params));
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
    return "";
}

TEST_CASE("Settings that libpq understands are accepted") {
    CHECK(refusal({}).empty());
    CHECK(refusal({.url = "postgres://u:p%40ss@h:1234/d?sslmode=verify-full"}).empty());
    CHECK(refusal({.url = "host=h user=u password='with space'"}).empty());
    CHECK(refusal({.url = "postgresql://h1:1,h2:2/d?target_session_attrs=read-write"}).empty());
    CHECK(refusal({.options = {{"sslmode", "verify-ca"},
                               {"sslrootcert", "/ca.pem"},
                               {"sslcert", "/c.pem"},
                               {"sslkey", "/k.pem"}}})
              .empty());
}

TEST_CASE("A wrong setting is refused with its name, its value and the remedy") {
    CHECK(refusal({.options = {{"sslmod", "require"}}}).find("'sslmod'") != std::string::npos);
    CHECK(refusal({.command_timeout = 0ms}).find("command_timeout (0 ms) must be between 1 and") ==
          0);
    CHECK(refusal({.cancel_timeout = 2min}).find("cancel_timeout (120000 ms)") == 0);
    CHECK(refusal({.keepalive_idle = 0s}).find("keepalive_idle (0 s)") == 0);
    CHECK(refusal({.keepalive_count = 0}).find("keepalive_count (0)") == 0);
    CHECK(refusal({.tcp_user_timeout = 0ms}).find("tcp_user_timeout (0 ms)") == 0);
    CHECK(refusal({.prepared = {{"", "SELECT 1"}}}).find("prepared ('')") == 0);
    CHECK(refusal({.prepared = {{"a", "SELECT 1"}, {"a", "SELECT 2"}}}).find("prepared ('a')") ==
          0);
    CHECK(refusal({.prepared = {{"a", ""}}}).find("prepared ('a') has no statement") == 0);
    CHECK(
        refusal({.prepared = {{"a", std::string("SELECT 1\0", 9)}}}).find("prepared ('a') holds") ==
        0);
    CHECK(refusal({.session_sql = {std::string("SET a = 1\0", 10)}}).find("session_sql ('SET") ==
          0);
    for (const auto& params : {pg::postgres_params{.command_timeout = 0ms},
                               pg::postgres_params{.options = {{"sslmod", ""}}},
                               pg::postgres_params{.url = "postgres://h:port:x/"}}) {
        CHECK(refusal(params).find("Suggestion: ") != std::string::npos);
    }
}

TEST_CASE("A bad url is refused without any part of its password") {
    const std::string urls[]{
        "postgres://user:sec%zzret@host/db",
        "postgres://user:sec ret@host/db?x",
        "postgres://user:sec@ret@host/db",
        "postgres://user:secret@host:nonsense:1/db?=",
        "host=h password=sec ret",
        "host=h password='secret",
        "postgres://user:secret@[::1/db",
        "postgres://user:secret@host/db?nokeyword=secret",
        "password secret",
        "postgres://user:secret@host/db?password",
        // Quotes within what is quoted.
        "postgres://user:x\"secret%zz@host/db",
        "postgres://user:secret@[::1]\"x/db",
        "host=h \"secret\" password",
    };
    for (const std::string& url : urls) {
        const std::string said = refusal({.url = url});
        CAPTURE(url, said);
        CHECK_FALSE(said.empty());
        CHECK(said.find("sec") == std::string::npos);
        CHECK(said.find("ret@") == std::string::npos);
        CHECK(said.find("\"ret") == std::string::npos);
    }
}

TEST_CASE("Passwords are masked wherever a text may hold them") {
    const std::vector<std::pair<std::string, std::string>> pairs{
        {"postgres://u:secret@h/d", "postgres://u:***@h/d"},
        {"to postgres://u:se@cr/et@h/d and back", "to postgres://u:***@h/d and back"},
        {"a postgres://u:x@h/d, b postgresql://v:y@i/e",
         "a postgres://u:***@h/d, b postgresql://v:***@i/e"},
        {"postgres://u@h/d", "postgres://u@h/d"},
        {"postgres://h:5432/d", "postgres://h:5432/d"},
        {"host=h password=secret user=u", "host=h password=*** user=u"},
        {"host=h password = 'se cret\\' x' user=u", "host=h password = *** user=u"},
        {"h?user=u&password=secret&x=y", "h?user=u&password=***&x=y"},
        {"sslpassword=secret", "sslpassword=***"},
        {"ALTER USER u PASSWORD 'secret'", "ALTER USER u PASSWORD ***"},
        {"{\"password\": \"secret\"}", "{\"password\": ***}"},
        {"password authentication failed for user \"u\"",
         "password authentication failed for user \"u\""},
        {"", ""},
    };
    for (const auto& [text, expected] : pairs) {
        CHECK(pg::masked(text) == expected);
    }
}

TEST_CASE("A target names user, host, port and database, and no password") {
    const pg::settings made({.url = "postgres://rider:secret@127.0.0.1:5433/orders"});
    CHECK(made.target() == "rider@127.0.0.1:5433/orders");
}

TEST_CASE("A refused replacement changes nothing") {
    pg::settings made({.url = "postgres://rider:secret@127.0.0.1:5433/orders"});
    CHECK_THROWS_AS(made.replace({.url = "postgres://h/d", .command_timeout = 0ms}),
                    std::invalid_argument);
    CHECK(made.target() == "rider@127.0.0.1:5433/orders");
    made.replace({.url = "postgres://rider:other@127.0.0.1:5434/orders"});
    CHECK(made.target() == "rider@127.0.0.1:5434/orders");
}

}  // namespace
