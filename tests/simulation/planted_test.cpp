// SPDX-License-Identifier: Apache-2.0
//
// Bugs planted into the dispatcher, one protocol step each: every one of them is found within the
// seeds that the scenario test runs, and the seed that found it finds it again.
#include <array>
#include <iostream>
#include <string_view>
#include <utility>

#include <ropeway/dispatcher/simulation.hpp>

#include "ropeway_test.hpp"
#include "scenario.hpp"

namespace simulation = ropeway::simulation;
using ropeway::detail::planted_bug;

namespace {

constexpr std::array all{
    std::pair{planted_bug::no_last_look, "a worker leaves without a last look"},
    std::pair{planted_bug::wake_before_tail, "a publish looks for sleepers before its tail is out"},
    std::pair{planted_bug::no_pin, "a range is copied without a pin"},
    std::pair{planted_bug::claim_by_store, "a contended range is taken by a store"},
    std::pair{planted_bug::pins_overlooked, "a pinned place is written"},
    std::pair{planted_bug::limbo_overlooked, "a pinned slot comes out of limbo"},
    std::pair{planted_bug::join_without_look, "a subscription joins without a second look"},
    std::pair{planted_bug::old_version, "a handler is held to the version before"},
    std::pair{planted_bug::cell_before_bit, "a conflation cell is emptied before its bit"},
    std::pair{planted_bug::kept_after_ring, "kept events go after the ring's"},
    std::pair{planted_bug::backlog_drops, "a full backlog drops"},
    std::pair{planted_bug::leftovers_forgotten, "leftovers of an inbox are forgotten"},
    std::pair{planted_bug::early_drained, "a drain ends early"},
    std::pair{planted_bug::newest_decides, "a drain drops what was folded behind its cut"},
    std::pair{planted_bug::stale_place, "a place seen before the taking is not asked again"},
};

}  // namespace

TEST_CASE("every planted bug is found, and its seed finds it again", "[planted]") {
    for (const auto& [bug, name] : all) {
        INFO(name);
        simulation::plant(bug);
        const auto found = simulation::explore({.seeds = 10'000, .most_points = 3'000'000},
                                               [] { ropeway_test::run_scenario(); });
        std::cout << name << ": " << found.runs << " seeds, " << found.text() << std::endl;
        CHECK_FALSE(found);
        if (!found) {
            const auto again = simulation::run({.seed = found.seed, .most_points = 3'000'000},
                                               [] { ropeway_test::run_scenario(); });
            CHECK(again.failure == found.failure);
            CHECK(again.trace == found.trace);
        }
        simulation::plant(planted_bug::none);
    }
}
