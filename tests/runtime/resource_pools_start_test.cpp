// SPDX-License-Identifier: Apache-2.0
//
// Starts that fail, starts that are one too many, and how the time of a stop is shared out.
#include <ropeway/runtime/resource_pools.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "pools_test_support.hpp"

using namespace ropeway_test;

namespace {

/// The world's clock, whose I/O thread cannot be made: no more threads, no more descriptors.
class threadless_time final : public ropeway::resource_time {
  public:
    explicit threadless_time(virtual_time& of) noexcept : of_(of) {}
    ropeway::resource_clock_point now() noexcept override { return of_.now(); }
    void start(ropeway::resource_loop&, std::string_view) override {
        throw std::system_error{std::make_error_code(std::errc::resource_unavailable_try_again)};
    }
    void stop(ropeway::resource_loop&) noexcept override {}
    void wake(ropeway::resource_loop&) noexcept override {}
    void wait(std::atomic<std::uint32_t>&, std::uint32_t,
              ropeway::resource_clock_point) noexcept override {}
    void notify(std::atomic<std::uint32_t>&) noexcept override {}
    short poll(int, short, ropeway::resource_clock_point) noexcept override { return 0; }

  private:
    virtual_time& of_;
};

/// An observer of failures whose copy fails once `armed`, as one without memory would.
struct uncopied {
    explicit uncopied(std::shared_ptr<bool> when) : armed(std::move(when)) {}
    uncopied(const uncopied& from) : armed(from.armed) {
        if (*armed) {
            throw std::bad_alloc{};
        }
    }
    uncopied(uncopied&&) noexcept = default;
    uncopied& operator=(const uncopied&) = delete;
    uncopied& operator=(uncopied&&) = delete;
    ~uncopied() = default;
    void operator()(const ropeway::failure_record&) const {}
    std::shared_ptr<bool> armed;
};

}  // namespace

TEST_CASE("a second start is refused and leaves the running pools alone") {
    world w;
    {
        ropeway::runtime rt{small(w.log())};
        resource_pool<fake_resource>& orders =
            rt.add_pool<fake_resource>("orders", w.server.maker(), w.params());
        rt.start();
        CHECK_THROWS_AS(rt.start(), std::logic_error);
        CHECK(orders.snapshot().total == 2);
        CHECK(orders.acquire(1s));
        CHECK(rt.stop(5s).pools.size() == 1);
        CHECK_THROWS_AS(rt.start(), std::logic_error);
    }
    const auto said = messages(w.written);
    CHECK_FALSE(holds(said, "Connection pool did not start"));
    CHECK(std::count(said.begin(), said.end(), "runtime started") == 1);
}

TEST_CASE("a start that ends by any exception stops the pools that had started") {
    world w;
    SECTION("the next pool's thread cannot be made") {
        threadless_time none{w.time};
        ropeway::runtime rt{small({})};
        rt.add_pool<fake_resource>("first", w.server.maker(), w.params());
        resource_pool_params second = w.params();
        second.time = &none;
        rt.add_pool<fake_resource>("second", w.server.maker(), second);
        CHECK_THROWS_AS(rt.start(), std::system_error);
        CHECK(w.server.counts().opened == 2);
        CHECK(w.server.counts().open_now == 0);
        CHECK(rt.stop(1s).pools.empty());
    }
    SECTION("what carries failures cannot be made") {
        const auto armed = std::make_shared<bool>(false);
        ropeway::runtime_params params = small({});
        params.on_failure = uncopied{armed};
        ropeway::runtime rt{std::move(params)};
        rt.add_pool<fake_resource>("first", w.server.maker(), w.params());
        *armed = true;
        CHECK_THROWS_AS(rt.start(), std::bad_alloc);
        *armed = false;
        CHECK(w.server.counts().opened == 2);
        CHECK(w.server.counts().open_now == 0);
    }
}

TEST_CASE("with many pools the first to stop still has half of the time for its leases") {
    world w;
    ropeway::logger log;
    ropeway::resource_pools pools{log};
    resource_pool_params params = w.params();
    params.min_size = 1;
    resource_pool<fake_resource>* last = nullptr;
    for (int i = 0; i != 21; ++i) {
        last = &pools.add<fake_resource>(std::to_string(i), w.server.maker(), params);
    }
    pools.start();
    auto held = last->acquire(1s);
    REQUIRE(held);
    const auto before = w.time.now();
    const auto reports = pools.stop(1s);
    // The deadline is on the real clock: as much again is for a host that is busy.
    CHECK(w.time.now() - before >= 250ms);
    REQUIRE(reports.size() == 21);
    CHECK(reports[0].forced.size() == 1);
    CHECK(std::all_of(reports.begin() + 1, reports.end(),
                      [](const auto& each) { return each.clean() && each.closed == 1; }));
}
