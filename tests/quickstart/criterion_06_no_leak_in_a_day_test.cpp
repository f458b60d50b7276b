// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-006: no connection leaks in 24 hours. A day of a service on the virtual clock: callers
// that come and go, ages, idle times, soiled and broken returns, kills and an outage each hour. At
// its end every connection ever opened is accounted for, and the memory in use is what it was after
// the first hour.
#include <malloc.h>

#include <numeric>
#include <random>

#include "quickstart.hpp"

namespace {

using namespace quickstart;
using ropeway::return_state;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool measures_memory = false;
#else
constexpr bool measures_memory = true;
#endif

std::size_t bytes_in_use() { return ::mallinfo2().uordblks; }

struct tally {
    std::uint64_t leases = 0;
    std::uint64_t failures = 0;
    std::uint64_t failures_while_up = 0;
};

class service_day {
  public:
    service_day()
        : pool_(server_.maker(), {.name = "day", .observer = tell(), .time = &time_, .seed = 7}) {}
    void run();

  private:
    ropeway::resource_observer tell() {
        return [this](const ropeway::resource_event& event) {
            opened_told_ += event.kind == ropeway::resource_event_kind::opened ? 1 : 0;
            closed_told_ += event.kind == ropeway::resource_event_kind::closed ? 1 : 0;
        };
    }
    void caller(std::uint64_t seed);
    void hour(unsigned which);
    void check_books(const char* when);

    virtual_time time_{};
    fake_server server_{time_};
    std::uint64_t opened_told_ = 0;
    std::uint64_t closed_told_ = 0;
    fake_pool pool_;
    tally tally_{};
    bool open_for_business_ = true;
    bool up_ = true;
    ropeway::resource_clock_point up_since_{};
    std::mt19937_64 random_{42};
};

void service_day::caller(std::uint64_t seed) {
    std::mt19937_64 random{seed};
    while (open_for_business_) {
        auto got = pool_.acquire(5s);
        if (got) {
            ++tally_.leases;
            static_cast<void>(got->use(std::chrono::milliseconds{random() % 50}));
            if (random() % 20 == 0) {
                got->leave(return_state::dirty);
            } else if (random() % 200 == 0) {
                got->leave(return_state::broken);
            }
        } else {
            ++tally_.failures;
            // Who began to wait in the outage may end in it; nobody else.
            tally_.failures_while_up += up_ && time_.now() - up_since_ > 5s ? 1U : 0U;
        }
        got.held().reset();
        time_.advance(std::chrono::milliseconds{random() % 20'000});
    }
}

void service_day::hour(unsigned which) {
    const auto end = time_.now() + 1h;
    for (int i = 0; i < 10; ++i) {
        time_.advance(std::chrono::seconds{60 + random_() % 200});
        const auto alive = server_.alive();
        if (!alive.empty()) {
            server_.kill(alive[random_() % alive.size()]);
        }
    }
    server_.go_down(which % 2 == 0 ? ropeway::resource_error_kind::unavailable
                                   : ropeway::resource_error_kind::recovering);
    up_ = false;
    time_.advance(std::chrono::seconds{1 + random_() % 120});
    server_.come_up();
    up_ = true;
    up_since_ = time_.now();
    if (which % 6 == 3) {
        pool_.soft_evict();
    }
    time_.advance_to(end);
}

void service_day::check_books(const char* when) {
    INFO(when);
    const auto found = pool_.snapshot();
    const auto counts = server_.counts();
    CHECK(found.total == found.idle + found.active);
    CHECK(found.active == 0);
    CHECK(found.waiting == 0);
    CHECK(found.total >= found.min_size);
    CHECK(counts.open_now == found.total);
    CHECK(counts.alive_now == found.total);
    CHECK(counts.resources_now <= found.max_size);
    CHECK(counts.opened == counts.farewells + counts.drops + counts.open_now);
    CHECK(found.opened == counts.opened);
    CHECK(opened_told_ == counts.opened);
    CHECK(closed_told_ == counts.opened - counts.open_now);
    CHECK(found.acquired == found.released);
    CHECK(found.acquired == tally_.leases);
    CHECK(found.leaks == 0);
    CHECK(pool_.holders().empty());
    CHECK(counts.most_alive <= found.max_size);
}

/// Sanitizers make an hour of it take ten seconds.
constexpr unsigned hours = slower == 1 ? 24 : 3;

void service_day::run() {
    const auto begun = time_.now();
    REQUIRE_FALSE(pool_.start().has_value());
    std::vector<ropeway::testing::virtual_caller> callers;
    for (std::uint64_t i = 0; i < 6; ++i) {
        callers.push_back(time_.call([this, i] { caller(1000 + i); }));
    }
    hour(0);
    const std::size_t first_hour = bytes_in_use();
    for (unsigned i = 1; i < hours; ++i) {
        hour(i);
    }
    const std::size_t last_hour = bytes_in_use();
    open_for_business_ = false;
    for (auto& one : callers) {
        one.finish();
    }
    time_.advance(2min);
    CHECK(time_.now() - begun >= hours * 1h);
    check_books("after a day");
    const auto counts = server_.counts();
    ropeway_test::say(
        "%u h: %llu leases, %llu failed in outages, %llu connections opened, %llu killed; in use "
        "after 1 h %zu bytes, at the end %zu\n",
        hours, static_cast<unsigned long long>(tally_.leases),
        static_cast<unsigned long long>(tally_.failures),
        static_cast<unsigned long long>(counts.opened),
        static_cast<unsigned long long>(counts.kills), first_hour, last_hour);
    CHECK(tally_.failures_while_up == 0);
    CHECK(tally_.leases > hours * 400);
    CHECK(counts.kills > hours * 8);
    if (measures_memory) {
        // What waits, and errors in flight, differ from hour to hour by some hundred bytes.
        CHECK(last_hour <= first_hour + 16'384);
    }
    CHECK(pool_.shutdown(30s).clean());
    CHECK(server_.counts().open_now == 0);
    CHECK(server_.counts().opened == server_.counts().farewells + server_.counts().drops);
    CHECK(server_.misuses() == std::vector<std::string>{});
    CHECK(time_.runaways() == 0);
    CHECK(time_.waits_in_turns() == 0);
}

TEST_CASE("000-SC-006: no connection leaks in 24 hours") {
    service_day day;
    day.run();
}

}  // namespace
