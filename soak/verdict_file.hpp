// SPDX-License-Identifier: Apache-2.0
//
// The verdict's file: checked before the run, written at its end beside its name and renamed, so
// that readers see the old file or the whole new one. One thread.
#pragma once

#include <string>
#include <string_view>

namespace ropeway::soak {

class verdict_file {
  public:
    /// Proves that the file can be written by making and removing a temporary one beside it. An
    /// empty path means no file. Throws usage_error with the path, the cause and the remedy.
    explicit verdict_file(std::string path);

    /// Writes and renames. Throws std::runtime_error; then nothing is left behind.
    void write(std::string_view text) const;

  private:
    std::string path_;
    std::string temporary_;
};

}  // namespace ropeway::soak
