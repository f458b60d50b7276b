// SPDX-License-Identifier: Apache-2.0
//
// The simulation itself: same seed, same run; virtual time; what counts as a failure.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ropeway/dispatcher/simulation.hpp>

#include "ropeway_test.hpp"

namespace simulation = ropeway::simulation;
using namespace std::chrono_literals;

namespace {

/// Two threads that write their names at each of their points.
std::string interleaved(std::uint64_t seed) {
    std::string out;
    const auto went = simulation::run({.seed = seed}, [&] {
        simulation::thread other{[&] {
            for (int i = 0; i < 50; ++i) {
                out += 'b';
                simulation::point();
            }
        }};
        for (int i = 0; i < 50; ++i) {
            out += 'a';
            simulation::point();
        }
        other.join();
    });
    return went ? out : went.text();
}

}  // namespace

TEST_CASE("a seed runs the same way each time, and others run otherwise") {
    std::vector<std::string> seen;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        const std::string once = interleaved(seed);
        CHECK(interleaved(seed) == once);
        seen.push_back(once);
    }
    std::sort(seen.begin(), seen.end());
    CHECK(std::unique(seen.begin(), seen.end()) - seen.begin() > 20);
}

TEST_CASE("simulations run at once, on a system thread each, and do not disturb each other") {
    std::array<std::vector<std::string>, 2> seen;
    std::array<std::thread, 2> both;
    for (std::size_t i = 0; i < both.size(); ++i) {
        both[i] = std::thread{[&mine = seen[i]] {
            for (std::uint64_t seed = 1; seed <= 200; ++seed) {
                mine.push_back(interleaved(seed));
            }
        }};
    }
    for (std::thread& one : both) {
        one.join();
    }
    CHECK(seen[0] == seen[1]);
}

TEST_CASE("time is virtual, and passes in order") {
    const auto begin = std::chrono::steady_clock::now();
    const auto went = simulation::run({}, [] {
        std::string order;
        simulation::thread late{[&] {
            simulation::pass(2h);
            order += "late";
        }};
        simulation::thread early{[&] {
            simulation::pass(10min);
            order += "early ";
        }};
        late.join();
        early.join();
        simulation::check(order == "early late", order);
        simulation::check(simulation::now() >= 2h && simulation::now() < 3h, "two hours");
    });
    CHECK(went);
    CHECK(went.virtually >= 2h);
    CHECK(std::chrono::steady_clock::now() - begin < 30s);
}

TEST_CASE("failures end the run with their reason") {
    const auto failed = [](auto body) {
        return simulation::run({.seed = 7, .most_points = 10'000}, body);
    };
    auto went = failed([] { simulation::check(false, "as expected"); });
    CHECK_FALSE(went);
    CHECK(went.failure == "as expected");
    CHECK(went.text() == "seed 7: as expected (again: ROPEWAY_SEED=7)");
    went = failed([] { throw std::runtime_error{"thrown"}; });
    CHECK(went.failure == "an exception left a thread: thrown");
    went = failed([] {
        for (;;) {
            simulation::point();
        }
    });
    CHECK_THAT(went.failure, Catch::StartsWith("no end after 10"));
    went = failed([] {
        ropeway::detail::mutex twice;
        twice.lock();
        twice.lock();
    });
    CHECK(went.failure == "deadlock: nobody can go on; thread 0 waits for a lock");
    went = failed([] { static_cast<void>(simulation::run({}, [] {})); });
    CHECK_THAT(went.failure, Catch::Contains("inside of a simulation"));
}

TEST_CASE("an exception that is caught in one thread does not disturb another's") {
    const auto went = simulation::explore({.seeds = 200}, [] {
        const auto throws = [](int mine) {
            for (int i = 0; i < 20; ++i) {
                try {
                    simulation::point();
                    throw mine;
                } catch (int caught) {
                    simulation::point();
                    simulation::check(caught == mine, "another's exception");
                    try {
                        throw std::runtime_error{std::to_string(mine)};
                    } catch (const std::runtime_error& inner) {
                        simulation::point();
                        simulation::check(inner.what() == std::to_string(mine), "another's");
                    }
                    simulation::check(std::uncaught_exceptions() == 0, "none in flight");
                }
            }
        };
        simulation::thread other{[&] { throws(1); }};
        throws(2);
        other.join();
    });
    CHECK(went);
}

TEST_CASE("an exploration stops at the first seed that fails, and ROPEWAY_SEED runs it alone") {
    const auto fails_at = [](std::uint64_t seed) {
        return [seed] { simulation::check(simulation::seed() != seed, "this one"); };
    };
    unsetenv("ROPEWAY_SEED");  // instrumented builds run fewer seeds
    auto went = simulation::explore({.first_seed = 10, .seeds = 50}, fails_at(25));
    CHECK_FALSE(went);
    CHECK(went.seed == 25);
    CHECK(went.runs == 16);
    setenv("ROPEWAY_SEED", "25", 1);
    went = simulation::explore({.seeds = 50}, fails_at(25));
    CHECK(went.runs == 1);
    CHECK(went.failure == "this one");
    setenv("ROPEWAY_SEED", "20..30", 1);
    went = simulation::explore({.seeds = 2}, fails_at(25));
    CHECK(went.seed == 25);
    CHECK(went.runs == 6);
    for (const char* const wrong : {"x", "1..", "3..2", "1.2", "-1", "5 "}) {
        setenv("ROPEWAY_SEED", wrong, 1);
        CHECK_THROWS_WITH(simulation::explore({}, [] {}),
                          Catch::Contains(std::string{"\""} + wrong + "\""));
    }
    unsetenv("ROPEWAY_SEED");
}
