// SPDX-License-Identifier: Apache-2.0
//
// Texts of settings: how one becomes a value, how a value is written, and which name was meant.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <stdexcept>

#include "pool_settings.hpp"

namespace ropeway::detail {
namespace {

std::string lowered(std::string_view text) {
    std::string low{text};
    std::transform(low.begin(), low.end(), low.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return low;
}

std::string_view trimmed(std::string_view text) noexcept {
    constexpr std::string_view blanks = " \t\r\n";
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// What a message shows of a value: one short line.
std::string shown(std::string_view text) {
    constexpr std::size_t longest = 64;
    std::string line{text.substr(0, longest)};
    std::replace_if(
        line.begin(), line.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
    return text.size() > longest ? line.append("...") : line;
}

std::string refused(std::string_view key, std::string_view value, std::string_view demand,
                    std::string_view suggestion) {
    std::string text{key};
    text.append(" (").append(value).append(") must be ").append(demand);
    return text.append(". Suggestion: ").append(suggestion);
}

std::optional<std::int64_t> whole_number(std::string_view text) noexcept {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

/// Seconds as milliseconds; what is finer is cut off.
std::optional<std::int64_t> time_ms(std::string_view text) noexcept {
    // from_chars would take "inf" and "nan".
    if (text.find_first_not_of("+-.0123456789") != std::string_view::npos) {
        return std::nullopt;
    }
    double seconds = 0.0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
    if (error != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    // The product of a decimal and 1000 may lie just below the whole number that was meant.
    const double ms = std::floor(seconds * 1000.0 + 1e-6);
    if (std::abs(ms) > 9e15) {
        return std::nullopt;
    }
    return static_cast<std::int64_t>(ms);
}

bool in_range(const number_setting& setting, std::int64_t value) noexcept {
    return (setting.or_zero && value == 0) || (value >= setting.low && value <= setting.high);
}

std::optional<std::string> apply_number(pool_config& config, const number_setting& setting,
                                        std::string_view text) {
    const bool is_count = setting.unit == number_unit::count;
    const auto value = is_count ? whole_number(text) : time_ms(text);
    if (!value || !in_range(setting, *value)) {
        std::string demand = value ? "" : is_count ? "a whole number " : "a number of seconds, ";
        return refused(setting.key, shown(text), demand.append(setting.range), setting.suggestion);
    }
    setting.set(config, *value);
    return std::nullopt;
}

std::optional<std::string> apply_choice(pool_config& config, const choice_setting& setting,
                                        std::string_view text) {
    const auto found = std::find(setting.names.begin(), setting.names.end(), lowered(text));
    if (found == setting.names.end()) {
        std::string demand = "one of ";
        for (const std::string_view name : setting.names) {
            demand.append(name == setting.names.front() ? "" : ", ").append(name);
        }
        return refused(setting.key, shown(text), demand, setting.suggestion);
    }
    setting.set(config, static_cast<std::size_t>(found - setting.names.begin()));
    return std::nullopt;
}

std::optional<std::string> apply_url(pool_config& config, std::string_view text) {
    try {
        config.database = database_kind_of(text);
    } catch (const std::invalid_argument& problem) {
        return problem.what();
    }
    config.database_url = text;
    return std::nullopt;
}

std::optional<std::string> apply_name(pool_config& config, std::string_view text) {
    if (text.empty() || text.size() > 64) {
        return refused("name", "\"" + shown(text) + "\"", "a text of 1 to 64 bytes",
                       "Set POOL_NAME to what the pool is for; logs and reports show it");
    }
    config.pool.name = text;
    return std::nullopt;
}

/// No key is longer.
constexpr std::size_t longest_key = 63;

/// How far a name is from a key: a letter that it lacks counts 1, for people leave words out; one
/// that the key does not have counts 5, and a replaced one as both.
std::size_t distance(std::string_view name, std::string_view key) noexcept {
    key = key.substr(0, longest_key);
    std::array<std::size_t, longest_key + 1> row{};
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (const char letter : name) {
        std::size_t diagonal = row[0];
        row[0] += 5;
        for (std::size_t i = 0; i != key.size(); ++i) {
            const std::size_t replaced = diagonal + (letter == key[i] ? 0 : 6);
            diagonal = row[i + 1];
            row[i + 1] = std::min({replaced, row[i + 1] + 5, row[i] + 1});
        }
    }
    return row[key.size()];
}

}  // namespace

std::string variable_of(std::string_view key) {
    std::string name = key == "database_url" ? "" : "POOL_";
    for (const char c : key) {
        name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return name;
}

std::string nearest_key(std::string_view name) {
    std::string wanted = lowered(name.substr(0, 100));
    if (wanted.starts_with("pool_")) {
        wanted.erase(0, 5);
    }
    const std::vector<std::string_view>& keys = setting_keys();
    return std::string{*std::min_element(
        keys.begin(), keys.end(), [&](std::string_view left, std::string_view right) {
            return distance(wanted, left) < distance(wanted, right);
        })};
}

std::string nearest_variable(std::string_view name) { return variable_of(nearest_key(name)); }

std::optional<std::string> apply_setting(pool_config& config, std::string_view key,
                                         std::string_view text) {
    text = trimmed(text);
    if (key == "database_url") {
        return apply_url(config, text);
    }
    if (key == "name") {
        return apply_name(config, text);
    }
    for (const number_setting& setting : number_settings()) {
        if (setting.key == key) {
            return apply_number(config, setting, text);
        }
    }
    for (const choice_setting& setting : choice_settings()) {
        if (setting.key == key) {
            return apply_choice(config, setting, text);
        }
    }
    return refused(key, shown(text), "a setting that exists", "Use " + nearest_key(key));
}

std::string value_text(const number_setting& setting, std::int64_t value) {
    if (setting.unit == number_unit::count) {
        return std::to_string(value);
    }
    std::array<char, 40> text{};
    std::snprintf(text.data(), text.size(), "%.15g", static_cast<double>(value) / 1000.0);
    return text.data();
}

std::optional<std::string> problem_of(const number_setting& setting, const pool_config& config) {
    const std::int64_t value = setting.get(config);
    if (in_range(setting, value)) {
        return std::nullopt;
    }
    return refused(setting.key, value_text(setting, value), setting.range, setting.suggestion);
}

}  // namespace ropeway::detail
