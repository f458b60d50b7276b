// SPDX-License-Identifier: Apache-2.0
//
// What a SQLSTATE means to a program that leases connections: the kind of a resource_error. Pure.
#pragma once

#include <string_view>

#include <ropeway/pool/resource_error.hpp>

namespace ropeway::postgres {

/// The kind of a five-character SQLSTATE; `none` for class 00, 01 and 02, `invalid` for what is
/// not listed here:
///   08001 08004 53100 57P04 58...        unavailable     08007 40003  commit_unknown
///   08... 57P01 57P05 25P03 25P04        broken          57P02 57P03  recovering
///   28...                                authentication  53300 53400  too_many
///   40... 53200 55P03 55006              transient       57...        canceled
[[nodiscard]] resource_error_kind kind_of_sqlstate(std::string_view code) noexcept;

/// The error that the text of a failed connect tells: libpq gives no SQLSTATE for it beside the one
/// in a verbose text, and its own failures (refused, unreachable, a certificate) have none. `text`
/// stands in the error trimmed and without its lines on source code.
[[nodiscard]] resource_error connect_error(std::string_view text);

}  // namespace ropeway::postgres
