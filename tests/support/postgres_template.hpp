// SPDX-License-Identifier: Apache-2.0
//
// Where PostgreSQL's programs are, and a data folder made once per build folder that each server of
// the tests starts from a copy of: initdb takes seconds, a copy a tenth of one.
#pragma once

#include <string>

#include "child_process.hpp"

namespace ropeway_test {

/// The path of one of its programs ("initdb"); the newest of Debian's folders, then PATH. Empty if
/// there is none.
[[nodiscard]] std::string postgres_program(const std::string& name);

/// A new folder below TMPDIR (or /tmp, where TMPDIR is too long for a socket's name or closed to
/// the server's user), owned by `user`.
[[nodiscard]] std::string make_server_folder(const child_user& user);

/// The superuser's name and the password that `rider` begins with.
inline constexpr const char* template_superuser = "stationmaster";
inline constexpr const char* template_password = "cable-Xy7-grip";

/// Copies the template's data folder to `data`, made first if this is the first use.
/// @throws std::runtime_error with initdb's output
void copy_template(const std::string& data, const child_user& user);

}  // namespace ropeway_test
