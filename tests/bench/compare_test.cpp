// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>
#include <ropeway_test.hpp>

#include "compare.hpp"
#include "result.hpp"

using namespace ropeway::bench;

namespace {

/// A file with one row whose rounds have these ratios.
class file_of_row {
  public:
    file_of_row(const std::string& name, std::vector<double> ratios,
                better direction = better::higher)
        : path_(std::filesystem::temp_directory_path() / ("ropeway_compare_" + name + ".json")) {
        row one;
        one.id = "fanout.duplicate.3.spsc";
        one.direction = direction;
        one.values = std::move(ratios);
        one.reference_values.assign(one.values.size(), 1);
        std::ofstream{path_} << to_json({}, std::span{&one, 1});
    }
    file_of_row(const file_of_row&) = delete;
    file_of_row& operator=(const file_of_row&) = delete;
    ~file_of_row() { std::filesystem::remove(path_); }
    [[nodiscard]] std::string path() const { return path_.string(); }

  private:
    std::filesystem::path path_;
};

}  // namespace

TEST_CASE("a ratio that fell by more than 15 % beyond both spreads is a regression") {
    const file_of_row before{"before", {2.0, 2.0, 2.0}};
    const file_of_row little{"little", {1.72, 1.72, 1.72}};
    const file_of_row much{"much", {1.68, 1.68, 1.68}};
    CHECK_FALSE(compare_files(before.path(), little.path()).regressed());
    CHECK(compare_files(before.path(), much.path()).regressed());
    CHECK_FALSE(compare_files(much.path(), before.path()).regressed());
    const comparison both = compare_files(before.path(), much.path());
    CHECK(to_text(both).find("REGRESSED") != std::string::npos);
    CHECK(both.rows.at(0).change == Approx(-0.16));
}

TEST_CASE("a wide spread tolerates more") {
    const file_of_row before{"before", {1.6, 2.0, 2.4}};  // 20 % on either side
    const file_of_row after{"after", {1.4, 1.4, 1.4}};
    CHECK_FALSE(compare_files(before.path(), after.path()).regressed());
}

TEST_CASE("where lower is better, a higher ratio is the worse one") {
    const file_of_row before{"before", {1.0, 1.0, 1.0}, better::lower};
    const file_of_row after{"after", {1.2, 1.2, 1.2}, better::lower};
    CHECK(compare_files(before.path(), after.path()).regressed());
    CHECK_FALSE(compare_files(after.path(), before.path()).regressed());
}

TEST_CASE("a count that was nought and is not any more is a regression") {
    const file_of_row before{"before", {0, 0, 0}, better::lower};
    const file_of_row after{"after", {0.01, 0.01, 0.01}, better::lower};
    CHECK(compare_files(before.path(), after.path()).regressed());
    CHECK_FALSE(compare_files(before.path(), before.path()).regressed());
}

TEST_CASE("what cannot be compared is named") {
    const file_of_row some{"some", {1}};
    CHECK_THROWS_WITH(compare_files("/nowhere/rows.json", some.path()),
                      Catch::Contains("/nowhere/rows.json: cannot be read"));
    const std::string path =
        (std::filesystem::temp_directory_path() / "ropeway_compare_bad.json").string();
    std::ofstream{path} << "{\"schema\": \"other\", \"rows\": []}";
    CHECK_THROWS_WITH(compare_files(path, some.path()), Catch::Contains("schema is \"other\""));
    std::ofstream{path, std::ios::trunc} << "not json";
    CHECK_THROWS_WITH(compare_files(path, some.path()), Catch::Contains(path));
    std::ofstream{path, std::ios::trunc} << "{\"schema\": \"ropeway-bench-1\", \"rows\": []}";
    CHECK(compare_files(some.path(), path).missing.size() == 1);
    std::filesystem::remove(path);
}
