// SPDX-License-Identifier: Apache-2.0
//
// Where a SQLite database is and how connections to it behave. Plain values with legal defaults;
// checked() refuses what is out of range, with the value and a suggestion.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/pool/resource_time.hpp>

namespace ropeway::sqlite {

/// How changes reach the file.
enum class journal : std::uint8_t {
    write_ahead,  ///< one writer beside any number of readers (default)
    rollback,     ///< a writer excludes readers while it commits; for network file systems
};

/// When a commit counts as done; SQLite's `PRAGMA synchronous`.
enum class synchronous : std::uint8_t {
    off,     ///< handed to the operating system: a power cut may corrupt the file
    normal,  ///< consistent after a power cut, which may take the latest commits (default)
    full,    ///< each commit is on disk
};

/// A statement that each connection prepares when it opens.
struct prepared_statement {
    std::string name{};  ///< for exec_prepared()
    std::string sql{};   ///< one statement, without a zero byte
};

struct sqlite_params {
    /// The file, or ":memory:": one database in memory, shared by all connections that one
    /// make_connections() makes, and gone with the last of them and that function. Not empty.
    std::string path = ":memory:";
    /// Refuses every change, and a file that does not exist. Not with ":memory:".
    bool read_only = false;
    /// Ignored for ":memory:" and by read_only connections.
    journal journal_mode = journal::write_ahead;
    synchronous sync = synchronous::normal;
    /// SQLite itself checks foreign keys only when told to.
    bool foreign_keys = true;
    /// How long a statement waits for another connection's lock, within its own deadline.
    /// 0..300 s.
    std::chrono::milliseconds busy_timeout{5000};
    /// Deadline of a statement that names none. 1 ms..300 s. (POOL_COMMAND_TIMEOUT)
    std::chrono::milliseconds command_timeout{30'000};
    /// Rows that one result may hold; a statement that yields more fails. 1..1'000'000'000.
    std::size_t max_rows = 1'000'000;
    std::vector<prepared_statement> prepared{};
    /// The clock of deadlines and waits. Null: the real one.
    resource_time* time = nullptr;
};

/// @return params, if each field is in range.
/// @throws std::invalid_argument "busy_timeout (400000 ms) must be ... Suggestion: ..."
[[nodiscard]] sqlite_params checked(sqlite_params params);

/// "sqlite:FILE", "sqlite:///absolute/file" or "sqlite::memory:", as DATABASE_URL has it.
/// @throws std::invalid_argument
[[nodiscard]] sqlite_params params_from_url(std::string_view url);

}  // namespace ropeway::sqlite
