// SPDX-License-Identifier: Apache-2.0
//
// One run of everything at once, drawn from the simulation's seed: publishers that fill packets,
// lap their rings and give up; consumers of every policy, order, delivery and execution that are
// slow, throw, and stand still; subscriptions that come, change and go; flips; and a stop, at the
// end or in the middle. Each delivery is held against the model, and so are the reports.
#pragma once

namespace ropeway_test {

/// Operations of the last run on this thread.
struct scenario_counts {
    unsigned publishes = 0;
    unsigned laps = 0;  ///< bursts longer than a ring
    unsigned throws = 0;
    unsigned stalls = 0;
    unsigned flips = 0;
    unsigned joins = 0;
    unsigned leaves = 0;
    unsigned changes = 0;
    unsigned stops = 0;

    [[nodiscard]] unsigned all() const noexcept {
        return publishes + laps + throws + stalls + flips + joins + leaves + changes + stops;
    }
};

/// The body of a simulation.
void run_scenario();
[[nodiscard]] const scenario_counts& counts_of_scenario() noexcept;

}  // namespace ropeway_test
