// SPDX-License-Identifier: Apache-2.0
//
// The wake on the idle-to-busy edge: a publish that finds every worker gone gets one going, whoever
// publishes at the same time. A lost wake-up ends a bounded wait.
#include <array>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

/// Pauses drawn from [0, most); one thread each.
class random_pause {
  public:
    random_pause(std::uint64_t seed, std::chrono::nanoseconds most) noexcept
        : state_(seed), most_(static_cast<std::uint64_t>(most.count()) + 1) {}
    void operator()() noexcept {
        state_ ^= state_ << 13U;
        state_ ^= state_ >> 7U;
        state_ ^= state_ << 17U;
        const auto until = std::chrono::steady_clock::now() +
                           std::chrono::nanoseconds{static_cast<std::int64_t>(state_ % most_)};
        while (std::chrono::steady_clock::now() < until) {
            ropeway::spin_pause();
        }
    }

  private:
    std::uint64_t state_;
    std::uint64_t most_;
};

}  // namespace

TEST_CASE("each publish to a dispatcher whose workers all left wakes one", "[stress]") {
    const bool own_threads = under_tsan || GENERATE(false, true);
    auto params = small_dispatcher(2, own_threads);
    params.workers.linger = 0ns;
    ropeway::dispatcher<market_event> d{params};
    tally got;
    auto a = d.subscribe("a", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto feed = d.publisher("feed");
    d.start();
    const std::uint64_t rounds = scaled(3000);
    for (std::uint64_t i = 1; i <= rounds; ++i) {
        REQUIRE(eventually([&] { return d.stats().workers_awake == 0; }));
        REQUIRE(send(feed, i % 2 == 0 ? event_kind::trade : event_kind::execution_report));
        REQUIRE(got.reached(i));
    }
    // Nearly each: a worker that is just leaving may see the event itself and stay.
    CHECK(d.stats().wakes > rounds / 2);
    CHECK(d.stop(30s).clean());
    CHECK(got.get() == rounds);
}

TEST_CASE("two publishers that meet an idle dispatcher at once lose no wake-up", "[stress]") {
    const bool own_threads = under_tsan || GENERATE(false, true);
    const auto linger = GENERATE(0ns, 5'000ns, 50'000ns);
    auto params = small_dispatcher(2, own_threads);
    params.workers.linger = linger;
    ropeway::dispatcher<market_event> d{params};
    tally got;
    auto a = d.subscribe("a", overflow::block, {}, [&](const market_event&) { got.add(); });
    auto b = d.subscribe("b", overflow::drop_oldest, {.delivery = ropeway::in_place},
                         [&](const market_event&) { got.add(); });
    std::array feeds{d.publisher("one", rings_of(64)), d.publisher("two", rings_of(64))};
    d.start();
    // The pauses reach past the linger, so that publishes fall before, into and after a leaving.
    const auto most = 2 * linger + 20us;
    const std::uint64_t rounds = scaled(5'000);
    std::atomic<std::uint64_t> round{0};
    tally refused;
    std::thread other{[&] {
        random_pause pause{0x9e3779b97f4a7c15U, most};
        for (std::uint64_t i = 1; i <= rounds; ++i) {
            std::uint64_t now = 0;
            while ((now = round.load(std::memory_order_acquire)) < i) {
                round.wait(now, std::memory_order_acquire);
            }
            pause();
            refused.add(send(feeds[1], event_kind::trade) ? 0U : 1U);
        }
    }};
    random_pause pause{88172645463325252U, most};
    bool lost = false;
    for (std::uint64_t i = 1; i <= rounds; ++i) {
        round.store(i, std::memory_order_release);
        round.notify_one();
        pause();
        refused.add(send(feeds[0], event_kind::execution_report) ? 0U : 1U);
        lost = lost || !got.reached(4 * i);
    }
    other.join();
    CHECK_FALSE(lost);
    CHECK(refused.get() == 0);
    const auto wakes = d.stats().wakes;
    INFO("linger " << linger.count() << " ns, " << wakes << " wake-ups in " << rounds << " rounds");
    CHECK(wakes > rounds / 20);  // the edge was met: the workers did leave
    CHECK(d.stop(30s).clean());
    CHECK(got.get() == 4 * rounds);
}
