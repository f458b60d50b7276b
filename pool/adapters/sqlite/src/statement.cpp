// SPDX-License-Identifier: Apache-2.0
#include "statement.hpp"

#include <limits>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "error.hpp"

namespace ropeway::sqlite {

namespace {

/// Rows beyond max_rows; no code of SQLite's own (those are positive).
constexpr int too_many_rows = -1;

int bind_one(sqlite3_stmt* to, int at, const parameter& one) {
    // STATIC: the caller's text and bytes live until the statement has run.
    return std::visit(
        [&](const auto& held) {
            using type = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<type, std::monostate>) {
                return sqlite3_bind_null(to, at);
            } else if constexpr (std::is_same_v<type, std::int64_t>) {
                return sqlite3_bind_int64(to, at, held);
            } else if constexpr (std::is_same_v<type, double>) {
                return sqlite3_bind_double(to, at, held);
            } else if constexpr (std::is_same_v<type, std::string_view>) {
                return sqlite3_bind_text64(to, at, held.data() == nullptr ? "" : held.data(),
                                           held.size(), SQLITE_STATIC, SQLITE_UTF8);
            } else {
                return held.empty()
                           ? sqlite3_bind_zeroblob(to, at, 0)
                           : sqlite3_bind_blob64(to, at, held.data(), held.size(), SQLITE_STATIC);
            }
        },
        one.held());
}

result::cell copy_cell(sqlite3_stmt* from, int column) {
    switch (sqlite3_column_type(from, column)) {
        case SQLITE_INTEGER: return std::int64_t{sqlite3_column_int64(from, column)};
        case SQLITE_FLOAT: return sqlite3_column_double(from, column);
        case SQLITE_NULL: return std::monostate{};
        default: break;
    }
    if (sqlite3_column_type(from, column) == SQLITE_TEXT) {
        // As UTF-8, whatever the file's own encoding; its size is known after this.
        const auto* const text = sqlite3_column_text(from, column);
        if (text == nullptr) {
            throw std::bad_alloc{};
        }
        return std::string(reinterpret_cast<const char*>(text),
                           static_cast<std::size_t>(sqlite3_column_bytes(from, column)));
    }
    const auto* const first = static_cast<const std::byte*>(sqlite3_column_blob(from, column));
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(from, column));
    return std::vector<std::byte>(first, first + size);
}

/// Leaves a statement as new for its next run, also when copying its rows threw.
struct reset_after {
    sqlite3_stmt* prepared;
    ~reset_after() {
        sqlite3_reset(prepared);
        sqlite3_clear_bindings(prepared);
    }
};

}  // namespace

result statement::run_text(std::string_view sql, std::span<const parameter> values, bool only_one) {
    if (sql.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
        return refusal("the statement is longer than 2 GiB");
    }
    // SQLite ends a text there, and the loop below would never come to its own end.
    if (sql.find('\0') != std::string_view::npos) {
        return refusal("the statement holds a zero byte: give text with parameters");
    }
    result last;
    bool ran = false;
    while (!sql.empty()) {
        sqlite3_stmt* made = nullptr;
        const char* rest = nullptr;
        const int code =
            sqlite3_prepare_v2(on_.get(), sql.data(), static_cast<int>(sql.size()), &made, &rest);
        const statement_handle prepared{made};
        if (code != SQLITE_OK) {
            return failure(code);
        }
        sql.remove_prefix(static_cast<std::size_t>(rest - sql.data()));
        if (prepared == nullptr) {
            continue;  // a comment, or white space
        }
        if (ran && only_one) {
            return refusal("parameters go with one statement; there are more");
        }
        last = bind_and_step(prepared.get(), values);
        if (!last) {
            return last;
        }
        ran = true;
    }
    return last;
}

result statement::run_prepared(sqlite3_stmt* prepared, std::span<const parameter> values) {
    return bind_and_step(prepared, values);
}

result statement::bind_and_step(sqlite3_stmt* prepared, std::span<const parameter> values) {
    const reset_after reset{prepared};
    if (static_cast<std::size_t>(sqlite3_bind_parameter_count(prepared)) != values.size()) {
        return refusal("the statement has another number of parameters than values were given");
    }
    if (const int code = bind(prepared, values); code != SQLITE_OK) {
        return failure(code);
    }
    result made;
    const sqlite3_int64 changes_before = sqlite3_total_changes64(on_.get());
    ++stepped_;
    const int code = step(prepared, made);
    if (code == too_many_rows) {
        return refusal("the result has more rows than max_rows allows: ask for fewer (LIMIT)");
    }
    if (code != SQLITE_DONE) {
        return failure(code);
    }
    // changes() keeps the count of an earlier statement where this one changed nothing.
    if (sqlite3_total_changes64(on_.get()) != changes_before) {
        made.affected_ = static_cast<std::uint64_t>(sqlite3_changes64(on_.get()));
    }
    made.last_insert_id_ = sqlite3_last_insert_rowid(on_.get());
    return made;
}

int statement::bind(sqlite3_stmt* prepared, std::span<const parameter> values) {
    int at = 0;
    for (const parameter& one : values) {
        if (const int code = bind_one(prepared, ++at, one); code != SQLITE_OK) {
            return code;
        }
    }
    return SQLITE_OK;
}

int statement::step(sqlite3_stmt* prepared, result& into) {
    int code = sqlite3_step(prepared);
    // After the first step: it is the one that prepares anew where the schema changed.
    const int columns = sqlite3_column_count(prepared);
    for (int column = 0; column < columns; ++column) {
        const char* const name = sqlite3_column_name(prepared, column);
        into.names_.emplace_back(name == nullptr ? "" : name);
    }
    for (std::size_t rows = 0; code == SQLITE_ROW; code = sqlite3_step(prepared)) {
        if (++rows > on_.of().params().max_rows) {
            return too_many_rows;
        }
        for (int column = 0; column < columns; ++column) {
            into.cells_.push_back(copy_cell(prepared, column));
        }
    }
    return code;
}

result statement::failure(int code) {
    if (!on_.past_deadline() && on_.canceled() && kind_of(code) == resource_error_kind::transient) {
        on_.set_error(make_error(SQLITE_INTERRUPT, "canceled while it waited for a lock"));
        return {on_.error()};
    }
    if (!on_.past_deadline()) {
        return {on_.fail(code)};
    }
    resource_error late = make_error(SQLITE_INTERRUPT, "the statement passed its deadline");
    late.kind = resource_error_kind::timeout;
    late.text += "; it was ended, and what it had changed rolled back";
    on_.set_error(late);
    return {std::move(late)};
}

result statement::refusal(const char* why) {
    resource_error refused{.kind = resource_error_kind::invalid, .text = why};
    on_.set_error(refused);
    return {std::move(refused)};
}

}  // namespace ropeway::sqlite
