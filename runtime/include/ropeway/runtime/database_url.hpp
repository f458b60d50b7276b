// SPDX-License-Identifier: Apache-2.0
//
// DATABASE_URL: which database it names, whether it is well formed, and how it may be shown. Pure
// functions; any thread. Nothing here shows a password.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ropeway {

enum class database_kind : std::uint8_t {
    sqlite,    ///< embedded, the default
    postgres,  ///< PostgreSQL, by libpq
};
/// "sqlite", "postgres"; static storage.
[[nodiscard]] std::string_view to_string(database_kind kind) noexcept;

/// What a program without a DATABASE_URL gets: SQLite in memory.
inline constexpr std::string_view default_database_url = "sqlite::memory:";

/// The database of a well-formed URL:
/// postgres://USER:PASSWORD@HOST:PORT/DATABASE?KEY=VALUE (also postgresql://; all parts after the
/// scheme may be left out, several HOST:PORT are parted by commas), sqlite:FILE,
/// sqlite:///absolute/file or sqlite::memory:.
/// @throws std::invalid_argument "database_url (VALUE) must ... Suggestion: ...", VALUE masked
[[nodiscard]] database_kind database_kind_of(std::string_view url);

/// The URL with each password replaced by ***. What is not well formed shows its scheme at most,
/// since a password may be anywhere in it.
[[nodiscard]] std::string masked_url(std::string_view url);

}  // namespace ropeway
