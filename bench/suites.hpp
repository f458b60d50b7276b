// SPDX-License-Identifier: Apache-2.0
//
// The suites, one function each: measures, checks and returns its rows. Run one at a time; each
// starts and joins its own threads.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "row.hpp"

namespace ropeway::bench {

/// How long to measure.
struct plan {
    unsigned rounds = 9;   ///< of ours and the reference in turn
    unsigned divisor = 1;  ///< of the events per round
};

[[nodiscard]] std::vector<row> run_recycle(const plan& how);
[[nodiscard]] std::vector<row> run_fanout(const plan& how);
[[nodiscard]] std::vector<row> run_publish(const plan& how);
[[nodiscard]] std::vector<row> run_latency_suite(const plan& how);
[[nodiscard]] std::vector<row> run_isolation(const plan& how);
[[nodiscard]] std::vector<row> run_efficiency(const plan& how);
[[nodiscard]] std::vector<row> run_dbpool(const plan& how);
[[nodiscard]] std::vector<row> run_dbload(const plan& how);

struct suite {
    std::string_view name;
    std::vector<row> (*run)(const plan&);
};
inline constexpr std::array suites{
    suite{"recycle", &run_recycle},     suite{"fanout", &run_fanout},
    suite{"publish", &run_publish},     suite{"latency", &run_latency_suite},
    suite{"isolation", &run_isolation}, suite{"efficiency", &run_efficiency},
    suite{"dbpool", &run_dbpool},       suite{"dbload", &run_dbload}};

/// Shows on stderr, when that is a terminal, what is being measured.
void show_progress(std::string_view what, unsigned round, unsigned rounds);

}  // namespace ropeway::bench
