// SPDX-License-Identifier: Apache-2.0
//
// DATABASE_URL: what is well formed, what is refused, and that no password is ever shown.
#include <ropeway/runtime/database_url.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway_test.hpp>

using ropeway::database_kind;
using ropeway::database_kind_of;
using ropeway::masked_url;

namespace {

std::string refusal(std::string_view url) {
    try {
        (void)database_kind_of(url);
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
    return {};
}

struct row {
    std::string url;
    std::string expected;
};

}  // namespace

TEST_CASE("these URLs are well formed, and masked they show all but passwords") {
    const std::vector<row> table{
        {"postgres://app:s3cret@db:5432/orders", "postgres://app:***@db:5432/orders"},
        {"postgresql://app:s3cret@db/orders", "postgresql://app:***@db/orders"},
        {"postgres://app@db/orders", "postgres://app@db/orders"},
        {"postgres://app:@db", "postgres://app:***@db"},
        {"postgres://", "postgres://"},
        {"postgres:///orders", "postgres:///orders"},
        {"postgres:///orders?host=/run/postgresql&user=app",
         "postgres:///orders?host=/run/postgresql&user=app"},
        {"postgres://a:p@h1:5432,h2:5433,h3/db?target_session_attrs=primary",
         "postgres://a:***@h1:5432,h2:5433,h3/db?target_session_attrs=primary"},
        {"postgres://a:p@[::1]:5432/db", "postgres://a:***@[::1]:5432/db"},
        {"postgres://a:p%40%3A%2F@h/db", "postgres://a:***@h/db"},
        {"postgres://a:p:q@h/db", "postgres://a:***@h/db"},
        {"postgres://h/db?password=s3cret&sslmode=require",
         "postgres://h/db?password=***&sslmode=require"},
        {"postgres://h/db?sslmode=require&sslpassword=s3cret",
         "postgres://h/db?sslmode=require&sslpassword=***"},
        // libpq decodes keys; a key that it does not know is refused by it, and shown before that.
        {"postgres://h/db?pass%77ord=s3cret&sslmode=require",
         "postgres://h/db?pass%77ord=***&sslmode=require"},
        {"postgres://h/db?sslmode=require&%70%61%73%73%77%6F%72%64=s3cret",
         "postgres://h/db?sslmode=require&%70%61%73%73%77%6F%72%64=***"},
        {"postgres://h/db?Password=s3cret", "postgres://h/db?Password=***"},
        {"postgres://h/db?passwd=s3cret", "postgres://h/db?passwd=***"},
        {"postgres://h/db?%50ASSWORD=s3cret", "postgres://h/db?%50ASSWORD=***"},
        {"postgres://h/db?passfile=/run/p&user=a", "postgres://h/db?passfile=/run/p&user=a"},
        {"postgres://h/db?application_name=password", "postgres://h/db?application_name=password"},
        {"postgres://h:1/db?", "postgres://h:1/db?"},
        {"postgres://h:65535/db", "postgres://h:65535/db"},
        {"postgres://h:/db", "postgres://h:/db"},
    };
    for (const row& one : table) {
        CAPTURE(one.url);
        CHECK(refusal(one.url).empty());
        CHECK(database_kind_of(one.url) == database_kind::postgres);
        CHECK(masked_url(one.url) == one.expected);
    }
}

TEST_CASE("SQLite is named by a file, an absolute file, or as memory") {
    for (const std::string url :
         {"sqlite::memory:", "sqlite:orders.db", "sqlite:/var/lib/orders.db",
          "sqlite:///var/lib/orders.db", "sqlite:a file with spaces.db"}) {
        CAPTURE(url);
        CHECK(database_kind_of(url) == database_kind::sqlite);
        CHECK(masked_url(url) == url);
    }
    CHECK(database_kind_of(ropeway::default_database_url) == database_kind::sqlite);
    CHECK(to_string(database_kind::sqlite) == "sqlite");
    CHECK(to_string(database_kind::postgres) == "postgres");
}

TEST_CASE(
    "what is not well formed is refused with a demand, and shows no part that may be secret") {
    const std::vector<row> table{
        {"", "not be empty"},
        {"mysql://app:s3cret@db/orders", "begin with postgres://, postgresql:// or sqlite:"},
        {"host=db password=s3cret", "begin with postgres://, postgresql:// or sqlite:"},
        {"Postgres://app:s3cret@db", "begin with"},
        {"postgres:app:s3cret@db", "begin with"},
        {"s3cret", "begin with"},
        {"postgres://app:s3cret@db:0/orders", "port from 1 to 65535"},
        {"postgres://app:s3cret@db:65536/orders", "port from 1 to 65535"},
        {"postgres://app:s3cret@db:54x/orders", "port from 1 to 65535"},
        {"postgres://app:s3cret@h1,h2:-1/orders", "port from 1 to 65535"},
        {"postgres://app:s3cret/orders", "port from 1 to 65535"},
        {"postgres://app:s3c@ret@db/orders", "have one @"},
        {"postgres://app:12/s3cret@db/orders", "have one @"},
        {"postgres://app:12?a=s3cret@db/orders", "have one @"},
        {"postgres://app:12@db/orders?user=a@s3cret", "have one @"},
        {"postgres://app:s3cr%e@db/orders", "two hexadecimal digits"},
        {"postgres://app:s3cret%", "two hexadecimal digits"},
        {"postgres://app:s3 cret@db/orders", "have no spaces"},
        {"postgres://app:s3cret@db/orders\n", "control characters"},
        {"postgres://app:s3cret@[::1/orders", "close the brackets"},
        {"postgres://app:s3cret@[]/orders", "close the brackets"},
        {"postgres://app:s3cret@[::1]5432/orders", "a colon between"},
        {"postgres://app:s3cret@[::1]\"x/orders", "a colon between"},
        {"postgres://app:s3cret@db/orders?sslmode", "KEY=VALUE"},
        {"postgres://app:s3cret@db/orders?=x", "KEY=VALUE"},
        {"postgres://app:s3cret@db/orders?a=b=c", "KEY=VALUE"},
        {"postgres://app:s3cret@db/orders?a=b&", "KEY=VALUE"},
        {"sqlite:", "name a file"},
        {"sqlite://", "name a file"},
        {"sqlite:///", "name a file"},
        {"sqlite://orders.db", "have no host"},
    };
    for (const row& one : table) {
        const std::string text = refusal(one.url);
        CAPTURE(one.url, text);
        CHECK(text.find("database_url (") == 0);
        CHECK(text.find(") must ") != std::string::npos);
        CHECK(text.find(one.expected) != std::string::npos);
        CHECK(text.find(". Suggestion: ") != std::string::npos);
        for (const char* secret : {"s3c", "cret", "ret@"}) {
            CHECK(text.find(secret) == std::string::npos);
            CHECK(masked_url(one.url).find(secret) == std::string::npos);
        }
    }
}
