// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 1: a started pool has two connections, both idle, and is healthy, within 2 s.
#include <ropeway/pool/assess.hpp>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 1: a pool opens its minimum and is healthy within 2 s") {
    static_cast<void>(ropeway_test::shared_server());
    const auto best = best_of(3, 1.0, "start of a pool", [] {
        tries one;
        const auto pool = make_pool({.name = "qs1"});
        std::string failed;
        one.time([&] { failed = start_error(*pool); });
        CHECK(failed == "");
        const auto found = pool->snapshot();
        CHECK(found.total == 2);
        CHECK(found.idle == 2);
        CHECK(found.active == 0);
        CHECK(found.state == ropeway::pool_state::healthy);
        CHECK(found.liveness == ropeway::liveness_state::healthy);
        CHECK(ropeway::assess(found).status == ropeway::health_status::healthy);
        CHECK(ropeway::assess(found, ropeway::health_presets::strict_000()).status ==
              ropeway::health_status::healthy);
        CHECK(pool->shutdown(5s).clean());
        return one;
    });
    CHECK(best < 2s);
}

}  // namespace
