// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-010: acquire, release, recycle and error are all logged, each as a record that says what
// to look at; a day in the life of a pool on the virtual clock, read back as JSON lines.
#include <ropeway/runtime/resource_pools.hpp>

#include "log_test_support.hpp"
#include "quickstart.hpp"

namespace {

using namespace quickstart;

bool logged(const std::vector<nlohmann::json>& records, const std::string& part) {
    return std::any_of(records.begin(), records.end(), [&](const auto& one) {
        return one["message"].template get<std::string>().find(part) != std::string::npos;
    });
}

void live(virtual_time& time, fake_server& server, fake_pool& pool) {
    // A lease, a broken one, one held too long.
    REQUIRE(pool.acquire(1s));
    {
        auto got = pool.acquire(1s);
        got->leave(ropeway::return_state::broken);
    }
    {
        auto got = pool.acquire(1s);
        time.advance(45s);
    }
    // Recycled by age, and shrunk.
    {
        std::vector<ropeway::lease<fake_resource>> held;
        for (int i = 0; i < 5; ++i) {
            held.push_back(pool.acquire(1s).take());
        }
    }
    time.advance(2h);
    server.go_down();
    time.advance(1min);
    server.come_up();
    time.advance(1min);
}

TEST_CASE("000-SC-010: everything that happens in a pool is logged") {
    ropeway_test::lines out;
    virtual_time time;
    fake_server server{time};
    {
        ropeway::logging_params settings = ropeway_test::caught_in(out, {});
        settings.level = ropeway::log_level::trace;
        ropeway::logger log{settings};
        ropeway::resource_pools pools{log};
        auto& pool = pools.add<fake_resource>(
            "sc10", server.maker(), {.max_uses = 0, .observe_leases = true, .time = &time});
        pools.start();
        live(time, server, pool);
        static_cast<void>(pools.stop(5s));
    }
    std::vector<nlohmann::json> records;
    for (const auto& line : out) {
        records.push_back(ropeway_test::parsed(line));
    }
    CHECK(logged(records, "Connection pool initialized: min_size=2, max_size=10"));
    CHECK(logged(records, "Database connectivity lost, entering reconnection mode"));
    CHECK(logged(records, "Reconnection attempt 1 after "));
    CHECK(logged(records, "Connection pool recovered: "));
    CHECK(logged(records, "Potential connection leak detected"));
    CHECK(logged(records, "Pool shrunk from "));
    const auto has_event = [&](ropeway::resource_event_kind kind) {
        return std::any_of(records.begin(), records.end(), [&](const auto& one) {
            return one.contains("event") && one["event"] == to_string(kind);
        });
    };
    using kind = ropeway::resource_event_kind;
    for (const kind one :
         {kind::started, kind::opened, kind::open_failed, kind::acquired, kind::released,
          kind::closed, kind::lost, kind::retry, kind::recovered, kind::leak, kind::leak_returned,
          kind::shrunk, kind::shutdown_begun, kind::shutdown_done}) {
        INFO(to_string(one));
        CHECK(has_event(one));
    }
}

}  // namespace
