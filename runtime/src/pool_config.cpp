// SPDX-License-Identifier: Apache-2.0
//
// Lays a pool's settings over each other: file, environment, program; then checks the whole.
#include <ropeway/runtime/pool_config.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include <unistd.h>

#include "pool_settings.hpp"

namespace ropeway {
namespace {

using detail::given_setting;
using detail::given_settings;

constexpr std::string_view url_key = "database_url";

std::string joined(const std::vector<std::string>& problems) {
    std::string text;
    for (const std::string& problem : problems) {
        text.append(text.empty() ? "" : "\n").append(problem);
    }
    return text;
}

/// Keys of settings of which a problem was told already.
using refused_keys = std::set<std::string, std::less<>>;

/// Stands in refused_keys for the order of min_size and max_size.
constexpr std::string_view order_of_sizes = "min_size <= max_size";

/// What settings must not be together. What hangs on a refused one is not looked at: which value it
/// will have is not known.
void add_relations(const pool_config& config, const refused_keys& refused,
                   std::vector<std::string>& problems) {
    const resource_pool_params& pool = config.pool;
    const std::string most = std::to_string(pool.max_size);
    const bool no_maximum = refused.contains("max_size");
    if (pool.max_size < pool.min_size && !no_maximum && !refused.contains("min_size") &&
        !refused.contains(order_of_sizes)) {
        problems.push_back("max_size (" + most + ") must be >= min_size (" +
                           std::to_string(pool.min_size) +
                           "). Suggestion: Increase POOL_MAX_SIZE or reduce POOL_MIN_SIZE");
    }
    if (pool.reserved >= pool.max_size && !no_maximum && !refused.contains("reserved")) {
        problems.push_back("reserved (" + std::to_string(pool.reserved) + ") must be from 0 to " +
                           std::to_string(pool.max_size - 1) +
                           ". Suggestion: Leave at least one connection to callers without "
                           "priority");
    }
    if (config.server_limit != 0 && pool.max_size >= config.server_limit && !no_maximum &&
        !refused.contains("server_limit")) {
        problems.push_back("max_size (" + most + ") must be < server_limit (" +
                           std::to_string(config.server_limit) +
                           "). Suggestion: Reduce POOL_MAX_SIZE, or raise the server's limit and "
                           "POOL_SERVER_LIMIT");
    }
}

/// What is wrong beyond `refused`; sets `database`.
std::vector<std::string> problems_of(pool_config& config, refused_keys refused) {
    std::vector<std::string> problems;
    pool_config rest = config;
    const pool_config defaults;
    for (const detail::number_setting& setting : detail::number_settings()) {
        setting.set(rest, setting.get(defaults));
        if (refused.contains(setting.key)) {
            continue;
        }
        if (auto problem = detail::problem_of(setting, config)) {
            problems.push_back(std::move(*problem));
            refused.emplace(setting.key);
        }
    }
    const std::string url = config.database_url;
    if (auto problem = detail::apply_setting(config, url_key, url)) {
        problems.push_back(std::move(*problem));
    }
    add_relations(config, refused, problems);
    // What is no setting, and only a program can have spoiled; the settings have their defaults.
    try {
        static_cast<void>(checked(std::move(rest.pool)));
    } catch (const std::invalid_argument& unfit) {
        problems.emplace_back(unfit.what());
    }
    return problems;
}

/// Fills a config source by source and remembers what is wrong and where it was written.
class layers {
  public:
    void lay(const given_settings& given) {
        problems_.insert(problems_.end(), given.problems.begin(), given.problems.end());
        // `sizes` stands for two others, which win over it within one source.
        for (const bool preset : {true, false}) {
            for (const given_setting& setting : given.settings) {
                if ((setting.key == "sizes") == preset) {
                    lay(setting);
                }
            }
        }
    }

    [[nodiscard]] pool_config result() && {
        require_sizes();
        const std::vector<std::string> more = problems_of(config_, wrong_);
        problems_.insert(problems_.end(), more.begin(), more.end());
        if (!problems_.empty()) {
            throw pool_config_error{std::move(problems_)};
        }
        return checked(std::move(config_));
    }

  private:
    void lay(const given_setting& setting) {
        if (const auto problem = detail::apply_setting(config_, setting.key, setting.text)) {
            problems_.push_back(*problem + " [from " + setting.origin + "]");
            wrong_.insert(setting.key);
            return;
        }
        config_.origins[setting.key] = setting.origin;
        if (setting.key == "sizes") {
            config_.origins["min_size"] = config_.origins["max_size"] = setting.origin;
        }
    }

    /// In the seed's words, with both origins behind them.
    void require_sizes() {
        const resource_pool_params& pool = config_.pool;
        if (pool.max_size >= pool.min_size || wrong_.contains("min_size") ||
            wrong_.contains("max_size")) {
            return;
        }
        const auto origin = [this](const char* key) {
            const auto found = config_.origins.find(key);
            return std::string{key} + " from " +
                   (found == config_.origins.end() ? "its default" : found->second);
        };
        problems_.push_back("max_size (" + std::to_string(pool.max_size) +
                            ") must be >= min_size (" + std::to_string(pool.min_size) +
                            "). Suggestion: Increase POOL_MAX_SIZE or reduce POOL_MIN_SIZE [" +
                            origin("max_size") + ", " + origin("min_size") + "]");
        wrong_.emplace(order_of_sizes);
    }

    pool_config config_{};
    std::vector<std::string> problems_;
    refused_keys wrong_;
};

given_settings settings_of_environment(const setting_map& environment) {
    given_settings given;
    for (const auto& each : environment) {
        const std::string& variable = each.first;
        if (!variable.starts_with("POOL_") && variable != "DATABASE_URL") {
            continue;
        }
        const std::vector<std::string_view>& keys = detail::setting_keys();
        const auto key = std::find_if(keys.begin(), keys.end(), [&](std::string_view candidate) {
            return detail::variable_of(candidate) == variable;
        });
        if (key == keys.end()) {
            given.problems.push_back(
                "unknown variable " + variable.substr(0, 64) + ". Suggestion: Did you mean " +
                detail::nearest_variable(variable) + "? Rename it, or unset it");
        } else {
            given.settings.push_back({std::string{*key}, each.second, variable});
        }
    }
    return given;
}

given_settings settings_of_program(
    const std::vector<std::pair<std::string, std::string>>& settings) {
    given_settings given;
    const std::vector<std::string_view>& keys = detail::setting_keys();
    for (const auto& [key, text] : settings) {
        if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
            given.problems.push_back("unknown setting \"" + key.substr(0, 64) +
                                     "\". Suggestion: Did you mean " + detail::nearest_key(key) +
                                     "?");
        } else {
            given.settings.push_back({key, text, "the program"});
        }
    }
    return given;
}

}  // namespace

pool_config_error::pool_config_error(std::vector<std::string> problems)
    : std::invalid_argument{joined(problems)}, problems_(std::move(problems)) {}

pool_config load_pool_config(const pool_config_sources& sources) {
    layers all;
    if (!sources.file.empty()) {
        all.lay(detail::settings_of_file(sources.file, sources.section));
    }
    all.lay(settings_of_environment(sources.environment));
    all.lay(settings_of_program(sources.settings));
    return std::move(all).result();
}

setting_map process_environment() {
    setting_map found;
    for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const std::string_view name = text.substr(0, text.find('='));
        if (name.size() != text.size() && (name.starts_with("POOL_") || name == "DATABASE_URL")) {
            found.emplace(name, text.substr(name.size() + 1));
        }
    }
    return found;
}

pool_config checked(pool_config config) {
    std::vector<std::string> problems = problems_of(config, {});
    if (!problems.empty()) {
        throw pool_config_error{std::move(problems)};
    }
    if (!config.leak_detection) {
        config.pool.leak_timeout = std::chrono::milliseconds{0};
    }
    config.pool = checked(std::move(config.pool));
    return config;
}

std::string to_string(const pool_config& config) {
    std::string text;
    const auto add = [&](std::string_view key, std::string_view value) {
        text.append(text.empty() ? "" : ", ").append(key).append("=").append(value);
        if (const auto origin = config.origins.find(std::string{key});
            origin != config.origins.end()) {
            text.append(" (").append(origin->second).append(")");
        }
    };
    add("name", config.pool.name);
    add(url_key, masked_url(config.database_url));
    for (const detail::number_setting& setting : detail::number_settings()) {
        add(setting.key, detail::value_text(setting, setting.get(config)));
    }
    for (const detail::choice_setting& setting : detail::choice_settings()) {
        if (setting.get != nullptr) {
            add(setting.key, setting.names[setting.get(config)]);
        }
    }
    return text;
}

}  // namespace ropeway
