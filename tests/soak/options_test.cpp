// SPDX-License-Identifier: Apache-2.0
#include <ropeway_test.hpp>

#include <string>
#include <vector>

#include "options.hpp"

using namespace ropeway::soak;

namespace {

[[nodiscard]] options parsed(const std::vector<const char*>& words) { return parse(words); }

/// The message of the refusal; empty when it was taken.
[[nodiscard]] std::string refusal(const std::vector<const char*>& words) {
    try {
        static_cast<void>(parse(words));
    } catch (const usage_error& error) {
        return error.what();
    }
    return {};
}

}  // namespace

TEST_CASE("No argument is the main job") {
    const options o = parsed({});
    CHECK(o.consumers == 10);
    CHECK(o.slow == 1);
    CHECK(o.throw_percent == 10.0);
    CHECK(o.flips_per_second == 1.0);
    CHECK(o.guard == ropeway::guard_level::sampled);
    CHECK(o.effective_workers() == 2);
    CHECK_FALSE(o.seconds);
    CHECK_FALSE(o.events);
}

TEST_CASE("Every flag is read, with a space or an equals sign") {
    const options o = parsed({"--events",
                              "1000",
                              "--consumers=3",
                              "--rate",
                              "max",
                              "--slow",
                              "0",
                              "--throw-percent",
                              "2.5",
                              "--flips-per-second=10",
                              "--guard",
                              "full",
                              "--seed",
                              "42",
                              "--verdict",
                              "v.json",
                              "--workers",
                              "4",
                              "--executor",
                              "threads",
                              "--capacity",
                              "4096"});
    CHECK(o.events == 1000);
    CHECK(o.consumers == 3);
    CHECK(o.rate == 0.0);
    CHECK(o.slow == 0);
    CHECK(o.throw_percent == 2.5);
    CHECK(o.flips_per_second == 10.0);
    CHECK(o.guard == ropeway::guard_level::full);
    CHECK(o.seed == 42);
    CHECK(o.verdict == "v.json");
    CHECK(o.effective_workers() == 4);
    CHECK(o.executor == executor_kind::threads);
    CHECK(o.capacity == 4096);
    const options r = parsed({"--replay", "f.csv", "--speed", "max", "--seconds", "1.5"});
    CHECK(r.replay == "f.csv");
    CHECK(r.speed == 0.0);
    CHECK(r.seconds == 1.5);
    CHECK(parsed({"--help"}).help);
}

TEST_CASE("A refusal names the value and the remedy") {
    CHECK(refusal({"--consumers", "0"}) ==
          "--consumers 0: give a number of consumers from 1 to 64.");
    CHECK(refusal({"--consumers", "65"}) ==
          "--consumers 65: give a number of consumers from 1 to 64.");
    CHECK(refusal({"--capacity", "1000"}) ==
          "--capacity 1000: the capacity of a ring is a power of two from 16 to 1048576, for "
          "example 1024.");
    CHECK(refusal({"--capacity", "8"}).find("--capacity 8: ") == 0);
    CHECK(refusal({"--seconds", "ten"}) ==
          "--seconds ten: give a number of seconds from 0.1 to 31536000.");
    CHECK(refusal({"--seconds", "-1"}).find("--seconds -1: ") == 0);
    CHECK(refusal({"--seconds", "nan"}).find("--seconds nan: ") == 0);
    CHECK(refusal({"--seconds", "5s"}).find("--seconds 5s: ") == 0);
    CHECK(refusal({"--events", "0"}).find("--events 0: ") == 0);
    CHECK(refusal({"--events", "1e6"}).find("--events 1e6: ") == 0);
    CHECK(refusal({"--events", "99999999999999999999"}).find("--events 9999") == 0);
    CHECK(refusal({"--rate", "0"}).find("--rate 0: ") == 0);
    CHECK(refusal({"--rate", "fast"}) ==
          "--rate fast: give events per second, up to 1000000000, or max.");
    CHECK(refusal({"--guard", "paranoid"}) ==
          "--guard paranoid: use one of: off, guard, sampled, full, degenerate.");
    CHECK(refusal({"--executor", "fibers"}) ==
          "--executor fibers: use arena (oneTBB) or threads (own threads).");
    CHECK(refusal({"--throw-percent", "101"}) ==
          "--throw-percent 101: give a percentage, 0 to 100.");
    CHECK(refusal({"--replay", ""}).find("--replay '': ") == 0);
    CHECK(refusal({"--verdict="}).find("--verdict '': ") == 0);
    CHECK(refusal({"--workers", "0"}).find("--workers 0: ") == 0);
    CHECK(refusal({"--seed", "-3"}).find("--seed -3: ") == 0);
}

TEST_CASE("What does not go together is refused") {
    CHECK(refusal({"--seconds", "1", "--events", "5"}) ==
          "--seconds and --events both end the run: give one of them.");
    CHECK(refusal({"--slow", "11"}) ==
          "--slow 11: there are only 10 consumers; give at most as many, or raise --consumers.");
    CHECK(refusal({"--consumers", "3", "--slow", "3"}).empty());
    CHECK(refusal({"--speed", "2"}).find("add --replay FILE") != std::string::npos);
    CHECK(refusal({"--replay", "f", "--speed", "2", "--rate", "max"}).find("give one of them") !=
          std::string::npos);
}

TEST_CASE("Unknown and later flags are refused") {
    CHECK(refusal({"--consumer", "3"}) ==
          "unknown argument '--consumer'; --help lists what there is.");
    CHECK(refusal({"fast"}) == "unknown argument 'fast'; --help lists what there is.");
    CHECK(refusal({"--seconds"}) == "--seconds needs a value; see --help.");
    for (const char* flag : {"--database", "--simulate", "--report", "--scenario"}) {
        CHECK(refusal({flag, "x"}) ==
              std::string{flag} + " is not there yet; leave it out (--help lists what is).");
    }
}
