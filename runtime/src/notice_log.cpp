// SPDX-License-Identifier: Apache-2.0
//
// Notices as records.
#include <ropeway/runtime/notice_log.hpp>

#include <utility>

namespace ropeway {

namespace {

[[nodiscard]] log_level level_of(std::string_view severity) noexcept {
    if (severity == "FATAL" || severity == "PANIC" || severity == "ERROR") {
        return log_level::error;
    }
    if (severity == "WARNING") {
        return log_level::warning;
    }
    return severity.starts_with("DEBUG") ? log_level::debug : log_level::info;
}

}  // namespace

notice_log::notice_log(logger& to, std::string pool) : log_(&to), pool_(std::move(pool)) {}

void notice_log::write(std::string_view severity, std::string_view code,
                       std::string_view text) const noexcept {
    log_->write(level_of(severity), "Database notice",
                {{"pool", pool_}, {"severity", severity}, {"code", code}, {"text", text}});
}

}  // namespace ropeway
