// SPDX-License-Identifier: Apache-2.0
#include "error.hpp"

#include <algorithm>
#include <string>

#include <sqlite3.h>

namespace ropeway::sqlite {

namespace {

constexpr int primary(int code) noexcept { return code & 0xff; }

std::string_view advice(int code) noexcept {
    switch (primary(code)) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return "another connection holds the lock: try again, or raise busy_timeout";
        case SQLITE_FULL: return "free space on the disk";
        case SQLITE_CANTOPEN:
            return "check the path, and that its folder exists and may be written";
        case SQLITE_READONLY: return "open it without read_only, and check the file's permissions";
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return "restore the file from a backup";
        case SQLITE_IOERR: return "check the disk";
        default: return {};
    }
}

}  // namespace

resource_error_kind kind_of(int code) noexcept {
    switch (primary(code)) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE: return resource_error_kind::none;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
        case SQLITE_PROTOCOL:  // a race for the write-ahead log that SQLite gave up
            return resource_error_kind::transient;
        case SQLITE_INTERRUPT: return resource_error_kind::canceled;
        case SQLITE_CANTOPEN:
        case SQLITE_IOERR:
        case SQLITE_FULL:
        case SQLITE_NOMEM: return resource_error_kind::unavailable;
        default:  // SQL, constraints, permissions, a file that is no database: asking again is vain
            return resource_error_kind::invalid;
    }
}

bool spoils_connection(int code) noexcept {
    switch (primary(code)) {
        case SQLITE_IOERR:
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_NOMEM:
        case SQLITE_MISUSE: return true;
        default: return false;
    }
}

resource_error make_error(int code, std::string_view message) {
    resource_error error{.kind = kind_of(code), .text = "SQLite: "};
    const std::string digits = std::to_string(code);
    std::copy_n(digits.begin(), std::min(digits.size(), error.code.size() - 1), error.code.begin());
    error.text += message.empty() ? std::string_view{sqlite3_errstr(code)} : message;
    error.text += " (code " + digits + ")";
    if (const std::string_view remedy = advice(code); !remedy.empty()) {
        error.text += "; ";
        error.text += remedy;
    }
    return error;
}

}  // namespace ropeway::sqlite
