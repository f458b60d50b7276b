// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/resource_pools.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>

#include "pools_test_support.hpp"

using namespace ropeway_test;

TEST_CASE("a runtime's pools start before its workers and stop before its last word") {
    world w;
    {
        ropeway::runtime rt{small(w.log())};
        resource_pool<fake_resource>& orders =
            rt.add_pool<fake_resource>("orders", w.server.maker(), w.params());
        rt.start();
        CHECK(orders.snapshot().total == 2);
        const ropeway::runtime_report report = rt.stop(5s);
        CHECK(report.clean());
        REQUIRE(report.pools.size() == 1);
        CHECK(report.pools[0].pool == "orders");
        CHECK(report.pools[0].closed == 2);
    }
    const auto said = messages(w.written);
    const std::string initialized = "Connection pool initialized: min_size=2, max_size=10";
    REQUIRE(holds(said, initialized));
    REQUIRE(holds(said, "runtime started"));
    CHECK(place_of(said, "Connection pool starting") < place_of(said, initialized));
    CHECK(place_of(said, initialized) < place_of(said, "runtime started"));
    CHECK(place_of(said, "runtime started") < place_of(said, "Connection pool shutting down"));
    CHECK(place_of(said, "Connection pool terminated") < place_of(said, "runtime stopped"));
    CHECK(w.server.counts().open_now == 0);
    CHECK(w.server.misuses().empty());
}

TEST_CASE("handlers use a pool to the end of the drain: it stops after the workers") {
    fake_server server{ropeway::real_resource_time(), {.open = 1ms, .close = 0ns}};
    std::atomic<int> served{0};
    std::atomic<int> refused{0};
    ropeway::runtime rt{small({})};
    resource_pool<fake_resource>& orders =
        rt.add_pool<fake_resource>("orders", server.maker(), {.min_size = 1, .max_size = 2});
    auto writer =
        rt.subscribe("writer", ropeway::overflow::block, {}, [&](const ropeway::market_event&) {
            // Relaxed on both: read after stop() has joined.
            if (auto connection = orders.acquire(5s)) {
                connection->use(100us);
                served.fetch_add(1, std::memory_order_relaxed);
            } else {
                refused.fetch_add(1, std::memory_order_relaxed);
            }
        });
    auto feed = rt.publisher("feed");
    rt.start();
    int sent = 0;
    for (int i = 0; i != 200; ++i) {
        auto event = feed.claim(ropeway::event_kind::trade);
        sent += event && feed.publish(std::move(event)) ? 1 : 0;
    }
    const ropeway::runtime_report report = rt.stop(10s);
    CHECK(report.clean());
    CHECK(sent == 200);
    CHECK(served.load(std::memory_order_relaxed) == sent);
    CHECK(refused.load(std::memory_order_relaxed) == 0);
    CHECK(server.counts().open_now == 0);
}

TEST_CASE("a pool that cannot start says which and why, and those before it are stopped") {
    world w;
    fake_server down{w.time};
    down.go_down(resource_error_kind::unavailable);
    {
        ropeway::runtime rt{small(w.log())};
        rt.add_pool<fake_resource>("first", w.server.maker(), w.params());
        rt.add_pool<fake_resource>("second", down.maker(), w.params());
        std::string said;
        try {
            rt.start();
        } catch (const ropeway::pool_start_error& error) {
            said = error.what();
            CHECK(error.pool() == "second");
            CHECK(error.why().kind == resource_error_kind::unavailable);
        }
        CHECK(said.find("pool \"second\" did not start: ") == 0);
        CHECK(w.server.counts().opened == 2);
        CHECK(w.server.counts().open_now == 0);
        static_cast<void>(rt.stop(1s));
    }
    const auto said = messages(w.written);
    CHECK(holds(said, "Connection pool did not start"));
    CHECK_FALSE(holds(said, "runtime started"));
}

TEST_CASE("a lease held beyond the stop makes the report unclean and is listed in it") {
    world w;
    {
        ropeway::runtime rt{small(w.log())};
        resource_pool<fake_resource>& orders =
            rt.add_pool<fake_resource>("orders", w.server.maker(), w.params());
        rt.add_pool<fake_resource>("audit", w.server.maker(), w.params());
        rt.start();
        auto held = orders.acquire(1s);
        REQUIRE(held);
        const auto before = w.time.now();
        const ropeway::runtime_report report = rt.stop(2s);
        // The deadline is on the real clock, the pools are on one that stands still: what the first
        // one took is not seen.
        CHECK(w.time.now() - before <= 2s + 10ms);
        CHECK_FALSE(report.clean());
        REQUIRE(report.pools.size() == 2);
        CHECK(report.pools[0].pool == "audit");
        CHECK(report.pools[0].clean());
        CHECK(report.pools[1].forced.size() == 1);
        CHECK(report.text().find("resource_pools_test.cpp") != std::string::npos);
    }
    const auto said = messages(w.written);
    const std::size_t forced = place_of(said, "Connection 1 force-closed at shutdown: held for ");
    const std::size_t other = place_of(said, "Connection 2 force-closed at shutdown: held for ");
    CHECK(std::min(forced, other) < said.size());
    CHECK(holds(said, "Connection pool did not stop clean"));
}

TEST_CASE("a stop that may take for ever waits for the leases") {
    world w;
    ropeway::runtime rt{small(w.log())};
    resource_pool<fake_resource>& orders =
        rt.add_pool<fake_resource>("orders", w.server.maker(), w.params());
    rt.start();
    bool used = false;
    auto holder = w.time.call([&] {
        auto held = orders.acquire(1s);
        w.time.advance(1h);
        used = held->use();
    });
    w.time.advance(1s);
    const ropeway::runtime_report report = rt.stop(std::chrono::nanoseconds::max());
    CHECK(report.clean());
    CHECK(holder.ended());
    CHECK(used);
    REQUIRE(report.pools.size() == 1);
    CHECK(report.pools[0].forced.empty());
    CHECK(w.server.misuses().empty());
}

TEST_CASE("an outage and its end are logged in order, with each reconnection attempt") {
    world w;
    {
        ropeway::logger log{w.log()};
        ropeway::resource_pools pools{log};
        resource_pool_params params = w.params();
        params.reconnect = ropeway::reconnect_presets::seed_000();
        params.reconnect.jitter = ropeway::jitter_kind::none;
        auto& orders = pools.add<fake_resource>("orders", w.server.maker(), params);
        pools.start();
        CHECK(pools.health().status == health_status::healthy);
        w.server.go_down();
        CHECK_FALSE(orders.acquire(10ms));
        w.time.advance(40s);
        const ropeway::runtime_health during = pools.health();
        CHECK(during.status != health_status::healthy);
        CHECK(during.pools[0].now.total == 0);
        CHECK(during.pools[0].last_error.kind == resource_error_kind::unavailable);
        w.server.come_up();
        w.time.advance(17s);
        CHECK(pools.health().pools[0].now.total == 2);
        static_cast<void>(pools.stop(5s));
    }
    const auto said = messages(w.written);
    const std::size_t lost =
        place_of(said, "Database connectivity lost, entering reconnection mode");
    REQUIRE(lost < said.size());
    for (const char* each :
         {"Reconnection attempt 1 after 1s delay", "Reconnection attempt 2 after 2s delay",
          "Reconnection attempt 3 after 4s delay", "Reconnection attempt 4 after 8s delay",
          "Reconnection attempt 5 after 16s delay"}) {
        CAPTURE(each);
        CHECK(place_of(said, each) > lost);
        CHECK(place_of(said, each) < said.size());
        CHECK(std::count(said.begin(), said.end(), each) == 1);
    }
    CHECK(holds(said, "Connection pool recovered: 2/2 connections available"));
    CHECK(std::count(said.begin(), said.end(), said[lost]) == 1);
}

TEST_CASE("a leak is logged once with its site, makes the pool degraded, and comes back") {
    world w;
    {
        ropeway::logger log{w.log()};
        ropeway::resource_pools pools{log};
        auto& orders = pools.add<fake_resource>("orders", w.server.maker(), w.params());
        pools.start();
        auto held = orders.acquire(1s);
        REQUIRE(held);
        w.time.advance(45s);
        const ropeway::pool_health leaking = pools.health().pools[0];
        CHECK(leaking.status == health_status::degraded);
        CHECK(leaking.now.leaks == 1);
        held.take().reset();
        w.time.advance(70s);
        CHECK(pools.health().pools[0].status == health_status::healthy);
        static_cast<void>(pools.stop(5s));
    }
    std::size_t leaks = 0;
    for (const std::string& line : w.written) {
        const nlohmann::json record = parsed(line);
        if (record.value("event", "") == "leak") {
            ++leaks;
            CHECK(std::string{record["message"]}.find(
                      "Potential connection leak detected: connection ") == 0);
            CHECK(std::string{record["site"]}.find("resource_pools_test.cpp:") == 0);
            CHECK(double{record["held_duration_seconds"]} >= 30.0);
            CHECK_FALSE(record.value("stack_trace", "").empty());
        }
    }
    CHECK(leaks == 1);
    const auto said = messages(w.written);
    CHECK(holds(said, "Connection pool health degraded: 1 potential leaks detected in last 60s"));
    CHECK(std::count_if(said.begin(), said.end(), [](const std::string& each) {
              return each.find("returned after all") != std::string::npos;
          }) == 1);
}

TEST_CASE("leases are in the log when they are asked for, else not") {
    for (const bool asked : {true, false}) {
        world w;
        {
            ropeway::logger log{w.log(ropeway::log_level::debug)};
            ropeway::resource_pools pools{log};
            resource_pool_params params = w.params();
            params.observe_leases = asked;
            auto& orders = pools.add<fake_resource>("orders", w.server.maker(), params);
            pools.start();
            for (int i = 0; i != 5; ++i) {
                CHECK(orders.acquire(1s));
            }
            w.time.advance(1s);
            static_cast<void>(pools.stop(5s));
        }
        std::size_t acquired = 0;
        std::size_t released = 0;
        for (const std::string& line : w.written) {
            const nlohmann::json record = parsed(line);
            acquired += record.value("event", "") == "acquired" ? 1U : 0U;
            released += record.value("event", "") == "released" ? 1U : 0U;
        }
        CHECK(acquired == (asked ? 5 : 0));
        CHECK(released == (asked ? 5 : 0));
    }
}

TEST_CASE("who got no connection is in the log, with how long, where and why; a storm is bounded") {
    world w;
    {
        ropeway::logger log{w.log()};
        ropeway::resource_pools pools{log};
        resource_pool_params params = w.params();
        params.max_size = 2;
        auto& orders = pools.add<fake_resource>("orders", w.server.maker(), params);
        pools.start();
        auto one = orders.acquire(1s);
        auto two = orders.acquire(1s);
        CHECK_FALSE(orders.acquire(250ms));
        w.time.advance(11s);
        for (int i = 0; i != 1000; ++i) {
            CHECK_FALSE(orders.acquire(1us));
        }
        one.take().reset();
        two.take().reset();
        static_cast<void>(pools.stop(5s));
    }
    std::vector<nlohmann::json> failed;
    for (const std::string& line : w.written) {
        if (parsed(line).value("event", "") == "acquire failed") {
            failed.push_back(parsed(line));
        }
    }
    REQUIRE_FALSE(failed.empty());
    CHECK(failed.front()["message"] == "No connection after 0.25s, 1 times so far: timeout");
    CHECK(failed.front()["level"] == "warning");
    CHECK(failed.front()["error"] == "timeout");
    CHECK(std::string{failed.front()["site"]}.find("resource_pools_test.cpp:") == 0);
    CHECK(failed.size() > 1);
    CHECK(failed.size() <= 65);
}

TEST_CASE("no password reaches the log, the health or the exception") {
    world w;
    const ropeway::resource_error telltale{
        resource_error_kind::authentication,
        {"28P01"},
        "cannot log in to postgres://app:s3cret@db:5432/x (password=s3cret)"};
    {
        ropeway::logger log{w.log(ropeway::log_level::trace)};
        ropeway::resource_pools pools{log};
        w.server.fail_opens(1000, telltale);
        pools.add<fake_resource>("orders", w.server.maker(), w.params());
        std::string said;
        try {
            pools.start();
        } catch (const ropeway::pool_start_error& error) {
            said = error.what();
        }
        CHECK(said.find("cannot log in to postgres://app:***@db:5432/x") != std::string::npos);
        CHECK(said.find("s3cret") == std::string::npos);
        const std::string health = pools.health_json();
        CHECK(health.find("28P01") != std::string::npos);
        CHECK(health.find("s3cret") == std::string::npos);
    }
    CHECK_FALSE(w.written.empty());
    for (const std::string& line : w.written) {
        CHECK(line.find("s3cret") == std::string::npos);
    }
}

TEST_CASE("the log's file of choice holds one JSON object per line") {
    const temporary_folder folder;
    virtual_time time;
    fake_server server{time};
    ropeway::logging_params to;
    to.file = folder.file("pool.log");
    to.format = ropeway::log_format::json;
    to.level = ropeway::log_level::trace;
    to.rate_burst = 100'000;
    {
        ropeway::logger log{to};
        ropeway::resource_pools pools{log};
        auto& orders = pools.add<fake_resource>("orders \"main\"", server.maker(),
                                                {.min_size = 2, .max_size = 3, .time = &time});
        pools.start();
        auto held = orders.acquire(1s);
        REQUIRE(held);
        server.go_down();
        time.advance(60s);
        server.come_up();
        time.advance(20s);
        static_cast<void>(pools.stop(1s));
    }
    const lines all = lines_of(to.file);
    CHECK(all.size() > 5);
    for (const std::string& line : all) {
        const nlohmann::json record = parsed(line);
        CHECK(record.is_object());
        CHECK(record.value("pool", "") == "orders \"main\"");
    }
}

TEST_CASE("pools have names of their own and are added before the start") {
    world w;
    ropeway::logger log;
    ropeway::resource_pools pools{log};
    pools.add<fake_resource>("orders", w.server.maker(), w.params());
    CHECK_THROWS_AS(pools.add<fake_resource>("orders", w.server.maker(), w.params()),
                    std::invalid_argument);
    CHECK_THROWS_AS(
        pools.add<fake_resource>("wrong", w.server.maker(), {.min_size = 10, .max_size = 5}),
        std::invalid_argument);
    pools.start();
    CHECK_THROWS_AS(pools.add<fake_resource>("late", w.server.maker(), w.params()),
                    std::logic_error);
    CHECK(pools.size() == 1);
    CHECK(pools.stop(1s).size() == 1);
    CHECK(pools.stop(1s).empty());
}

TEST_CASE("a pool is made from its settings, which stand in the log without the password") {
    world w;
    {
        ropeway::runtime rt{small(w.log())};
        ropeway::pool_config config = ropeway::load_pool_config(
            {.environment = {{"DATABASE_URL", "postgres://app:s3cret@db/orders"},
                             {"POOL_MIN_SIZE", "3"},
                             {"POOL_MAX_SIZE", "4"}},
             .settings = {{"name", "orders"}, {"health", "strict_000"}}});
        config.pool.time = &w.time;
        auto& orders = rt.add_pool<fake_resource>(config, w.server.maker());
        rt.start();
        CHECK(orders.snapshot().total == 3);
        auto one = orders.acquire(1s);
        auto two = orders.acquire(1s);
        CHECK(rt.health().status == health_status::unhealthy);
        CHECK(rt.health().pools[0].name == "orders");
        one.take().reset();
        two.take().reset();
        CHECK(rt.stop(5s).clean());
    }
    const auto starting =
        std::find_if(w.written.begin(), w.written.end(), [](const std::string& line) {
            return parsed(line)["message"] == "Connection pool starting";
        });
    REQUIRE(starting != w.written.end());
    const nlohmann::json record = parsed(*starting);
    CHECK(record["min_size"] == 3);
    CHECK(record["max_size"] == 4);
    CHECK(std::string{record["settings"]}.find("postgres://app:***@db/orders") !=
          std::string::npos);
    for (const std::string& line : w.written) {
        CHECK(line.find("s3cret") == std::string::npos);
    }
}

TEST_CASE("the health of all is the worst, each by its own policy, and costs no round trip") {
    world w;
    ropeway::logger log;
    ropeway::resource_pools pools{log};
    auto& strict = pools.add<fake_resource>("strict", w.server.maker(), w.params(),
                                            ropeway::health_presets::strict_000());
    auto& lenient = pools.add<fake_resource>("lenient", w.server.maker(), w.params(),
                                             ropeway::health_presets::liveness_002());
    pools.start();
    CHECK(pools.health().status == health_status::healthy);
    auto one = strict.acquire(1s);
    auto two = strict.acquire(1s);
    auto three = lenient.acquire(1s);
    auto four = lenient.acquire(1s);
    const auto before = w.server.counts();
    const ropeway::runtime_health health = pools.health();
    const auto after = w.server.counts();
    CHECK(before.probes + before.checks == after.probes + after.checks);
    CHECK(health.status == health_status::unhealthy);
    CHECK(health.pools[0].status == health_status::unhealthy);
    CHECK(health.pools[1].status == health_status::healthy);
    CHECK(health.pools[0].now.active == 2);
}

TEST_CASE("health is asked a thousand times a second and more, also while reconnecting") {
    world w;
    ropeway::runtime rt{small({})};
    auto& orders = rt.add_pool<fake_resource>("orders", w.server.maker(), w.params());
    rt.start();
    static_cast<void>(orders.try_acquire());
    w.server.go_down();
    CHECK_FALSE(orders.acquire(10ms));
    // The best of some rounds: the host may be busy.
    double best_rate = 0;
    auto best_p99 = std::chrono::nanoseconds::max();
    for (int round = 0; round != 10 && (best_rate <= 1000 || best_p99 >= 10ms); ++round) {
        ropeway::histogram times;
        const auto begin = std::chrono::steady_clock::now();
        for (int i = 0; i != 100; ++i) {
            const auto from = std::chrono::steady_clock::now();
            const std::string text = rt.health_json();
            times.record(static_cast<std::uint64_t>(
                std::chrono::nanoseconds{std::chrono::steady_clock::now() - from}.count()));
            CHECK_FALSE(text.empty());
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        best_rate = std::max(best_rate, 100 / took.count());
        best_p99 = std::min(best_p99, ropeway::summary_of(times).p99);
    }
    say("health_json: %.0f per second, p99 %.3f ms\n", best_rate,
        std::chrono::duration<double, std::milli>{best_p99}.count());
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(ROPEWAY_COVERAGE)  // which slow it down
    CHECK(best_rate > 1000);
    CHECK(best_p99 < 10ms);
#endif
    const nlohmann::json told = parsed(rt.health_json());
    CHECK(told["status"] != "healthy");
    CHECK(told["pools"][0]["statistics"]["total_connections"] == 0);
    static_cast<void>(rt.stop(1s));
}

TEST_CASE("health of a pool of 20 takes below 5 microseconds; latencies are the JSON's") {
    world w;
    ropeway::logger log;
    ropeway::resource_pools pools{log};
    resource_pool_params params = w.params();
    params.min_size = params.max_size = 20;
    auto& orders = pools.add<fake_resource>("orders", w.server.maker(), params);
    pools.start();
    CHECK(orders.acquire(1s));
    // The best median of some rounds: the host may be busy.
    auto best = std::chrono::nanoseconds::max();
    for (int round = 0; round != 20 && best > 5us; ++round) {
        ropeway::histogram times;
        for (int i = 0; i != 101; ++i) {
            const auto from = std::chrono::steady_clock::now();
            const ropeway::runtime_health now = pools.health();
            times.record(static_cast<std::uint64_t>(
                std::chrono::nanoseconds{std::chrono::steady_clock::now() - from}.count()));
            CHECK(now.pools.size() == 1);
        }
        best = std::min(best, ropeway::summary_of(times).p50);
    }
    say("health of a pool of 20: %.0f ns\n", static_cast<double>(best.count()));
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(ROPEWAY_COVERAGE)  // which slow it down
    CHECK(best <= 5us);
#endif
    CHECK_FALSE(pools.health().pools[0].latencies.has_value());
    const ropeway::runtime_health full = pools.full_health();
    REQUIRE(full.pools[0].latencies.has_value());
    CHECK(full.pools[0].latencies->wait.count == 1);
    CHECK(full.pools[0].latencies->hold.count == 1);
    CHECK(full.pools[0].latencies->create.count == 20);
    const nlohmann::json told = parsed(pools.health_json());
    CHECK(told["pools"][0]["latency_ms"]["wait"]["count"] == 1);
    CHECK(told["pools"][0]["statistics"]["peak_wait_time_ms"].is_number());
}
