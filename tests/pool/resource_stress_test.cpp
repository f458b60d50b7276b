// SPDX-License-Identifier: Apache-2.0
//
// Many threads against one pool: what went in comes out, nobody is forgotten in the queue, no
// resource is in two hands.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>

#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway_test::made_by;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int share = 10;
#else
constexpr int share = 1;
#endif

ropeway::resource_pool_params params_of(std::uint32_t least, std::uint32_t most) {
    ropeway::resource_pool_params params;
    params.name = "stressed";
    params.min_size = least;
    params.max_size = most;
    params.acquire_timeout = 20s;
    params.quarantine.failures = 0;
    return params;
}

struct outcome {
    std::uint64_t leased = 0;
    std::uint64_t none = 0;
    std::array<std::uint64_t, ropeway::resource_error_kinds> failed{};
};

/// Leases and returns, and now and then breaks what it has, while `goes_on` says so.
template <class GoesOn>
void work_while(scripted_pool& pool, GoesOn goes_on, unsigned seed, outcome& out) {
    std::minstd_rand random(seed);
    while (goes_on()) {
        if (random() % 16 == 0) {
            auto one = pool.try_acquire();
            ++(one ? out.leased : out.none);
            continue;
        }
        auto got = pool.acquire(
            {.timeout = random() % 8 == 0 ? 200us : 20'000'000us, .priority = random() % 8 == 0});
        if (!got) {
            ++out.failed[static_cast<std::size_t>(got.error().kind)];
            continue;
        }
        ++out.leased;
        got->use();
        switch (random() % 64) {
            case 0: got->come_back(ropeway::return_state::dirty); break;
            case 1: got.held().doom(); break;
            case 2: std::this_thread::yield(); break;
            default: break;
        }
    }
}

void work(scripted_pool& pool, int rounds, unsigned seed, outcome& out) {
    work_while(
        pool, [left = rounds]() mutable { return left-- != 0; }, seed, out);
}

outcome sum(const std::vector<outcome>& of) {
    outcome all;
    for (const outcome& each : of) {
        all.leased += each.leased;
        all.none += each.none;
        for (std::size_t i = 0; i != each.failed.size(); ++i) {
            all.failed[i] += each.failed[i];
        }
    }
    return all;
}

std::uint64_t of(const outcome& out, ropeway::resource_error_kind kind) {
    return out.failed[static_cast<std::size_t>(kind)];
}

/// Does to a pool what is done to pools, each of four kinds equally often, in any order.
class disturber {
  public:
    disturber(scripted_pool& pool, scripted_end& end, unsigned seed)
        : pool_(pool), end_(end), random_(seed) {}

    void once() {
        if (at_ == order_.size()) {
            at_ = 0;
        }
        if (at_ == 0) {
            std::shuffle(order_.begin(), order_.end(), random_);
        }
        const std::size_t kind = order_[at_++];
        switch (kind) {
            case 0: ++end_.epoch; break;
            case 1: {
                const auto most = static_cast<std::uint32_t>(random_() % 8 + 1);
                pool_.resize(std::min(2U, most), most);
                break;
            }
            case 2: pool_.soft_evict(); break;
            default:
                pool_.suspend();
                std::this_thread::yield();
                pool_.resume();
                break;
        }
        ++done[kind];
    }
    std::array<int, 4> done{};  ///< how often each: kill, resize, eviction, suspension

  private:
    scripted_pool& pool_;
    scripted_end& end_;
    std::minstd_rand random_;
    std::array<std::size_t, 12> order_{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
    std::size_t at_ = 0;
};

}  // namespace

TEST_CASE("leases in and out agree, and each wait ends, however few slots there are") {
    for (const std::uint32_t most : {1U, 2U, 5U}) {
        scripted_end end;
        scripted_pool pool(made_by(end), params_of(1, most));
        REQUIRE_FALSE(pool.start().has_value());
        constexpr int threads = 8;
        const int rounds = 20'000 / share;
        std::vector<outcome> outs(threads);
        std::vector<std::thread> all;
        for (unsigned i = 0; i != threads; ++i) {
            all.emplace_back([&, i] { work(pool, rounds, i + 1, outs[i]); });
        }
        for (auto& each : all) {
            each.join();
        }
        const outcome got = sum(outs);
        const auto now = pool.snapshot();
        CHECK(now.acquired == got.leased);
        CHECK(now.released == got.leased);
        CHECK(now.timeouts == of(got, ropeway::resource_error_kind::timeout));
        CHECK(now.waiting == 0);
        CHECK(pool.times().hold.count() == got.leased);
        CHECK(static_cast<std::uint32_t>(end.most_alive) <= most);
        CHECK(end.shared == 0);
        CHECK(pool.shutdown(5s).clean());
        CHECK(end.alive == 0);
    }
}

TEST_CASE("a pool that grows step by step under load makes each resource once") {
    for (unsigned run = 0; run != 100U / share; ++run) {
        scripted_end end;
        scripted_pool pool(made_by(end), params_of(1, 1));
        REQUIRE_FALSE(pool.start().has_value());
        std::vector<outcome> outs(2);
        std::vector<std::thread> all;
        for (unsigned i = 0; i != outs.size(); ++i) {
            all.emplace_back([&, i] { work(pool, 200, 2 * run + i + 1, outs[i]); });
        }
        constexpr std::uint32_t last = 24;
        for (std::uint32_t most = 2; most <= last; ++most) {
            pool.resize(most, most);
            std::this_thread::yield();
        }
        for (auto& each : all) {
            each.join();
        }
        const auto patience = std::chrono::steady_clock::now() + 20s;
        while (pool.snapshot().idle != last && std::chrono::steady_clock::now() < patience) {
            std::this_thread::yield();
        }
        CHECK(pool.snapshot().idle == last);
        CHECK(static_cast<std::uint32_t>(end.alive) == last);
        CHECK(pool.shutdown(5s).clean());
        CHECK(end.alive == 0);
    }
}

TEST_CASE("kills, resizes, evictions and suspensions lose no lease and no waiter") {
    const unsigned seed = std::random_device{}();
    ropeway_test::say("seed %u\n", seed);
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(2, 6));
    REQUIRE_FALSE(pool.start().has_value());
    std::vector<outcome> outs(6);
    std::vector<std::thread> all;
    std::atomic<bool> ended{false};
    for (unsigned i = 0; i != outs.size(); ++i) {
        all.emplace_back([&, i] {
            // Relaxed: only ends the loop; the join publishes the outcome.
            work_while(
                pool, [&] { return !ended.load(std::memory_order_relaxed); }, seed + i, outs[i]);
        });
    }
    disturber disturbs(pool, end, seed);
    bool wrong = false;
    // Between two disturbances the workers get on, however slow the machine is.
    const auto work_goes_on = [&] {
        const auto before = pool.snapshot().acquired;
        const auto patience = std::chrono::steady_clock::now() + 20s;
        for (;;) {
            const auto now = pool.snapshot();
            wrong = wrong || now.total != now.idle + now.active || now.acquired < now.released ||
                    now.peak_active < now.active;
            if (now.acquired >= before + 20) {
                return true;
            }
            if (std::chrono::steady_clock::now() > patience) {
                return false;
            }
            std::this_thread::yield();
        }
    };
    bool stuck = false;
    for (int i = 0; i != 600 / share && !stuck; ++i) {
        disturbs.once();
        stuck = !work_goes_on();
    }
    ended.store(true, std::memory_order_relaxed);
    for (auto& each : all) {
        each.join();
    }
    CHECK_FALSE(stuck);
    CHECK_FALSE(wrong);
    for (const int times : disturbs.done) {
        CHECK(times >= 50 / share);
    }
    const outcome got = sum(outs);
    const auto now = pool.snapshot();
    CHECK(now.acquired == got.leased);
    CHECK(now.released == got.leased);
    CHECK(now.waiting == 0);
    CHECK(end.shared == 0);
    CHECK(end.most_alive <= 8);
    CHECK(got.leased > 0);
    CHECK(of(got, ropeway::resource_error_kind::closed) == 0);
    CHECK(of(got, ropeway::resource_error_kind::queue_full) == 0);
    CHECK(pool.shutdown(5s).clean());
    CHECK(end.alive == 0);
}

TEST_CASE("a shutdown under load ends every wait and every lease comes back") {
    for (int turn = 0; turn != 5; ++turn) {
        scripted_end end;
        scripted_pool pool(made_by(end), params_of(1, 2));
        REQUIRE_FALSE(pool.start().has_value());
        std::vector<outcome> outs(6);
        std::vector<std::thread> all;
        for (unsigned i = 0; i != outs.size(); ++i) {
            all.emplace_back([&, i] {
                const auto& closed =
                    outs[i].failed[static_cast<std::size_t>(ropeway::resource_error_kind::closed)];
                work_while(
                    pool, [&] { return closed == 0; }, i + 1, outs[i]);
            });
        }
        while (pool.snapshot().acquired < 500) {
            std::this_thread::yield();
        }
        const auto report = pool.shutdown(5s);
        CHECK(report.clean());
        for (auto& each : all) {
            each.join();
        }
        const auto now = pool.snapshot();
        CHECK(now.acquired == now.released);
        const outcome got = sum(outs);
        CHECK(now.acquired == got.leased);
        // Each worker was at it when the pool closed.
        CHECK(of(got, ropeway::resource_error_kind::closed) == outs.size());
        CHECK(now.waiting == 0);
        CHECK(end.alive == 0);
        CHECK(end.shared == 0);
    }
}

TEST_CASE("a thousand threads come, lease and go") {
    scripted_end end;
    scripted_pool pool(made_by(end), params_of(2, 10));
    REQUIRE_FALSE(pool.start().has_value());
    std::atomic<int> leased{0};
    constexpr int waves = 20;
    constexpr int wave = 50;
    for (int i = 0; i != waves; ++i) {
        std::vector<std::thread> all;
        for (int k = 0; k != wave; ++k) {
            all.emplace_back([&] {
                auto got = pool.acquire(20s);
                if (got) {
                    got->use();
                    ++leased;
                }
            });
        }
        for (auto& each : all) {
            each.join();
        }
    }
    CHECK(leased == waves * wave);
    CHECK(pool.snapshot().released == static_cast<std::uint64_t>(waves * wave));
    CHECK(end.shared == 0);
    CHECK(end.most_alive <= 10);
    CHECK(pool.shutdown(5s).clean());
}
