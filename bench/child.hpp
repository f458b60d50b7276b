// SPDX-License-Identifier: Apache-2.0
//
// A measurement in a process of its own: one that needs another malloc, or counts its own. Waits
// for its end. Called by the measuring thread.
#pragma once

#include <string>
#include <vector>

namespace ropeway::bench {

struct child_result {
    int exit_code = -1;    ///< -1: it could not be run, or a signal ended it
    std::string output{};  ///< of both its streams; or why it could not be run
};

/// Where a program lies that was built beside this one.
[[nodiscard]] std::string path_of(const std::string& program);

/// Runs a program, by its path or one that lies beside this one; `preload`: a shared library put in
/// front of the others.
[[nodiscard]] child_result run_child(const std::string& program,
                                     const std::vector<std::string>& arguments,
                                     const std::string& preload = {});

/// A program's path if it can be found in PATH, else empty.
[[nodiscard]] std::string find_in_path(const std::string& program);
/// The same for a shared library, in the system's folders.
[[nodiscard]] std::string find_library(const std::string& name);

}  // namespace ropeway::bench
