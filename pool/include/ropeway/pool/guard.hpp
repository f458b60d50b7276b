// SPDX-License-Identifier: Apache-2.0
//
// How much misuse detection a pool pays for. A value; pools switch level at run time (see
// slab.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ropeway {

/// What is detected, and what it costs, per level: table in pool/README.md.
enum class guard_level : std::uint8_t {
    off,      ///< nothing is checked; words are still written, so that a level may be raised later
    guard,    ///< default: generation and state on every put and get; index range; sites
    sampled,  ///< guard, and for one slot in 1024 what `full` does
    full,     ///< whole payload poisoned and verified, quarantine, exact puts, history, stacks
    degenerate,  ///< full, and each get is a real allocation: for ASan and Valgrind
};

[[nodiscard]] constexpr std::string_view to_string(guard_level level) noexcept {
    switch (level) {
        case guard_level::off: return "off";
        case guard_level::guard: return "guard";
        case guard_level::sampled: return "sampled";
        case guard_level::full: return "full";
        case guard_level::degenerate: return "degenerate";
    }
    return "unknown";
}

/// The level of that name, or nothing.
[[nodiscard]] constexpr std::optional<guard_level> parse_guard_level(
    std::string_view text) noexcept {
    for (const auto level : {guard_level::off, guard_level::guard, guard_level::sampled,
                             guard_level::full, guard_level::degenerate}) {
        if (to_string(level) == text) {
            return level;
        }
    }
    return std::nullopt;
}

/// The names of all levels, for messages about a bad one.
inline constexpr std::string_view guard_level_names = "off, guard, sampled, full, degenerate";

}  // namespace ropeway
