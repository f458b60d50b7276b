// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 7: a minimum above the maximum, a bad URL and a negative minimum are refused
// with messages that say what to do; a valid configuration is accepted.
#include <ropeway/runtime/pool_config.hpp>

#include "quickstart.hpp"

namespace {

std::string refusal(const ropeway::setting_map& environment) {
    try {
        static_cast<void>(ropeway::load_pool_config({.environment = environment}));
    } catch (const ropeway::pool_config_error& refused) {
        return refused.what();
    }
    return {};
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST_CASE("quickstart 7: a minimum above the maximum is refused with both and a remedy") {
    const std::string why = refusal({{"POOL_MIN_SIZE", "10"}, {"POOL_MAX_SIZE", "5"}});
    INFO(why);
    CHECK(has(why, "max_size (5) must be >= min_size (10). Suggestion: "));
}

TEST_CASE("quickstart 7: a bad database URL is refused, and its password is not shown") {
    const std::string why = refusal({{"DATABASE_URL", "mysql://app:s3cret@db/orders"}});
    INFO(why);
    CHECK(has(why, "DATABASE_URL"));
    CHECK(has(why, "postgres://"));
    CHECK_FALSE(has(why, "s3cret"));
}

TEST_CASE("quickstart 7: a negative minimum is refused with its value") {
    const std::string why = refusal({{"POOL_MIN_SIZE", "-1"}});
    INFO(why);
    CHECK(has(why, "min_size"));
    CHECK(has(why, "-1"));
}

TEST_CASE("quickstart 7: a valid configuration is accepted, and a pool starts from it") {
    auto config = ropeway::load_pool_config(
        {.environment = {{"POOL_MIN_SIZE", "3"},
                         {"POOL_MAX_SIZE", "7"},
                         {"DATABASE_URL", "postgresql://app:s3cret@db/orders"}}});
    CHECK(config.pool.min_size == 3);
    CHECK(config.pool.max_size == 7);
    CHECK(config.database == ropeway::database_kind::postgres);
    ropeway::testing::virtual_time time;
    ropeway::testing::fake_server server{time};
    config.pool.time = &time;
    quickstart::fake_pool pool{server.maker(), config.pool};
    REQUIRE_FALSE(pool.start().has_value());
    CHECK(pool.snapshot().idle == 3);
}

}  // namespace
