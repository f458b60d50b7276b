// SPDX-License-Identifier: Apache-2.0
//
// The soak's command line: what a user may set, and the parser that refuses everything else with
// the value and the remedy in the message. Plain values; no file is touched here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <ropeway/pool/guard.hpp>

namespace ropeway::soak {

/// Bad usage: the message names the flag, its value and the remedy. The program exits 2.
class usage_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// Where the dispatcher's workers run.
enum class executor_kind : std::uint8_t { arena, threads };
[[nodiscard]] std::string_view to_string(executor_kind kind) noexcept;

/// What one run does. Defaults are the main job: 20 s of generated bursts.
struct options {
    std::optional<double> seconds{};        ///< length; default 20 unless events or a replay end it
    std::optional<std::uint64_t> events{};  ///< ends after as many events, over all publishers
    std::uint32_t consumers = 10;           ///< 1..64; the first throws, the last ones are slow
    std::optional<double> rate{};           ///< events per second over all publishers; 0 = max
    std::string replay{};                   ///< a market data file; empty = generated bursts
    std::optional<double> speed{};          ///< times the recorded speed; 0 = max
    double throw_percent = 10.0;            ///< of its events, 0..100, by the first consumer
    std::uint32_t slow = 1;                 ///< slow consumers (drop_oldest), 0..consumers
    double flips_per_second = 1.0;          ///< 0..1000; 0 = the routing version stays
    guard_level guard = guard_level::sampled;
    std::uint64_t seed = 1;  ///< of feeds and throws
    std::string verdict{};   ///< JSON file; empty = none
    unsigned workers = 0;    ///< 0 = default_workers()
    executor_kind executor = executor_kind::arena;
    std::uint32_t capacity = 1024;  ///< slots of each ring, a power of two, 16..2^20
    bool help = false;

    /// Events per second of generated bursts when --rate is not given.
    static constexpr double default_rate = 50'000.0;
    /// Times the recorded speed of a replay when neither --speed nor --rate is given.
    static constexpr double default_speed = 20.0;
    static constexpr double default_seconds = 20.0;

    /// The workers that run: those asked for, or one for each slow consumer (a sleeping handler
    /// holds its worker) and one for all others, two at least.
    [[nodiscard]] unsigned effective_workers() const noexcept {
        return workers != 0 ? workers : (slow == 0 ? 2U : slow + 1U);
    }
};

/// Reads the arguments after the program's name: `--flag value` or `--flag=value`.
/// Throws usage_error.
[[nodiscard]] options parse(std::span<const char* const> arguments);

/// The text of --help.
[[nodiscard]] std::string_view help_text() noexcept;

}  // namespace ropeway::soak
