// SPDX-License-Identifier: Apache-2.0
//
// The line that tells how a run goes: redrawn five times a second on a terminal, one plain line
// each ten seconds otherwise. One thread; the text is made by a pure function.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

namespace ropeway::soak {

struct status_facts {
    double progress = 0.0;                ///< 0..1
    std::optional<double> eta_seconds{};  ///< unknown at the very start
    double events_per_second = 0.0;       ///< since the last line
    std::uint64_t events = 0;
    std::uint64_t in_flight = 0;  ///< in rings and duplicates
    std::uint64_t rss_bytes = 0;
    std::uint64_t failures = 0;  ///< handlers that threw
    std::uint64_t violations = 0;
};

[[nodiscard]] std::string status_text(const status_facts& facts);

class status_line {
  public:
    /// Writes to `out`; on a terminal it keeps to one line.
    explicit status_line(std::FILE* out);
    /// True when it is time for the next line.
    [[nodiscard]] bool due(std::chrono::steady_clock::time_point now) const noexcept;
    void show(const status_facts& facts, std::chrono::steady_clock::time_point now);
    /// Ends the line on a terminal.
    void finish();

  private:
    std::FILE* out_;
    bool terminal_;
    bool open_ = false;
    std::chrono::steady_clock::time_point next_;
};

}  // namespace ropeway::soak
