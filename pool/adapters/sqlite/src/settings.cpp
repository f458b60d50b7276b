// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/settings.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace ropeway::sqlite {

namespace {

using namespace std::chrono_literals;

void require(bool holds, const std::string& what, const char* suggestion) {
    if (!holds) {
        throw std::invalid_argument(what + ". Suggestion: " + suggestion);
    }
}

void require_range(std::chrono::milliseconds value, std::chrono::milliseconds least,
                   std::chrono::milliseconds most, const std::string& name) {
    require(value >= least && value <= most,
            name + " (" + std::to_string(value.count()) + " ms) must be between " +
                std::to_string(least.count()) + " ms and " + std::to_string(most.count()) + " ms",
            "Choose a value in that range");
}

}  // namespace

sqlite_params checked(sqlite_params params) {
    require(!params.path.empty(), "path must not be empty", "Name a file, or \":memory:\"");
    require(params.path.find('\0') == std::string::npos, "path must not contain a zero byte",
            "Name a file, or \":memory:\"");
    require(!(params.read_only && params.path == ":memory:"),
            "read_only goes with a file: a database in memory begins empty",
            "Name a file, or leave read_only off");
    require_range(params.busy_timeout, 0ms, 300s, "busy_timeout");
    require_range(params.command_timeout, 1ms, 300s, "command_timeout");
    require(params.max_rows >= 1 && params.max_rows <= 1'000'000'000,
            "max_rows (" + std::to_string(params.max_rows) + ") must be between 1 and 1000000000",
            "Choose a value in that range");
    for (auto one = params.prepared.begin(); one != params.prepared.end(); ++one) {
        require(!one->name.empty() && !one->sql.empty(),
                "a prepared statement must have a name and SQL (" + one->name + one->sql + ")",
                "Give both");
        require(one->sql.find('\0') == std::string::npos,
                "the prepared statement '" + one->name + "' holds a zero byte", "Leave it out");
        require(std::none_of(params.prepared.begin(), one,
                             [&](const auto& earlier) { return earlier.name == one->name; }),
                "two prepared statements are named '" + one->name + "'", "Rename one");
    }
    return params;
}

sqlite_params params_from_url(std::string_view url) {
    constexpr std::string_view scheme = "sqlite:";
    require(url.starts_with(scheme), "the URL must begin with sqlite:",
            "sqlite:FILE, sqlite:///absolute/file or sqlite::memory:");
    std::string_view path = url.substr(scheme.size());
    if (path.starts_with("//")) {
        path.remove_prefix(2);  // an authority; only the empty one makes sense
        require(path.starts_with('/'), "a SQLite URL has no host: " + std::string{url},
                "sqlite:FILE or sqlite:///absolute/file");
    }
    return checked({.path = std::string{path}});
}

}  // namespace ropeway::sqlite
