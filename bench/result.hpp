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
/// Keys: schema, host, rows[{id, suite, case, consumers, metric, value, unit, reference,
/// reference_value, ratio{median, min, max}, reach, ok, faults}]; value and reference_value are
/// medians, reach is null where none is asked for.
[[nodiscard]] std::string to_json(const host_facts& host, std::span<const row> rows);

}  // namespace ropeway::bench
