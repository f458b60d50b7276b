// SPDX-License-Identifier: Apache-2.0
//
// The taxonomy as tables.
#include <ropeway/pool/postgres/sqlstate.hpp>

#include <string_view>

#include "ropeway_test.hpp"

namespace {

using ropeway::resource_error_kind;
using ropeway::postgres::connect_error;
using ropeway::postgres::kind_of_sqlstate;
using enum resource_error_kind;

TEST_CASE("Each SQLSTATE has the kind that a program decides by") {
    struct row {
        std::string_view code;
        resource_error_kind kind;
    };
    const row rows[]{
        {"00000", none},
        {"01000", none},
        {"02000", none},
        {"08000", broken},
        {"08003", broken},
        {"08006", broken},
        {"08001", unavailable},
        {"08004", unavailable},
        {"08007", commit_unknown},
        {"08P01", broken},
        {"0A000", invalid},
        {"22012", invalid},
        {"23505", invalid},
        {"25001", invalid},
        {"25006", invalid},
        {"25P02", invalid},
        {"25P03", broken},
        {"28000", authentication},
        {"28P01", authentication},
        {"3D000", invalid},
        {"40001", transient},
        {"40P01", transient},
        {"40002", invalid},
        {"40003", commit_unknown},
        {"42601", invalid},
        {"42P01", invalid},
        {"53100", unavailable},
        {"53200", transient},
        {"53300", too_many},
        {"53400", too_many},
        {"55P03", transient},
        {"55006", transient},
        {"55000", invalid},
        {"57014", canceled},
        {"57P01", broken},
        {"57P02", recovering},
        {"57P03", recovering},
        {"57P04", unavailable},
        {"57P05", broken},
        {"58030", unavailable},
        {"P0001", invalid},
        {"XX000", invalid},
        {"", invalid},
        {"280", invalid},
        {"28P012", invalid},
    };
    for (const row& each : rows) {
        CAPTURE(each.code);
        CHECK(kind_of_sqlstate(each.code) == each.kind);
    }
}

TEST_CASE("The text of a failed connect tells its kind, with a SQLSTATE in any language") {
    struct row {
        std::string_view text;
        resource_error_kind kind;
        std::string_view code;
    };
    const row rows[]{
        {"connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  28P01: password "
         "authentication failed for user \"rider\"\nLOCATION:  auth_failed, auth.c:345\n",
         authentication, "28P01"},
        {"connection to server failed: FATAL:  57P03: the database system is starting up\n",
         recovering, "57P03"},
        {"connection to server failed: SCHWERWIEGEND:  53300: tut mir leid\n", too_many, "53300"},
        {"connection to server failed: FATAL:  57P01: terminating connection\n", unavailable,
         "57P01"},
        {"FATAL:  password authentication failed for user \"x\"", authentication, ""},
        {"FATAL:  the database system is in recovery mode", recovering, ""},
        {"FATAL:  the database system is shutting down", recovering, ""},
        {"FATAL:  sorry, too many clients already", too_many, ""},
        {"FATAL:  remaining connection slots are reserved for ...", too_many, ""},
        {"connection to server at \"h\", port 1 failed: Connection refused\n\tIs the server "
         "running on that host and accepting TCP/IP connections?\n",
         unavailable, ""},
        {"connection to server at \"h\" failed: timeout expired", timeout, ""},
        {"could not translate host name \"h\" to address: Name or service not known", unavailable,
         ""},
        {"fe_sendauth: no password supplied", authentication, ""},
        {"server does not support SSL, but SSL was required", invalid, ""},
        {"SSL error: certificate verify failed", authentication, ""},
        {"refused (::1): Connection refused\nfailed: FATAL:  28P01: no\n", authentication, "28P01"},
        {"", unavailable, ""},
    };
    for (const row& each : rows) {
        CAPTURE(each.text);
        const ropeway::resource_error error = connect_error(each.text);
        CHECK(error.kind == each.kind);
        CHECK(error.code_text() == each.code);
        CHECK(error.text.find('\n') == std::string::npos);
        CHECK(error.text.find("LOCATION") == std::string::npos);
    }
}

}  // namespace
