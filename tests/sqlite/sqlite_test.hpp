// SPDX-License-Identifier: Apache-2.0
//
// A folder of the test's own, and connections without a pool.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <ropeway/pool/sqlite/connection.hpp>
#include <ropeway_test.hpp>

namespace ropeway_test {

/// A new folder, gone with the object.
class temporary_folder {
  public:
    temporary_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "ropeway-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) {
            throw std::runtime_error("no temporary folder: " + name);
        }
        path_ = name;
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_{};
};

/// Runs a task to its end, as the pool would; false if it failed or is still waiting for a lock.
inline bool run_task(ropeway::pooled_resource& on, ropeway::resource_task task) {
    return on.begin(task).state == ropeway::step_state::done;
}

using maker = std::function<std::unique_ptr<ropeway::sqlite::connection>()>;

/// An open connection. @throws std::runtime_error
inline std::unique_ptr<ropeway::sqlite::connection> opened(const maker& make) {
    auto made = make();
    if (!run_task(*made, ropeway::resource_task::open)) {
        throw std::runtime_error("not opened: " + made->error().text);
    }
    return made;
}

}  // namespace ropeway_test
