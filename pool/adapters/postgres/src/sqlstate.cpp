// SPDX-License-Identifier: Apache-2.0
//
// The taxonomy of SQLSTATEs and of the texts of failed connects.
#include <ropeway/pool/postgres/sqlstate.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace ropeway::postgres {

namespace {

using enum resource_error_kind;

struct state_kind {
    std::string_view prefix;
    resource_error_kind kind;
};

// The first that matches decides: whole codes stand before their class.
constexpr std::array state_kinds{
    state_kind{"00", none},           state_kind{"01", none},
    state_kind{"02", none},           state_kind{"08001", unavailable},
    state_kind{"08004", unavailable}, state_kind{"08007", commit_unknown},
    state_kind{"08", broken},         state_kind{"25P03", broken},
    state_kind{"25P04", broken},      state_kind{"28", authentication},
    state_kind{"40002", invalid},     state_kind{"40003", commit_unknown},
    state_kind{"40", transient},      state_kind{"53100", unavailable},
    state_kind{"53200", transient},   state_kind{"53300", too_many},
    state_kind{"53400", too_many},    state_kind{"55P03", transient},
    state_kind{"55006", transient},   state_kind{"57P01", broken},
    state_kind{"57P02", recovering},  state_kind{"57P03", recovering},
    state_kind{"57P04", unavailable}, state_kind{"57P05", broken},
    state_kind{"57", canceled},       state_kind{"58", unavailable},
};

// Texts of servers that give no SQLSTATE, and of libpq itself. The first that
// occurs decides.
constexpr std::array text_kinds{
    state_kind{"password authentication failed", authentication},
    state_kind{"authentication failed", authentication},
    state_kind{"no password supplied", authentication},
    state_kind{"no pg_hba.conf entry", authentication},
    state_kind{"role \"", authentication},
    state_kind{"certificate", authentication},
    state_kind{"server does not support SSL", invalid},
    state_kind{"the database system is", recovering},
    state_kind{"too many clients", too_many},
    state_kind{"too many connections", too_many},
    state_kind{"remaining connection slots", too_many},
    state_kind{"invalid port number", invalid},
    state_kind{"invalid sslmode", invalid},
    state_kind{"timeout expired", timeout},
    state_kind{"timed out", unavailable},
};

[[nodiscard]] bool is_code(std::string_view text) noexcept {
    return text.size() >= 5 && std::all_of(text.begin(), text.begin() + 5, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
           });
}

/// The last SQLSTATE of a verbose text: "FATAL:  28P01: password...". With several addresses tried
/// there are several; the last one that a server answered stays. Empty if there is none.
[[nodiscard]] std::string_view code_in(std::string_view text) noexcept {
    std::string_view found;
    for (std::size_t at = text.find(":  "); at != std::string_view::npos;
         at = text.find(":  ", at + 1)) {
        const std::string_view rest = text.substr(at + 3);
        if (is_code(rest) && rest.size() > 6 && rest[5] == ':' && rest[6] == ' ') {
            found = rest.substr(0, 5);
        }
    }
    return found;
}

/// One line per line of text, without those on the server's source code, and without the code.
[[nodiscard]] std::string tidy(std::string_view text, std::string_view code) {
    std::string out;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string line(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.starts_with("LOCATION:")) {
            continue;
        }
        if (!code.empty()) {
            const std::string verbose = ":  " + std::string(code) + ": ";
            if (const std::size_t at = line.find(verbose); at != std::string::npos) {
                line.replace(at, verbose.size(), ": ");
            }
        }
        out += out.empty() ? "" : "; ";
        out += line;
    }
    return out;
}

}  // namespace

resource_error_kind kind_of_sqlstate(std::string_view code) noexcept {
    if (code.size() != 5) {
        return invalid;
    }
    const auto* found =
        std::find_if(state_kinds.begin(), state_kinds.end(),
                     [&](const state_kind& entry) { return code.starts_with(entry.prefix); });
    return found == state_kinds.end() ? invalid : found->kind;
}

resource_error connect_error(std::string_view text) {
    resource_error error{.kind = unavailable};
    const std::string_view code = code_in(text);
    if (!code.empty()) {
        std::copy(code.begin(), code.end(), error.code.begin());
        const resource_error_kind kind = kind_of_sqlstate(code);
        // Nothing was in use yet: who ends a session that is being opened is not there.
        error.kind = kind == broken || kind == none ? unavailable : kind;
    } else {
        const auto* found = std::find_if(
            text_kinds.begin(), text_kinds.end(),
            [&](const state_kind& entry) { return text.find(entry.prefix) != text.npos; });
        if (found != text_kinds.end()) {
            error.kind = found->kind;
        }
    }
    error.text = tidy(text, code);
    return error;
}

}  // namespace ropeway::postgres
