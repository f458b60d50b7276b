// SPDX-License-Identifier: Apache-2.0
//
// Private: the one place that includes libpq, and owners of what it hands out.
#pragma once

#include <cstdint>
#include <memory>

#include <libpq-fe.h>

namespace ropeway::postgres::detail {

struct end_connection {
    void operator()(PGconn* pg) const noexcept { PQfinish(pg); }
};
struct end_result {
    void operator()(PGresult* rows) const noexcept { PQclear(rows); }
};
using pq_result = std::unique_ptr<PGresult, end_result>;

/// What is null for libpq is empty here.
[[nodiscard]] inline const char* or_empty(const char* text) noexcept {
    return text == nullptr ? "" : text;
}

/// Rows that the command of `answer` changed. The server counts those of a SELECT in the same way:
/// they are none of these.
[[nodiscard]] std::uint64_t changed_rows(const PGresult* answer) noexcept;

}  // namespace ropeway::postgres::detail
