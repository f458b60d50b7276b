// SPDX-License-Identifier: Apache-2.0
//
// A pool built without a recycler makes the process-wide one; a program of its own, as above.
#include <ropeway_test.hpp>

#include "pool_test.hpp"

using namespace ropeway;

TEST_CASE("the first pool makes the default recycler") {
    REQUIRE_THROWS_AS(default_recycler(), std::logic_error);
    event_pool<market_event> pool;
    REQUIRE(&default_recycler() == &pool.back());
    REQUIRE_FALSE(init_default_recycler());
}
