// SPDX-License-Identifier: Apache-2.0
//
// Ten thousand runs of everything at once, each from a seed of its own, each delivery compared with
// the model.
#include <algorithm>
#include <iostream>

#include <ropeway/dispatcher/simulation.hpp>

#include "ropeway_test.hpp"
#include "scenario.hpp"

namespace simulation = ropeway::simulation;

TEST_CASE("every delivery of every seed is what the model says", "[scenario]") {
    unsigned least = ~0U;
    ropeway_test::scenario_counts sum;
    const auto went = simulation::explore({.seeds = 10'000}, [&] {
        ropeway_test::run_scenario();
        const auto& counts = ropeway_test::counts_of_scenario();
        least = std::min(least, counts.all());
        sum.publishes += counts.publishes;
        sum.laps += counts.laps;
        sum.throws += counts.throws;
        sum.stalls += counts.stalls;
        sum.flips += counts.flips;
        sum.joins += counts.joins;
        sum.leaves += counts.leaves;
        sum.changes += counts.changes;
        sum.stops += counts.stops;
    });
    std::cout << went.text() << "; " << sum.publishes << " events, " << sum.laps << " laps, "
              << sum.throws << " throws, " << sum.stalls << " stalls, " << sum.flips << " flips, "
              << sum.joins << " joins, " << sum.leaves << " leaves, " << sum.changes << " changes, "
              << sum.stops << " stops; least operations of a seed " << least << '\n';
    CHECK(went);
    CHECK(least >= 200);
}
