// SPDX-License-Identifier: Apache-2.0
//
// One run of the soak: builds the dispatcher, its consumers and senders, lets them run, stops them
// and judges. run() blocks its thread; `interrupted` may be set by a signal handler.
#pragma once

#include <atomic>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "accounting.hpp"
#include "fault_plan.hpp"
#include "input.hpp"
#include "options.hpp"
#include "verdict.hpp"

namespace ropeway::soak {

struct scenario {
    options wanted{};
    std::optional<replay_facts> replay{};  ///< of wanted.replay, by inspect_replay()
    fault_plan planted{};                  ///< tests only
};

struct run_result {
    verdict result{};
    std::vector<consumer_counts> consumers{};
    std::vector<std::string> violations{};  ///< the first reports, as text
};

/// Runs to the end, or until `interrupted`; then stops in order and judges what there is.
/// Status lines go to `status` (null: none). Throws usage_error when the dispatcher refuses the
/// parameters or the host allows too few threads.
[[nodiscard]] run_result run(const scenario& what, std::FILE* status,
                             const std::atomic<bool>& interrupted);

/// A line per consumer for people.
[[nodiscard]] std::string consumer_table(const run_result& of);

}  // namespace ropeway::soak
