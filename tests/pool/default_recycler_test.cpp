// SPDX-License-Identifier: Apache-2.0
//
// The process-wide recycler; a program of its own, since it can be made only once per process.
#include <ropeway_test.hpp>

#include "pool_test.hpp"

using namespace ropeway;

TEST_CASE("the default recycler throws before it is made, is made once, and pools use it") {
    REQUIRE_THROWS_WITH(default_recycler(),
                        Catch::Matchers::Contains("init_default_recycler() first"));
    REQUIRE(init_default_recycler());
    recycler& first = default_recycler();
    REQUIRE_FALSE(init_default_recycler());
    REQUIRE(&default_recycler() == &first);
    event_pool<market_event> pool;
    REQUIRE(&pool.back() == &first);
    pool.get().reset();
    REQUIRE(first.stats().recycled == 1);
}
