// SPDX-License-Identifier: Apache-2.0
//
// The table of a pool's settings: each one's key, form, range and place in a pool_config. Private
// to the runtime. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/runtime/pool_config.hpp>

namespace ropeway::detail {

enum class number_unit : std::uint8_t { count, time };

/// A whole number, or a time written in seconds and kept in milliseconds.
struct number_setting {
    std::string_view key;
    number_unit unit;
    std::int64_t low;
    std::int64_t high;
    bool or_zero;
    std::string_view range;       ///< follows "must be "
    std::string_view suggestion;  ///< a sentence without its full stop
    std::int64_t (*get)(const pool_config&);
    void (*set)(pool_config&, std::int64_t);
};

/// One of some words.
struct choice_setting {
    std::string_view key;
    std::span<const std::string_view> names;
    std::string_view suggestion;
    /// Index into names.
    void (*set)(pool_config&, std::size_t);
    /// Null where the words stand for more than one field.
    std::size_t (*get)(const pool_config&);
};

[[nodiscard]] std::span<const number_setting> number_settings() noexcept;
[[nodiscard]] std::span<const choice_setting> choice_settings() noexcept;
/// All of them, texts (name, database_url) included.
[[nodiscard]] const std::vector<std::string_view>& setting_keys();

/// "POOL_MAX_SIZE"; "DATABASE_URL".
[[nodiscard]] std::string variable_of(std::string_view key);
/// The key or variable of `known` that `name` was most likely meant to be.
[[nodiscard]] std::string nearest_variable(std::string_view name);
[[nodiscard]] std::string nearest_key(std::string_view name);

/// Puts a text into its field. @return why not. Requires an existing key.
[[nodiscard]] std::optional<std::string> apply_setting(pool_config& config, std::string_view key,
                                                       std::string_view text);

/// A field out of range, or nothing.
[[nodiscard]] std::optional<std::string> problem_of(const number_setting& setting,
                                                    const pool_config& config);
/// As it is written in a source.
[[nodiscard]] std::string value_text(const number_setting& setting, std::int64_t value);

/// One setting as a source gave it.
struct given_setting {
    std::string key;
    std::string text;
    std::string origin;
};
/// What a source gave, and what of it is refused before its values are looked at.
struct given_settings {
    std::vector<given_setting> settings;
    std::vector<std::string> problems;
};
/// `text` is a YAML document; `file` names it in origins and problems.
[[nodiscard]] given_settings settings_of_yaml(const std::string& text, const std::string& file,
                                              const std::string& section);
[[nodiscard]] given_settings settings_of_file(const std::string& file, const std::string& section);

}  // namespace ropeway::detail
