// SPDX-License-Identifier: Apache-2.0
//
// The end of the log's queue: gives each line to file, standard error and callback. Made on the
// caller's thread, then used by the log's thread alone; the counters may be read by any thread.
// Includes spdlog, so it is private to this module.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <spdlog/sinks/sink.h>

#include <ropeway/runtime/logging.hpp>

namespace ropeway::detail {

[[nodiscard]] spdlog::level::level_enum to_spdlog(log_level level) noexcept;
[[nodiscard]] log_level from_spdlog(spdlog::level::level_enum level) noexcept;

class log_sink final : public spdlog::sinks::sink {
  public:
    /// Opens the file if there is one; throws logging_error.
    explicit log_sink(const logging_params& params);
    log_sink(const log_sink&) = delete;
    log_sink& operator=(const log_sink&) = delete;
    ~log_sink() override;

    /// The payload is the whole line, end of line included.
    void log(const spdlog::details::log_msg& message) override;
    void flush() override {}                                            // every line is written
    void set_pattern(const std::string&) override {}                    // lines come formatted
    void set_formatter(std::unique_ptr<spdlog::formatter>) override {}  // as above

    /// From now on lines are discarded and counted.
    void discard_rest() noexcept;

    [[nodiscard]] std::uint64_t written() const noexcept;
    [[nodiscard]] std::uint64_t discarded() const noexcept;
    [[nodiscard]] std::uint64_t write_errors() const noexcept;

  private:
    void write_file(std::string_view line) noexcept;
    void count_error() noexcept;

    int file_ = -1;           ///< constant after construction
    bool to_standard_error_;  ///< constant after construction
    bool torn_ = false;       ///< the file ends in half a line; the log's thread only
    std::function<void(log_level, std::string_view)> callback_;  ///< the log's thread only
    std::atomic<bool> discarding_{false};
    std::atomic<std::uint64_t> written_{0};
    std::atomic<std::uint64_t> discarded_{0};
    std::atomic<std::uint64_t> write_errors_{0};
};

}  // namespace ropeway::detail
