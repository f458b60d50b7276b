// SPDX-License-Identifier: Apache-2.0
//
// One measured row: ours and its reference, a pair of values per round. Plain values, owned by
// whoever holds them; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/pool/histogram.hpp>

namespace ropeway::bench {

/// Middle, least and greatest of some numbers.
struct spread {
    double median = 0;
    double min = 0;
    double max = 0;
};

/// Of an empty list all three are 0.
[[nodiscard]] spread spread_of(std::vector<double> values);

/// Whether a larger or a smaller value is the better one.
enum class better : std::uint8_t { higher, lower };

/// A row of the table and of the JSON file.
struct row {
    std::string id{};     ///< stable: what compares runs
    std::string suite{};  ///< its suite's name
    std::string what{};   ///< guard, delivery, executor: what was on
    unsigned consumers = 0;
    std::string metric{};
    std::string unit{};
    std::string reference{};  ///< what it is measured against
    better direction = better::higher;
    std::optional<double> reach{};           ///< of the ratio's median; none: only shown
    std::vector<double> values{};            ///< per round
    std::vector<double> reference_values{};  ///< per round, measured right beside `values`
    /// There is no reference: the value itself is held against the reach.
    bool absolute = false;
    /// Of an absolute time: the best round is held against the reach, because the worst is the
    /// machine's.
    bool best_counts = false;
    /// Why nothing was measured: what the machine lacks. Empty otherwise.
    std::string skipped{};
    histogram times{};  ///< of single events, ns, where the row is about them
    /// Wrong counts, order or checksums; any makes the program exit 1.
    std::vector<std::string> faults{};

    /// value / reference of each round: what both suffered alike cancels out. Of an absolute row
    /// the values themselves.
    [[nodiscard]] spread ratio() const;
    /// No fault, and the ratio is within reach where one is asked for.
    [[nodiscard]] bool ok() const;
};

/// What the rows of one suite have in common. The texts outlive it.
struct row_defaults {
    std::string_view suite;
    std::string_view conditions{};  ///< comes after each row's own `what`
    std::string_view metric{};
    std::string_view unit{};
    better direction = better::higher;

    /// `own`, of this suite. One that names no metric is of the suite's, in its unit and direction.
    [[nodiscard]] row with(row own) const;
};

}  // namespace ropeway::bench
