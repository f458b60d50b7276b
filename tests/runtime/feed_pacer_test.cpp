// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed_pacer.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include <ropeway_test.hpp>

using namespace ropeway;
using namespace std::chrono_literals;

namespace {

/// Time that moves only when somebody waits.
class manual_clock final : public pacing_clock {
  public:
    std::int64_t now_ns() noexcept override { return now; }
    void sleep(std::chrono::nanoseconds time) noexcept override {
        now += time.count() + oversleep;
        ++sleeps;
        longest_sleep = std::max(longest_sleep, time);
        if (stop_after > 0 && sleeps == stop_after && stop != nullptr) {
            // relaxed: same thread
            stop->store(true, std::memory_order_relaxed);
        }
    }
    void spin() noexcept override {
        now += 100;
        ++spins;
    }

    std::int64_t now = 5'000;
    std::int64_t oversleep = 0;
    int sleeps = 0;
    int spins = 0;
    int stop_after = 0;
    std::atomic<bool>* stop = nullptr;
    std::chrono::nanoseconds longest_sleep{0};
};

constexpr std::int64_t first_stamp = 1'700'000'000'000'000'000;

}  // namespace

TEST_CASE("the first event is due at once, and the others as long after it as they were recorded") {
    manual_clock clock;
    const std::atomic<bool> stop{false};
    replay_pacer pacer({}, clock);
    REQUIRE(pacer.wait_until(first_stamp, stop));
    CHECK(clock.now == 5'000);
    REQUIRE(pacer.wait_until(first_stamp + 30'000'000, stop));
    CHECK(pacer.due_ns() == 30'005'000);
    CHECK(clock.now >= 30'005'000);
    CHECK(clock.now < 30'005'000 + 100);
    CHECK(clock.longest_sleep == 10ms);
    CHECK(clock.spins > 0);
    CHECK(pacer.lateness_ns() < 100);
}

TEST_CASE("a factor stretches and squeezes the recorded time") {
    for (const double speed : {0.5, 1.0, 2.0, 10.0}) {
        manual_clock clock;
        const std::atomic<bool> stop{false};
        replay_pacer pacer({.speed = speed}, clock);
        REQUIRE(pacer.wait_until(first_stamp, stop));
        REQUIRE(pacer.wait_until(first_stamp + 1'000'000'000, stop));
        CHECK(pacer.due_ns() == 5'000 + static_cast<std::int64_t>(1e9 / speed));
    }
}

TEST_CASE("at full speed nothing is waited for, and a speed that makes no sense is full speed") {
    for (const double speed : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
        manual_clock clock;
        const std::atomic<bool> stop{false};
        replay_pacer pacer({.speed = speed}, clock);
        for (std::int64_t i = 0; i < 100; ++i) {
            REQUIRE(pacer.wait_until(first_stamp + i * 1'000'000'000, stop));
        }
        CHECK(clock.sleeps + clock.spins == 0);
    }
}

TEST_CASE("an event that comes late delays no later one") {
    manual_clock clock;
    const std::atomic<bool> stop{false};
    replay_pacer pacer({}, clock);
    REQUIRE(pacer.wait_until(first_stamp, stop));
    clock.now += 2'000'000;  // a slow publish
    REQUIRE(pacer.wait_until(first_stamp + 500'000, stop));
    CHECK(pacer.lateness_ns() == 1'500'000);
    REQUIRE(pacer.wait_until(first_stamp + 3'000'000, stop));
    CHECK(pacer.due_ns() == 3'005'000);
    CHECK(pacer.lateness_ns() < 100);
    CHECK(pacer.max_lateness_ns() == 1'500'000);
}

TEST_CASE("due times do not fall where the recorded clock stands still or steps back") {
    manual_clock clock;
    const std::atomic<bool> stop{false};
    replay_pacer pacer({}, clock);
    std::int64_t latest = 0;
    for (const std::int64_t offset : {0, 1000, 1000, 400, -700, 1000, 2000}) {
        REQUIRE(pacer.wait_until(first_stamp + offset, stop));
        CHECK(pacer.due_ns() >= latest);
        latest = pacer.due_ns();
    }
    CHECK(latest == 7'000);
}

TEST_CASE("the stop flag ends a wait within one slice") {
    manual_clock clock;
    std::atomic<bool> stop{false};
    clock.stop = &stop;
    clock.stop_after = 3;
    replay_pacer pacer({.max_slice = 5ms}, clock);
    REQUIRE(pacer.wait_until(first_stamp, stop));
    CHECK_FALSE(pacer.wait_until(first_stamp + 3'600'000'000'000, stop));
    CHECK(clock.sleeps == 3);
    CHECK(clock.now == 5'000 + 15'000'000);
    CHECK_FALSE(pacer.wait_until(first_stamp, stop));
    CHECK(clock.sleeps == 3);
}

TEST_CASE("a sleep that overshoots is made good by the spinning that ends every wait") {
    manual_clock clock;
    clock.oversleep = 60'000;
    const std::atomic<bool> stop{false};
    replay_pacer pacer({}, clock);
    REQUIRE(pacer.wait_until(first_stamp, stop));
    for (std::int64_t i = 1; i <= 20; ++i) {
        REQUIRE(pacer.wait_until(first_stamp + i * 1'000'000, stop));
        CHECK(pacer.lateness_ns() < 100);
    }
}

TEST_CASE("stamps as far apart as they can be do not overflow") {
    manual_clock clock;
    std::atomic<bool> stop{false};
    clock.stop = &stop;
    clock.stop_after = 2;
    replay_pacer pacer({.speed = 0.001}, clock);
    REQUIRE(pacer.wait_until(std::numeric_limits<std::int64_t>::min(), stop));
    CHECK_FALSE(pacer.wait_until(std::numeric_limits<std::int64_t>::max(), stop));
    CHECK(pacer.due_ns() == std::numeric_limits<std::int64_t>::max());
}

TEST_CASE("a restart makes the next stamp due at once, for a file played again") {
    manual_clock clock;
    const std::atomic<bool> stop{false};
    replay_pacer pacer({}, clock);
    REQUIRE(pacer.wait_until(first_stamp, stop));
    REQUIRE(pacer.wait_until(first_stamp + 1'000'000, stop));
    const auto end = clock.now;
    pacer.restart();
    REQUIRE(pacer.wait_until(first_stamp, stop));
    CHECK(clock.now == end);
    REQUIRE(pacer.wait_until(first_stamp + 1'000'000, stop));
    CHECK(pacer.due_ns() == end + 1'000'000);
}

TEST_CASE("the real clock is waited for") {
    auto& clock = steady_pacing_clock();
    const std::atomic<bool> stop{false};
    replay_pacer pacer({.speed = 2.0}, clock);
    const auto begin = clock.now_ns();
    REQUIRE(pacer.wait_until(first_stamp, stop));
    REQUIRE(pacer.wait_until(first_stamp + 4'000'000, stop));
    CHECK(clock.now_ns() - begin >= 2'000'000);
}
