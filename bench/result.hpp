// SPDX-License-Identifier: Apache-2.0
//
// Rows for people and for programs. Free functions, one thread.
#pragma once

#include <span>
#include <string>

#include "host.hpp"
#include "row.hpp"

namespace ropeway::bench {

/// Two lines.
[[nodiscard]] std::string to_text(const host_facts& host);
/// A line per row, the faults below it.
[[nodiscard]] std::string to_table(std::span<const row> rows);
/// A line per row that timed single events, the tail first; empty when there is none.
[[nodiscard]] std::string to_percentiles(std::span<const row> rows);
/// HdrHistogram's text of a row's distribution, in microseconds, as its plotters read it.
[[nodiscard]] std::string to_hgrm(const row& one);
/// Keys: schema, host, rows[{id, suite, case, consumers, metric, value, unit, reference,
/// reference_value, ratio{median, min, max}, reach, ok, faults}]; value and reference_value are
/// medians, reach is null where none is asked for. Rows that timed single events have also
/// percentiles{p50, p90, p99, p999, max}, ns.
[[nodiscard]] std::string to_json(const host_facts& host, std::span<const row> rows);

}  // namespace ropeway::bench
