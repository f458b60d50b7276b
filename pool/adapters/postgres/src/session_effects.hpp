// SPDX-License-Identifier: Apache-2.0
//
// Private: can an SQL text leave something in its session that a next holder would meet, and can it
// commit something? Pure.
#pragma once

#include <string_view>

namespace ropeway::postgres::detail {

/// True if a statement of `sql` may leave session state: SET, LISTEN, PREPARE, DECLARE, temporary
/// tables, session advisory locks, DO, CALL and the like. Errs towards true: a wrong true costs a
/// reset, a wrong false would show one holder's state to the next. What functions do inside is
/// not seen.
[[nodiscard]] bool leaves_session_state(std::string_view sql) noexcept;

/// True if `sql` is one statement that begins like a query, or begins a transaction, and names no
/// change: then an end of the connection in it leaves no doubt about a commit. A query that calls
/// functions which write counts as reading.
[[nodiscard]] bool only_reads(std::string_view sql) noexcept;

/// True if `sql` may have committed something when the connection ends before its answer: outside a
/// transaction whatever does not only read, within one what may end it otherwise than by a rollback
/// (COMMIT, END, PREPARE TRANSACTION, or anything behind a ROLLBACK). Errs towards true: a wrong
/// true forbids to do the work again, a wrong false would do it twice.
[[nodiscard]] bool may_commit(std::string_view sql, bool within_transaction) noexcept;

}  // namespace ropeway::postgres::detail
