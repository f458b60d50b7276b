// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-012: initialisation adds less than 200 ms to a program's start.
#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("000-SC-012: making and starting a pool adds less than 200 ms to a start") {
    static_cast<void>(ropeway_test::shared_server());
    const auto best = best_of(10, 1.0, "settings, pool and start", [] {
        tries one;
        std::unique_ptr<postgres_pool> pool;
        std::string failed;
        one.time([&] {
            pool = make_pool({.name = "sc12"});
            failed = start_error(*pool);
        });
        REQUIRE(failed == "");
        return one;
    });
    CHECK(best < slower * 200ms);
}

}  // namespace
