// SPDX-License-Identifier: Apache-2.0
//
// SQLite's result codes as resource errors. Pure.
#pragma once

#include <string_view>

#include <ropeway/pool/resource_error.hpp>

namespace ropeway::sqlite {

/// The kind of a result code, extended ones included.
[[nodiscard]] resource_error_kind kind_of(int code) noexcept;

/// True where the handle itself is spoiled, so that the connection must not be lent again.
[[nodiscard]] bool spoils_connection(int code) noexcept;

/// @param message SQLite's own, about `code`
[[nodiscard]] resource_error make_error(int code, std::string_view message);

}  // namespace ropeway::sqlite
