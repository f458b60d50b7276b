// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <system_error>

namespace ropeway::soak {

namespace {

constexpr std::uint32_t max_consumers = 64;
constexpr std::uint32_t min_capacity = 16;
constexpr std::uint32_t max_capacity = 1U << 20U;

[[noreturn]] void refuse(std::string_view flag, std::string_view value, std::string_view remedy) {
    std::string text{flag};
    text += ' ';
    text += value.empty() ? std::string_view{"''"} : value;
    text += ": ";
    text += remedy;
    throw usage_error(text);
}

template <class Number>
[[nodiscard]] Number number(std::string_view flag, std::string_view text, Number low, Number high,
                            std::string_view remedy) {
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool good = error == std::errc{} && end == text.data() + text.size();
    if constexpr (std::is_floating_point_v<Number>) {
        good = good && std::isfinite(value);
    }
    if (!good || value < low || value > high) {
        refuse(flag, text, remedy);
    }
    return value;
}

/// "max" is 0: as fast as it goes.
[[nodiscard]] double pace(std::string_view flag, std::string_view text, double high,
                          std::string_view remedy) {
    return text == "max" ? 0.0 : number<double>(flag, text, 1e-6, high, remedy);
}

[[nodiscard]] guard_level guard_named(std::string_view text) {
    const auto level = parse_guard_level(text);
    if (!level) {
        refuse("--guard", text, "use one of: " + std::string{guard_level_names} + ".");
    }
    return *level;
}

[[nodiscard]] executor_kind executor_named(std::string_view text) {
    if (text == "arena") {
        return executor_kind::arena;
    }
    if (text == "threads") {
        return executor_kind::threads;
    }
    refuse("--executor", text, "use arena (oneTBB) or threads (own threads).");
}

[[nodiscard]] std::uint32_t capacity_of(std::string_view text) {
    constexpr std::string_view remedy =
        "the capacity of a ring is a power of two from 16 to 1048576, for example 1024.";
    const auto value =
        number<std::uint32_t>("--capacity", text, min_capacity, max_capacity, remedy);
    if (!std::has_single_bit(value)) {
        refuse("--capacity", text, remedy);
    }
    return value;
}

void set_run(options& out, std::string_view flag, std::string_view value) {
    if (flag == "--seconds") {
        out.seconds = number<double>(flag, value, 0.1, 31'536'000.0,
                                     "give a number of seconds from 0.1 to 31536000.");
    } else if (flag == "--events") {
        out.events = number<std::uint64_t>(flag, value, 1, 1'000'000'000'000U,
                                           "give a number of events from 1 to 1000000000000.");
    } else if (flag == "--rate") {
        out.rate = pace(flag, value, 1e9, "give events per second, up to 1000000000, or max.");
    } else if (flag == "--speed") {
        out.speed = pace(flag, value, 1e6,
                         "give a factor of the recorded speed, up to 1000000 (1 = as recorded), "
                         "or max.");
    } else if (flag == "--replay") {
        if (value.empty()) {
            refuse(flag, value, "give a market data file (events .csv, .csv.gz or .pcap).");
        }
        out.replay = value;
    } else if (flag == "--seed") {
        out.seed = number<std::uint64_t>(flag, value, 0, ~std::uint64_t{0},
                                         "give a whole number from 0 to 18446744073709551615.");
    } else if (flag == "--verdict") {
        if (value.empty()) {
            refuse(flag, value, "give the name of the JSON file to write.");
        }
        out.verdict = value;
    }
}

void set_load(options& out, std::string_view flag, std::string_view value) {
    if (flag == "--consumers") {
        out.consumers = number<std::uint32_t>(flag, value, 1, max_consumers,
                                              "give a number of consumers from 1 to 64.");
    } else if (flag == "--throw-percent") {
        out.throw_percent = number<double>(flag, value, 0.0, 100.0, "give a percentage, 0 to 100.");
    } else if (flag == "--slow") {
        out.slow = number<std::uint32_t>(flag, value, 0, max_consumers,
                                         "give a number of slow consumers from 0 to 64.");
    } else if (flag == "--flips-per-second") {
        out.flips_per_second =
            number<double>(flag, value, 0.0, 1000.0, "give flips per second, 0 to 1000.");
    } else if (flag == "--guard") {
        out.guard = guard_named(value);
    } else if (flag == "--workers") {
        out.workers =
            number<unsigned>(flag, value, 1, 256, "give a number of workers from 1 to 256.");
    } else if (flag == "--executor") {
        out.executor = executor_named(value);
    } else if (flag == "--capacity") {
        out.capacity = capacity_of(value);
    }
}

constexpr std::array<std::string_view, 7> run_flags{"--seconds", "--events", "--rate",   "--speed",
                                                    "--replay",  "--seed",   "--verdict"};
constexpr std::array<std::string_view, 8> load_flags{
    "--consumers", "--throw-percent", "--slow",     "--flips-per-second",
    "--guard",     "--workers",       "--executor", "--capacity"};
constexpr std::array<std::string_view, 4> later_flags{"--database", "--simulate", "--report",
                                                      "--scenario"};

template <std::size_t N>
[[nodiscard]] bool holds(const std::array<std::string_view, N>& list, std::string_view what) {
    for (const std::string_view each : list) {
        if (each == what) {
            return true;
        }
    }
    return false;
}

/// What single values cannot say.
void check_together(const options& out) {
    if (out.seconds && out.events) {
        throw usage_error("--seconds and --events both end the run: give one of them.");
    }
    if (out.slow > out.consumers) {
        refuse("--slow", std::to_string(out.slow),
               "there are only " + std::to_string(out.consumers) +
                   " consumers; give at most as many, or raise --consumers.");
    }
    if (out.speed && out.replay.empty()) {
        throw usage_error("--speed is the speed of a replay: add --replay FILE, or use --rate.");
    }
    if (out.speed && out.rate) {
        throw usage_error("--speed and --rate both set the pace of a replay: give one of them.");
    }
}

}  // namespace

std::string_view to_string(executor_kind kind) noexcept {
    return kind == executor_kind::arena ? "arena" : "threads";
}

options parse(std::span<const char* const> arguments) {
    options out;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view word = arguments[i];
        const std::size_t equals = word.substr(0, 2) == "--" ? word.find('=') : word.npos;
        const std::string_view flag = word.substr(0, equals);
        if (flag == "--help" || flag == "-h") {
            out.help = true;
            return out;
        }
        if (holds(later_flags, flag)) {
            throw usage_error(std::string{flag} +
                              " is not there yet; leave it out (--help lists what is).");
        }
        const bool run_flag = holds(run_flags, flag);
        if (!run_flag && !holds(load_flags, flag)) {
            throw usage_error("unknown argument '" + std::string{word} +
                              "'; --help lists what there is.");
        }
        if (equals == word.npos && i + 1 == arguments.size()) {
            throw usage_error(std::string{flag} + " needs a value; see --help.");
        }
        const std::string_view value =
            equals == word.npos ? std::string_view{arguments[++i]} : word.substr(equals + 1);
        run_flag ? set_run(out, flag, value) : set_load(out, flag, value);
    }
    check_together(out);
    return out;
}

std::string_view help_text() noexcept {
    return R"(usage: ropeway-soak [OPTIONS]

Publishes market data bursts with execution reports, control events and routing flips inside, checks
every delivery by counts of its own, and gives a verdict. Exit: 0 pass, 1 fail, 2 bad usage.

how long (default: 20 seconds; a replay ends with its file)
  --seconds N             length in seconds
  --events N              ends after N events
what is published
  --rate EV_PER_S|max     over all publishers (default 50000)
  --replay FILE           market data file (events .csv, .csv.gz or .pcap) instead of generated bursts
  --speed FACTOR|max      of a replay: times the recorded speed (default 20)
  --seed S                of generated feeds and of what throws (default 1)
  --flips-per-second R    raises the routing version (default 1; 0 = never)
who consumes
  --consumers N           1 to 64 (default 10)
  --throw-percent P       share of its events on which the first consumer throws (default 10)
  --slow N                slow consumers, which lose market data (drop_oldest) (default 1)
how it runs
  --workers N             default: one for each slow consumer and one for the others, two at least
  --executor arena|threads  oneTBB (default) or own threads
  --capacity N            slots of each ring, a power of two (default 1024)
  --guard LEVEL           off, guard, sampled (default), full, degenerate
result
  --verdict FILE          writes the verdict as JSON
)";
}

}  // namespace ropeway::soak
