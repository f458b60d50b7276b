// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-013: more than 1000 health checks per second.
#include <ropeway/runtime/resource_pools.hpp>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("000-SC-013: health is told more than 1000 times per second") {
    auto& server = ropeway_test::shared_server();
    ropeway::logger log{{}};
    ropeway::resource_pools pools{log};
    ropeway::postgres::postgres_params settings;
    settings.url = server.url_tcp();
    static_cast<void>(pools.add<ropeway::postgres::connection>(
        "sc13", ropeway::postgres::make_connections(settings)));
    pools.start();
    const auto best = best_of(5, 1.0, "a thousand health checks", [&] {
        tries one;
        std::size_t bytes = 0;
        one.time([&] {
            for (int i = 0; i < 1000; ++i) {
                bytes += pools.health_json().size();
            }
        });
        CHECK(bytes > 1000);
        return one;
    });
    ropeway_test::say("health checks per second: %.0f\n",
                      1000.0 / (static_cast<double>(best.count()) / 1e9));
    CHECK(best < slower * 1s);
    static_cast<void>(pools.stop(5s));
}

}  // namespace
