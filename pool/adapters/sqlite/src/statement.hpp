// SPDX-License-Identifier: Apache-2.0
//
// Runs prepared statements to their end and copies what they return. Borrows its session; lives for
// one call.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <sqlite3.h>

#include <ropeway/pool/sqlite/parameter.hpp>
#include <ropeway/pool/sqlite/result.hpp>

#include "session.hpp"

namespace ropeway::sqlite {

class statement {
  public:
    explicit statement(session& on) noexcept : on_(on) {}

    /// Each statement of `sql` in turn; with values exactly one.
    result run_text(std::string_view sql, std::span<const parameter> values, bool only_one);
    result run_prepared(sqlite3_stmt* prepared, std::span<const parameter> values);
    /// Statements that ran, well or not.
    [[nodiscard]] std::uint64_t stepped() const noexcept { return stepped_; }

  private:
    result bind_and_step(sqlite3_stmt* prepared, std::span<const parameter> values);
    int bind(sqlite3_stmt* prepared, std::span<const parameter> values);
    int step(sqlite3_stmt* prepared, result& into);
    result failure(int code);
    result refusal(const char* why);

    session& on_;
    std::uint64_t stepped_ = 0;
};

}  // namespace ropeway::sqlite
