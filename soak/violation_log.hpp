// SPDX-License-Identifier: Apache-2.0
//
// Keeps the first violations of a run for its report. While it lives it is the process's violation
// handler; take() is for when workers have ended. Any thread reports; nothing is allocated then.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ropeway/pool/violation.hpp>

namespace ropeway::soak {

/// Violations by what the verdict calls them.
struct violation_totals {
    std::uint64_t double_puts = 0;
    std::uint64_t use_after_puts = 0;
    std::uint64_t write_after_puts = 0;
    std::uint64_t other = 0;  ///< but leaks, which slots_outstanding counts
    [[nodiscard]] std::uint64_t total() const noexcept {
        return double_puts + use_after_puts + write_after_puts + other;
    }
};

class violation_log {
  public:
    violation_log() noexcept;
    violation_log(const violation_log&) = delete;
    violation_log& operator=(const violation_log&) = delete;
    ~violation_log();

    /// Since construction. Any thread.
    [[nodiscard]] violation_totals totals() const noexcept;
    /// The first reports as text.
    [[nodiscard]] std::vector<std::string> texts() const;

  private:
    static constexpr std::size_t kept = 8;

    static void on_violation(const violation& what, void* context) noexcept;
    [[nodiscard]] static violation_totals process_totals() noexcept;

    violation_totals before_;
    std::array<violation, kept> first_{};
    std::array<std::atomic<bool>, kept> filled_{};
    std::atomic<std::size_t> next_{0};
};

}  // namespace ropeway::soak
