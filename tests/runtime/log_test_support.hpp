// SPDX-License-Identifier: Apache-2.0
//
// Helpers of the log's tests: lines caught by the callback sink, a clock set by hand, a file that
// removes itself. The catcher is filled by the log's thread and read after flush() or destruction.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>
#include <ropeway/runtime/logging.hpp>

namespace ropeway_test {

using namespace std::chrono_literals;

/// 2024-02-29T23:59:59.000000001Z.
inline constexpr std::int64_t leap_day_ns = 1'709'251'199'000'000'001;

/// A clock that stands until it is moved.
struct hand_clock {
    std::shared_ptr<std::atomic<std::int64_t>> ns =
        std::make_shared<std::atomic<std::int64_t>>(leap_day_ns);

    void advance(std::chrono::nanoseconds by) const { ns->fetch_add(by.count()); }
    std::function<std::chrono::system_clock::time_point()> function() const {
        return [now = ns] {
            return std::chrono::system_clock::time_point{std::chrono::nanoseconds{now->load()}};
        };
    }
};

using lines = std::vector<std::string>;

/// Parameters whose only sink is `out`, with `clock`.
inline ropeway::logging_params caught_in(lines& out, const hand_clock& clock,
                                         ropeway::log_format format = ropeway::log_format::json) {
    ropeway::logging_params params;
    params.callback = [&out](ropeway::log_level, std::string_view line) { out.emplace_back(line); };
    params.format = format;
    params.clock = clock.function();
    return params;
}

inline nlohmann::json parsed(const std::string& line) { return nlohmann::json::parse(line); }

/// A folder of its own, removed at the end.
class temporary_folder {
  public:
    temporary_folder() {
        std::string name = (std::filesystem::temp_directory_path() / "ropeway_log_XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() { std::filesystem::remove_all(path_); }
    std::string file(const std::string& name) const { return (path_ / name).string(); }

  private:
    std::filesystem::path path_;
};

inline lines lines_of(const std::string& path) {
    std::ifstream in{path};
    lines out;
    for (std::string line; std::getline(in, line);) {
        out.push_back(line);
    }
    return out;
}

inline std::size_t threads_now() {
    const std::filesystem::directory_iterator tasks{"/proc/self/task"};
    return static_cast<std::size_t>(std::distance(begin(tasks), end(tasks)));
}

/// The same, once there are no more than `expected` or a long while has passed: a joined thread
/// leaves the kernel's list a moment after its join returned.
inline std::size_t threads_left(std::size_t expected) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (threads_now() > expected && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    return threads_now();
}

}  // namespace ropeway_test
