// SPDX-License-Identifier: Apache-2.0
//
// Words of an SQL text that can leave session state. No lexer on purpose: literals and comments are
// looked into as well, so nothing can hide in what a lexer would take for a literal by mistake.
#include "session_effects.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace ropeway::postgres::detail {

namespace {

[[nodiscard]] constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

[[nodiscard]] constexpr bool in_word(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

[[nodiscard]] bool equals(std::string_view word, std::string_view small) noexcept {
    return word.size() == small.size() && std::equal(word.begin(), word.end(), small.begin(),
                                                     [](char a, char b) { return lower(a) == b; });
}

[[nodiscard]] bool begins(std::string_view word, std::string_view small) noexcept {
    return word.size() >= small.size() && equals(word.substr(0, small.size()), small);
}

[[nodiscard]] bool contains(std::string_view word, std::string_view small) noexcept {
    return std::search(word.begin(), word.end(), small.begin(), small.end(),
                       [](char a, char b) { return lower(a) == b; }) != word.end();
}

/// Statements that leave something, by their first word.
constexpr std::array<std::string_view, 12> first_words{
    "set",     "reset", "listen", "unlisten", "prepare", "deallocate",
    "declare", "load",  "do",     "call",     "discard", "execute"};

/// The word at the beginning of `rest`, after what is none; `rest` goes on behind it.
std::string_view next_word(std::string_view& rest) noexcept {
    const auto* from = std::find_if(rest.begin(), rest.end(), in_word);
    const auto* to = std::find_if_not(from, rest.end(), in_word);
    const auto at = static_cast<std::size_t>(from - rest.begin());
    const std::string_view word = rest.substr(at, static_cast<std::size_t>(to - from));
    rest.remove_prefix(at + word.size());
    return word;
}

/// Takes white space off `rest`. @return false if there was none
bool skip_space(std::string_view& rest) noexcept {
    const std::size_t space = std::min(rest.find_first_not_of(" \t\r\n\f"), rest.size());
    rest.remove_prefix(space);
    return space > 0;
}

/// SET LOCAL, SET TRANSACTION and SET CONSTRAINTS end with their transaction. Only white space may
/// surround that word, and another must follow: in a comment it says nothing, and before a dot it
/// begins a setting's name. What else is legal SQL counts as if it left something.
[[nodiscard]] bool set_ends_with_transaction(std::string_view rest) noexcept {
    if (!skip_space(rest) || rest.empty() || !in_word(rest.front())) {
        return false;
    }
    const std::string_view next = next_word(rest);
    if (!skip_space(rest) || rest.empty() || (!in_word(rest.front()) && rest.front() != '"')) {
        return false;
    }
    return equals(next, "local") || equals(next, "transaction") || equals(next, "constraints");
}

[[nodiscard]] bool word_leaves_state(std::string_view word) noexcept {
    if (equals(word, "temp") || equals(word, "temporary") || equals(word, "set_config") ||
        begins(word, "pg_temp")) {
        return true;
    }
    // pg_advisory_lock, pg_try_advisory_lock_shared...; those with xact end with the transaction.
    return contains(word, "advisory_lock") && !contains(word, "xact");
}

/// Whether `gap`, what stands between two words, can end a statement or a comment before one.
[[nodiscard]] bool begins_statement(std::string_view gap, bool line_comment) noexcept {
    return gap.find(';') != gap.npos || gap.find("*/") != gap.npos ||
           (line_comment && gap.find_first_of("\r\n") != gap.npos);
}

/// Goes through a text's words and tells which of them may begin a statement.
class word_scan {
  public:
    /// The word at the beginning of `rest`, which goes on behind it; empty if there is none left.
    std::string_view next(std::string_view& rest) noexcept {
        const std::string_view before = rest;
        const std::string_view word = next_word(rest);
        const std::string_view gap = before.substr(0, before.size() - rest.size() - word.size());
        // A comment's end of line may stand in a later gap than its beginning.
        line_comment_ = line_comment_ || gap.find("--") != gap.npos;
        begins_ = std::exchange(first_, false) || begins_statement(gap, line_comment_);
        return word;
    }
    /// Whether the latest word may begin a statement.
    [[nodiscard]] bool begins() const noexcept { return begins_; }

  private:
    bool first_ = true;
    bool line_comment_ = false;
    bool begins_ = false;
};

}  // namespace

bool leaves_session_state(std::string_view sql) noexcept {
    word_scan scan;
    for (std::string_view word = scan.next(sql); !word.empty(); word = scan.next(sql)) {
        if (scan.begins()) {
            const bool leaves =
                std::find_if(first_words.begin(), first_words.end(), [&](std::string_view small) {
                    return equals(word, small);
                }) != first_words.end();
            if (leaves && !(equals(word, "set") && set_ends_with_transaction(sql))) {
                return true;
            }
        }
        if (word_leaves_state(word)) {
            return true;
        }
    }
    return false;
}

bool only_reads(std::string_view sql) noexcept {
    constexpr std::array<std::string_view, 7> reads{"select", "show",  "table", "values",
                                                    "fetch",  "begin", "start"};
    constexpr std::array<std::string_view, 5> writes{"insert", "update", "delete", "merge", "into"};
    const auto is_one_of = [](std::string_view word, const auto& words) {
        return std::any_of(words.begin(), words.end(),
                           [&](std::string_view small) { return equals(word, small); });
    };
    // Behind a semicolon there may be a second statement. One within a literal or a comment counts
    // as well, and so does a comment behind one: only a lexer could tell.
    if (const std::size_t end = sql.find(';');
        end != sql.npos && sql.find_first_not_of("; \t\n\r\f\v", end) != sql.npos) {
        return false;
    }
    std::string_view rest = sql;
    if (!is_one_of(next_word(rest), reads)) {
        return false;
    }
    for (std::string_view word = next_word(rest); !word.empty(); word = next_word(rest)) {
        if (is_one_of(word, writes)) {
            return false;
        }
    }
    return true;
}

bool may_commit(std::string_view sql, bool within_transaction) noexcept {
    if (!within_transaction) {
        return !only_reads(sql);
    }
    word_scan scan;
    bool rolled_back = false;
    for (std::string_view word = scan.next(sql); !word.empty(); word = scan.next(sql)) {
        if (!scan.begins()) {
            continue;
        }
        // What follows a rollback is outside the transaction and commits by itself.
        if (rolled_back || equals(word, "commit") || equals(word, "end") ||
            (equals(word, "prepare") && contains(sql, "transaction"))) {
            return true;
        }
        rolled_back = equals(word, "rollback") || equals(word, "abort");
    }
    return false;
}

}  // namespace ropeway::postgres::detail
