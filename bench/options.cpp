// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <charconv>
#include <filesystem>
#include <optional>

namespace ropeway::bench {
namespace {

bool is_suite(std::string_view name) {
    for (const suite& one : suites) {
        if (one.name == name) {
            return true;
        }
    }
    return false;
}

unsigned rounds_of(std::string_view text) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < 1 || value > 99) {
        throw usage_error("--rounds " + std::string{text} + ": give a number from 1 to 99.");
    }
    return value;
}

std::string suite_names() {
    std::string out;
    for (std::size_t i = 0; i < suites.size(); ++i) {
        out += i == 0 ? "" : i + 1 == suites.size() ? " and " : ", ";
        out += suites[i].name;
    }
    return out;
}

std::string folder_of(std::string_view option, std::string_view text) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(text, ignored)) {
        throw usage_error(std::string{option} + " " + std::string{text} +
                          ": there is no such folder. Make it first.");
    }
    return std::string{text};
}

std::string file_of(std::string_view text) {
    const std::filesystem::path path{text};
    const std::filesystem::path folder =
        path.has_parent_path() ? path.parent_path() : std::filesystem::path{"."};
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder, ignored)) {
        throw usage_error("--json " + std::string{text} + ": there is no folder " +
                          folder.string() + ". Make it, or name a file in another one.");
    }
    if (std::filesystem::exists(path, ignored) &&
        !std::filesystem::is_regular_file(path, ignored)) {
        throw usage_error("--json " + std::string{text} +
                          ": is not a regular file. Name a new file, or one to replace.");
    }
    return std::string{text};
}

}  // namespace

options parse(std::span<const char* const> arguments) {
    options out;
    std::optional<unsigned> rounds;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view name = arguments[i];
        const auto value = [&] {
            if (i + 1 == arguments.size() || *arguments[i + 1] == '\0') {
                throw usage_error(std::string{name} + " needs a value (see --help).");
            }
            return std::string_view{arguments[++i]};
        };
        if (name == "--help" || name == "-h") {
            out.help = true;
        } else if (name == "--quick") {
            out.how = {.rounds = 3, .divisor = 10};
        } else if (name == "--rounds") {
            rounds = rounds_of(value());
        } else if (name == "--suite") {
            out.suite = value();
            if (!is_suite(out.suite)) {
                throw usage_error("--suite " + out.suite + ": there are " + suite_names() + ".");
            }
        } else if (name == "--json") {
            out.json = file_of(value());
        } else if (name == "--hgrm") {
            out.hgrm = folder_of(name, value());
        } else if (name == "--plots") {
            out.plots = folder_of(name, value());
        } else {
            throw usage_error("unknown argument '" + std::string{name} + "' (see --help).");
        }
    }
    out.how.rounds = rounds.value_or(out.how.rounds);
    return out;
}

}  // namespace ropeway::bench
