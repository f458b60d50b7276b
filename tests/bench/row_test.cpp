// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <ropeway_test.hpp>

#include "database_rows.hpp"
#include "result.hpp"
#include "row.hpp"

using namespace ropeway::bench;

namespace {

row example() {
    row one;
    one.id = "fanout.duplicate.3.spsc";
    one.suite = "fanout";
    one.consumers = 3;
    one.reach = 1.5;
    one.values = {30, 20, 16};
    one.reference_values = {10, 10, 10};
    return one;
}

}  // namespace

TEST_CASE("the middle of an even number of values lies between the two in the middle") {
    CHECK(spread_of({4, 1, 3, 2}).median == 2.5);
    CHECK(spread_of({9, 1, 5}).median == 5);
    CHECK(spread_of({9, 1, 5}).min == 1);
    CHECK(spread_of({9, 1, 5}).max == 9);
    CHECK(spread_of({}).median == 0);
}

TEST_CASE("a row compares neighbouring runs, not the two medians") {
    row one = example();
    one.values = {10, 40, 12};
    one.reference_values = {5, 20, 3};
    CHECK(one.ratio().median == 2);
    CHECK(one.ratio().min == 2);
    CHECK(one.ratio().max == 4);
}

TEST_CASE("a row is ok within its reach, in its direction, and without a fault") {
    row one = example();
    CHECK(one.ok());
    one.reach = 2.1;
    CHECK_FALSE(one.ok());
    one.direction = better::lower;
    CHECK(one.ok());
    one.reach.reset();
    CHECK(one.ok());
    one.faults.emplace_back("consumer 1: 5 events instead of 6");
    CHECK_FALSE(one.ok());
}

TEST_CASE("a row is of its suite's metric unless it names one of its own") {
    constexpr row_defaults shared{.suite = "latency",
                                  .conditions = "; guard",
                                  .metric = "p50",
                                  .unit = "ns",
                                  .direction = better::lower};
    const row usual = shared.with({.id = "latency.1k.3", .what = "duplicates", .reach = 1.2});
    CHECK(usual.id == "latency.1k.3");
    CHECK(usual.suite == "latency");
    CHECK(usual.what == "duplicates; guard");
    CHECK(usual.metric == "p50");
    CHECK(usual.unit == "ns");
    CHECK(usual.direction == better::lower);
    CHECK(usual.reach == 1.2);
    const row other = shared.with({.metric = "throughput", .unit = "Mev/s"});
    CHECK(other.metric == "throughput");
    CHECK(other.unit == "Mev/s");
    CHECK(other.direction == better::higher);
}

TEST_CASE("a wrong count shows in the table and in the file") {
    row one = example();
    CHECK(to_table(std::span{&one, 1}).find(">= 1.50 ok") != std::string::npos);
    one.faults.emplace_back("consumer 1: 5 events instead of 6");
    const std::string table = to_table(std::span{&one, 1});
    CHECK(table.find("WRONG") != std::string::npos);
    CHECK(table.find("wrong: consumer 1: 5 events instead of 6") != std::string::npos);
    const auto read = nlohmann::json::parse(to_json({}, std::span{&one, 1}));
    CHECK(read.at("rows").at(0).at("ok") == false);
    CHECK(read.at("rows").at(0).at("ratio").at("median") == 2.0);
    CHECK(read.at("rows").at(0).at("faults").size() == 1);
}

TEST_CASE("a row that this machine cannot measure says why, is no miss, and is not in the file") {
    row one = example();
    one.values.clear();
    one.skipped = "no server package is installed";
    CHECK(one.ok());
    CHECK(to_table(std::span{&one, 1}).find("not measured: no server package is installed") !=
          std::string::npos);
    CHECK(nlohmann::json::parse(to_json({}, std::span{&one, 1})).at("rows").empty());
}

TEST_CASE("a row shows as many decimals as its reach has") {
    row one = example();
    one.absolute = true;
    one.reach = 0.995;
    one.values = {0.9951};
    CHECK(to_table(std::span{&one, 1}).find("0.9951") != std::string::npos);
    CHECK(to_table(std::span{&one, 1}).find(">= 0.995 ok") != std::string::npos);
    one.reach = 5;
    CHECK(to_table(std::span{&one, 1}).find("0.9951") == std::string::npos);
    CHECK(to_table(std::span{&one, 1}).find(">= 5.00 MISSED") != std::string::npos);
}

TEST_CASE("the rows beside a server are known with their reach whether or not there is one") {
    CHECK(database_row("dbpool.validate.passive").reach == 0.025);
    CHECK_FALSE(database_row("dbpool.validate.passive").absolute);
    CHECK(database_row("dbload.availability").direction == better::higher);
    CHECK(database_row("dbload.availability").suite == "dbload");
    CHECK_THROWS_AS(database_row("dbload.lunch"), std::out_of_range);
    CHECK(unmeasured("dbload", "why").size() == 4);
    CHECK(unmeasured("dbpool", "why").size() == 7);
    CHECK(unmeasured("dbpool", "why").front().skipped == "why");
}
