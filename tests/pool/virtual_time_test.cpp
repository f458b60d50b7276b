// SPDX-License-Identifier: Apache-2.0
//
// The virtual clock by itself: turns at their times, callers in the order of their waits, and what
// it does about loops that come to no rest.
#include <ropeway/pool/testing/virtual_time.hpp>

#include <ropeway_test.hpp>

#include <stdexcept>
#include <string>
#include <vector>

#include <sys/eventfd.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using ropeway::resource_clock_point;
using ropeway::testing::virtual_time;

/// Notes the times of its turns; asks for the next after `period`.
class ticking_loop final : public ropeway::resource_loop {
  public:
    ticking_loop(virtual_time& time, std::chrono::nanoseconds period)
        : time_(time), start_(time.now()), period_(period) {}
    interest turn() noexcept override {
        ran_at.push_back(time_.now() - start_);
        for (pollfd& one : fds) {
            readable += one.revents != 0 ? 1 : 0;
            eventfd_t value = 0;
            static_cast<void>(::eventfd_read(one.fd, &value));
        }
        return {.fds = fds,
                .next = period_.count() == 0 ? resource_clock_point::max() : time_.now() + period_};
    }
    std::vector<std::chrono::nanoseconds> ran_at{};
    std::vector<pollfd> fds{};
    int readable = 0;

  private:
    virtual_time& time_;
    resource_clock_point start_;
    std::chrono::nanoseconds period_;
};

TEST_CASE("turns run at their due times while time advances, and never otherwise") {
    virtual_time time;
    ticking_loop loop{time, 10ms};
    time.start(loop, "ticks");
    CHECK(loop.ran_at.empty());
    time.advance(25ms);
    CHECK(loop.ran_at == std::vector<std::chrono::nanoseconds>{0ms, 10ms, 20ms});
    time.wake(loop);
    time.settle();
    CHECK(loop.ran_at.back() == 25ms);
    time.stop(loop);
    time.advance(1h);
    CHECK(loop.ran_at.size() == 4);
    CHECK(time.turns() == 4);
}

TEST_CASE("a wait of the driving thread runs the loops and ends at its deadline") {
    virtual_time time;
    ticking_loop loop{time, 10ms};
    time.start(loop, "ticks");
    std::atomic<std::uint32_t> word{0};
    const auto before = time.now();
    time.wait(word, 0, before + 35ms);
    CHECK(time.now() - before == 35ms);
    CHECK(loop.ran_at.size() == 4);
    time.wait(word, 1, before + 10h);
    CHECK(time.now() - before == 35ms);
    time.stop(loop);
}

TEST_CASE(
    "callers wait side by side and go on in the order of their deadlines and of their waits") {
    virtual_time time;
    std::atomic<std::uint32_t> word{0};
    std::vector<std::string> order;
    const auto begun = time.now();
    const auto wait_until = [&](std::chrono::nanoseconds at, const char* name) {
        return [&time, &word, &order, begun, at, name] {
            // acquire: as a waiter reads its word
            while (time.now() < begun + at && word.load(std::memory_order_acquire) == 0) {
                time.wait(word, 0, begun + at);
            }
            order.emplace_back(name);
        };
    };
    auto late = time.call(wait_until(30ms, "late"));
    auto soon = time.call(wait_until(10ms, "soon"));
    auto first = time.call(wait_until(1h, "first"));
    auto second = time.call(wait_until(1h, "second"));
    CHECK(order.empty());
    time.advance(30ms);
    CHECK(order == std::vector<std::string>{"soon", "late"});
    word = 1;
    time.settle();
    CHECK(order == std::vector<std::string>{"soon", "late", "first", "second"});
    CHECK(late.ended());
    CHECK(soon.ended());
    CHECK(first.ended());
    CHECK(second.ended());
    CHECK(time.now() - begun == 30ms);
}

TEST_CASE("a caller that advances waits that long, and finish() brings it and what it threw") {
    virtual_time time;
    const auto begun = time.now();
    auto caller = time.call([&] {
        time.advance(2s);
        throw std::runtime_error{"two seconds later"};
    });
    CHECK_FALSE(caller.ended());
    CHECK_THROWS_WITH(caller.finish(), "two seconds later");
    CHECK(caller.ended());
    CHECK(time.now() - begun == 2s);
}

TEST_CASE("a readable descriptor makes a turn due, and ends a poll") {
    virtual_time time;
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(fd >= 0);
    ticking_loop loop{time, 0ms};
    loop.fds.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    time.start(loop, "ticks");
    time.settle();
    CHECK(loop.ran_at.size() == 1);
    CHECK(::eventfd_write(fd, 1) == 0);
    time.settle();
    CHECK(loop.ran_at.size() == 2);
    CHECK(loop.readable == 1);
    const auto before = time.now();
    CHECK(time.poll(fd, POLLIN, before + 5ms) == 0);
    CHECK(time.now() == before + 5ms);
    time.stop(loop);
    CHECK(::eventfd_write(fd, 1) == 0);
    CHECK(time.poll(fd, POLLIN, before + 1h) == POLLIN);
    CHECK(time.now() == before + 5ms);
    ::close(fd);
}

TEST_CASE("a loop that is always due is counted as a runaway, and time goes on") {
    class restless final : public ropeway::resource_loop {
      public:
        explicit restless(virtual_time& time) : time_(time) {}
        interest turn() noexcept override {
            time_.wake(*this);
            return {.fds = {}, .next = time_.now()};
        }

      private:
        virtual_time& time_;
    };
    virtual_time time;
    restless loop{time};
    time.start(loop, "restless");
    time.advance(2ms);
    CHECK(time.runaways() >= 1);
    time.stop(loop);
}

}  // namespace
