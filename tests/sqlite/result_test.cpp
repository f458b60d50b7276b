// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite/result.hpp>

#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "sqlite_test.hpp"

namespace {

using ropeway::sqlite::bad_value;
using ropeway::sqlite::make_connections;
using ropeway_test::opened;

TEST_CASE("each type comes back as it was given") {
    const auto on = opened(make_connections({}));
    const std::array<std::byte, 3> bytes{std::byte{1}, std::byte{0}, std::byte{255}};
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const auto got = on->exec_params(
        "SELECT ?1 AS whole, ?2 AS real, ?3 AS text, ?4 AS bytes, ?5 AS none_, ?6 AS yes",
        {most, 0.25, std::string{"a\0b", 3}, std::span<const std::byte>{bytes}, nullptr, true});
    REQUIRE(got);
    REQUIRE(got.rows() == 1);
    REQUIRE(got.columns() == 6);
    CHECK(got.column_name(3) == "bytes");
    CHECK(got.get<std::int64_t>(0, 0) == most);
    CHECK(got.get<double>(0, 1) == 0.25);
    CHECK(got.get<std::string>(0, 2) == std::string{"a\0b", 3});
    CHECK(got.get<std::vector<std::byte>>(0, 3) == std::vector(bytes.begin(), bytes.end()));
    CHECK(got.is_null(0, 4));
    CHECK(got.get<std::optional<int>>(0, 4) == std::nullopt);
    CHECK(got.get<std::optional<bool>>(0, 5) == true);
}

TEST_CASE("empty text and empty bytes are not NULL, an empty optional is") {
    const auto on = opened(make_connections({}));
    const auto got =
        on->exec_params("SELECT ?1, ?2, ?3",
                        {std::string_view{}, std::span<const std::byte>{}, std::optional<int>{}});
    REQUIRE(got);
    CHECK(got.get<std::string_view>(0, 0).empty());
    CHECK_FALSE(got.is_null(0, 1));
    CHECK(got.get<std::vector<std::byte>>(0, 1).empty());
    CHECK(got.is_null(0, 2));
}

TEST_CASE("a value that does not fit the type asked for is refused by the column's name") {
    const auto on = opened(make_connections({}));
    const auto got = on->exec("SELECT 300 AS big, 'x' AS word, NULL AS none_");
    REQUIRE(got);
    CHECK_THROWS_WITH(got.get<std::uint8_t>(0, 0),
                      "row 0, column 0 (big) is INTEGER and does not fit the type asked for; ask "
                      "for std::optional where NULL may come");
    CHECK_FALSE(got.try_get<std::uint8_t>(0, 0));
    CHECK(got.get<std::uint16_t>(0, 0) == 300);
    CHECK(got.get<double>(0, 0) == 300.0);
    CHECK_THROWS_AS(got.get<int>(0, 1), bad_value);
    CHECK_THROWS_AS(got.get<int>(0, 2), bad_value);
    CHECK_THROWS_AS(got.get<std::string>(0, 0), bad_value);
    CHECK_THROWS_WITH(got.get<int>(1, 0),
                      "row 1, column 0 is outside the result: it has 1 rows and 3 columns");
    CHECK_THROWS_AS(got.get<std::optional<int>>(0, 3), bad_value);
    CHECK(got.is_null(0, 3));
    CHECK(got.column_name(3).empty());
    CHECK(got.column("word") == 1);
    CHECK_FALSE(got.column("absent"));
}

TEST_CASE("every value can be told as text") {
    const auto on = opened(make_connections({}));
    const auto got = on->exec("SELECT -7, 0.1, 'word', x'6162', NULL");
    CHECK(got.text(0, 0) == "-7");
    CHECK(got.text(0, 1) == "0.1");
    CHECK(got.text(0, 2) == "word");
    CHECK(got.text(0, 3) == "ab");
    CHECK(got.text(0, 4).empty());
    CHECK(got.text(9, 9).empty());
}

TEST_CASE("text is UTF-8 whatever the encoding of the file") {
    const ropeway_test::temporary_folder folder;
    const auto on = opened(make_connections(
        {.path = folder.file("wide.db"), .journal_mode = ropeway::sqlite::journal::rollback}));
    REQUIRE(on->exec("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (v)"));
    REQUIRE(on->exec("PRAGMA encoding").get<std::string>(0, 0).starts_with("UTF-16"));
    REQUIRE(on->exec_params("INSERT INTO t VALUES (?1), (''), ('a' || char(0) || 'b')",
                            {"gr\xc3\xbc\xc3\x9f"}));
    const auto got = on->exec("SELECT v FROM t");
    CHECK(got.get<std::string>(0, 0) == "gr\xc3\xbc\xc3\x9f");
    CHECK(got.get<std::string>(1, 0).empty());
    CHECK(got.get<std::string>(2, 0) == std::string("a\0b", 3));
}

TEST_CASE("rows affected are those of the statement itself") {
    const auto on = opened(make_connections({}));
    REQUIRE(on->exec("CREATE TABLE t (id INTEGER PRIMARY KEY, v)"));
    const auto inserted = on->exec("INSERT INTO t (v) VALUES (1), (2), (3)");
    CHECK(inserted.affected() == 3);
    CHECK(inserted.last_insert_id() == 3);
    CHECK(on->exec("SELECT * FROM t").affected() == 0);
    CHECK(on->exec("UPDATE t SET v = 0 WHERE id > 1").affected() == 2);
    CHECK(on->exec("DELETE FROM t WHERE id = 99").affected() == 0);
    CHECK(on->exec("CREATE TABLE u (id)").affected() == 0);
    CHECK(on->exec("SELECT id FROM t WHERE id = 99").rows() == 0);
}

TEST_CASE("a result with more rows than allowed is refused, and the connection stays usable") {
    const auto on = opened(make_connections({.max_rows = 10}));
    const char* const counted =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) "
        "SELECT i FROM n";
    CHECK(on->exec_params(counted, {10}).rows() == 10);
    const auto refused = on->exec_params(counted, {11});
    CHECK(refused.error().kind == ropeway::resource_error_kind::invalid);
    CHECK(on->exec_params(counted, {3}).rows() == 3);
}

}  // namespace
