// SPDX-License-Identifier: Apache-2.0
//
// A pool's settings from a YAML file: keys, sections, layers above it, and what is refused with the
// file's line.
#include <ropeway/runtime/pool_config.hpp>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include <ropeway_test.hpp>

using ropeway::load_pool_config;
using ropeway::pool_config;
using ropeway::pool_config_error;
using ropeway::pool_config_sources;
using namespace std::chrono_literals;

namespace {

/// A file of settings, gone with its scope.
class settings_file {
  public:
    explicit settings_file(std::string_view text) {
        std::string name = (std::filesystem::temp_directory_path() / "ropeway-XXXXXX").string();
        const int descriptor = ::mkstemp(name.data());
        REQUIRE(descriptor >= 0);
        ::close(descriptor);
        path_ = name;
        std::ofstream{path_, std::ios::binary} << text;
    }
    settings_file(const settings_file&) = delete;
    settings_file& operator=(const settings_file&) = delete;
    ~settings_file() { std::filesystem::remove(path_); }

    [[nodiscard]] std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

std::vector<std::string> problems_of(const pool_config_sources& sources) {
    try {
        (void)load_pool_config(sources);
    } catch (const pool_config_error& refused) {
        return refused.problems();
    }
    return {};
}

/// The only problem of a file with this text, its path written FILE.
std::string problem_of(std::string_view text, const std::string& section = {}) {
    const settings_file file{text};
    const std::vector<std::string> problems =
        problems_of({.file = file.path(), .section = section});
    if (problems.size() != 1) {
        return "problems: " + std::to_string(problems.size());
    }
    std::string problem = problems[0];
    if (const auto at = problem.find(file.path()); at != std::string::npos) {
        problem.replace(at, file.path().size(), "FILE");
    }
    return problem;
}

pool_config loaded(std::string_view text, const std::string& section = {}) {
    const settings_file file{text};
    return load_pool_config({.file = file.path(), .section = section});
}

}  // namespace

TEST_CASE("a file's keys are the variables' names in lower case") {
    const pool_config config = loaded(R"(
# a pool for orders
name: orders
database_url: "postgres://app:s3cret@db/orders"
min_size: 3
max_size: 12
timeout: 0.5
max_queries: 1000
max_idle_time: 10
max_connection_lifetime: 60
leak_detection_timeout: 12.5
connect_timeout: 1
command_timeout: 2
validation: always
health: latency_004
)");
    CHECK(config.pool.name == "orders");
    CHECK(config.database == ropeway::database_kind::postgres);
    CHECK(config.pool.min_size == 3);
    CHECK(config.pool.max_size == 12);
    CHECK(config.pool.acquire_timeout == 500ms);
    CHECK(config.pool.max_uses == 1000);
    CHECK(config.pool.max_idle == 10s);
    CHECK(config.pool.max_age == 60s);
    CHECK(config.pool.leak_timeout == 12'500ms);
    CHECK(config.pool.connect_timeout == 1s);
    CHECK(config.command_timeout == 2s);
    CHECK(config.pool.validate == ropeway::validation::always);
    CHECK(config.health.wait_limit == 200ms);
}

TEST_CASE("a file gives way to the environment, and that to the program") {
    const settings_file file{"min_size: 3\nmax_size: 12\ntimeout: 1\n"};
    const pool_config config =
        load_pool_config({.file = file.path(),
                          .environment = {{"POOL_MAX_SIZE", "20"}, {"POOL_TIMEOUT", "2"}},
                          .settings = {{"timeout", "3"}}});
    CHECK(config.pool.min_size == 3);
    CHECK(config.pool.max_size == 20);
    CHECK(config.pool.acquire_timeout == 3s);
    CHECK(config.origins.at("min_size") == file.path() + ":1");
    CHECK(config.origins.at("max_size") == "POOL_MAX_SIZE");
    CHECK(config.origins.at("timeout") == "the program");
}

TEST_CASE("a section of a file holds one pool's settings; other keys of the file are not its") {
    constexpr std::string_view text =
        "log: {file: x}\npools:\n  orders:\n    max_size: 12\n  quotes:\n    max_size: 3\n";
    CHECK(loaded(text, "pools.orders").pool.max_size == 12);
    CHECK(loaded(text, "pools.quotes").pool.max_size == 3);
    CHECK(problem_of(text, "pools.fills") ==
          "FILE:3: section pools.fills must exist, and there is no key \"fills\" here. Suggestion: "
          "Add it, or name another section");
    CHECK(problem_of(text, "pools.orders.max_size").find("FILE:4: settings must be a mapping") ==
          0);
}

TEST_CASE("an empty file or section leaves the defaults") {
    for (const std::string_view text : {"", "\n", "# nothing\n", "---\n", "{}\n"}) {
        CHECK(loaded(text).pool.max_size == 10);
    }
    CHECK(loaded("pool:\n", "pool").pool.max_size == 10);
}

TEST_CASE("a wrong value is refused with its line") {
    CHECK(problem_of("min_size: 1\nmax_size: 0\n") ==
          "max_size (0) must be from 1 to 100. Suggestion: Set POOL_MAX_SIZE to the connections "
          "the server can spare [from FILE:2]");
    CHECK(problem_of("max_size: 5\nmin_size: 10\n")
              .find("max_size (5) must be >= min_size (10). Suggestion: Increase POOL_MAX_SIZE or "
                    "reduce "
                    "POOL_MIN_SIZE [max_size from FILE:1, min_size from ") == 0);
    CHECK(problem_of("database_url: postgres://app:s3cret@db:x/o\n")
              .find("database_url (postgres://***) must have a port") == 0);
}

TEST_CASE("an unknown key is refused with its line and the nearest key") {
    CHECK(problem_of("max_size: 5\n\nmaxsize: 10\n") ==
          "FILE:3: unknown key \"maxsize\". Suggestion: Did you mean max_size?");
    CHECK(problem_of("POOL_MAX_SIZE: 10\n") ==
          "FILE:1: unknown key \"POOL_MAX_SIZE\". Suggestion: Did you mean max_size?");
}

TEST_CASE("what is no plain setting is refused with its line") {
    CHECK(
        problem_of("max_size: 5\nmax_size: 6\n").find("FILE:2: key \"max_size\" must stand once") ==
        0);
    CHECK(problem_of("max_size: [1, 2]\n").find("FILE:1: max_size must have one value") == 0);
    CHECK(problem_of("max_size:\n").find("FILE:1: max_size must have one value") == 0);
    CHECK(problem_of("[a]: 1\n").find("FILE:1: a key must be a name") == 0);
    CHECK(problem_of("- max_size\n").find("FILE:1: settings must be a mapping") == 0);
    CHECK(problem_of("just words\n").find("FILE:1: settings must be a mapping") == 0);
    CHECK(problem_of("max_size: 5\n---\nmax_size: 6\n").find(": the file must hold one document") !=
          std::string::npos);
}

TEST_CASE("a stray bracket is refused, and not read for ever") {
    for (const std::string_view text : {"max_size: 5\n]\n", "]", "}\n", "[]]\n"}) {
        CAPTURE(text);
        CHECK(problem_of(text).find("FILE:") == 0);
    }
}

TEST_CASE("what is no YAML is refused with its line") {
    CHECK(problem_of("max_size: 5\nmin_size: [1\n").find("FILE:") == 0);
    CHECK(problem_of("max_size: 5\nname: 'a' 'b'\n").find("FILE:2: must be YAML: ") == 0);
    CHECK(problem_of("a: b: c\n").find(": must be YAML: ") != std::string::npos);
    CHECK(problem_of(std::string(100'000, '[')).find(": must be YAML: ") != std::string::npos);
}

TEST_CASE("a file that cannot be read, or is too large, is refused by name") {
    const auto missing = problems_of({.file = "/nonexistent/pool.yaml"});
    REQUIRE(missing.size() == 1);
    CHECK(missing[0] ==
          "/nonexistent/pool.yaml: must be a readable file (No such file or directory). "
          "Suggestion: Correct the path or its permissions");
    const auto folder = problems_of({.file = "/"});
    REQUIRE(folder.size() == 1);
    CHECK(folder[0].find("/: must be a readable file (Is a directory)") == 0);
    CHECK(
        problem_of("#" + std::string(1U << 20U, 'x') + "\n").find("FILE: must be at most 1 MiB") ==
        0);
}

TEST_CASE("a damaged file is loaded or refused, and never shows its password") {
    constexpr std::string_view whole =
        "# orders\npools:\n  orders:\n    name: orders\n    min_size: 3\n    max_size: 12\n"
        "    database_url: 'postgres://app:s3cret@db:5432/orders'\n    timeout: 0.5\n"
        "    validation: always\n";
    constexpr std::string_view letters = "\n\t :-[]{}'\"&*!|>%@#,?0z\x01\xFF";
    std::uint64_t random = 7;
    const auto below = [&random](std::size_t end) {
        random = random * 6'364'136'223'846'793'005U + 1'442'695'040'888'963'407U;
        return static_cast<std::size_t>(random >> 33) % end;
    };
    std::size_t refused = 0;
    for (int round = 0; round != 1000; ++round) {
        std::string text{whole};
        for (std::size_t damage = below(3) + 1; damage != 0; --damage) {
            const std::size_t at = below(text.size());
            switch (below(3)) {
                case 0: text[at] = letters[below(letters.size())]; break;
                case 1: text.insert(at, 1, letters[below(letters.size())]); break;
                default: text.erase(at, below(4) + 1); break;
            }
        }
        const settings_file file{text};
        try {
            (void)load_pool_config({.file = file.path(), .section = "pools.orders"});
        } catch (const pool_config_error& problem) {
            ++refused;
            REQUIRE(std::string_view{problem.what()}.find("s3cret") == std::string_view::npos);
        }
    }
    CHECK(refused > 300);
    CHECK(refused < 1000);
}

TEST_CASE("problems of a file and of the environment are told together") {
    const settings_file file{"maxsize: 1\ntimeout: never\n"};
    CHECK(problems_of({.file = file.path(), .environment = {{"POOL_MIN_SIZE", "0"}}}).size() == 3);
}
