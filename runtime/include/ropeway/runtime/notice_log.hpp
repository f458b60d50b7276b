// SPDX-License-Identifier: Apache-2.0
//
// Hands a database server's notices to the runtime's log, so that they stand nowhere else. A
// copyable value; called on the thread that reads the notice; never waits.
#pragma once

#include <string>
#include <string_view>

#include <ropeway/runtime/logging.hpp>

namespace ropeway {

/// What postgres_params::on_notice takes:
///
///     {.url = url, .on_notice = ropeway::notice_log{log, "orders"}}
///
/// Each notice becomes a record "Database notice" with `pool`, `severity`, `code` and `text`:
/// FATAL and PANIC as errors, WARNING as a warning, DEBUG and below as debug, all else as
/// info, under the log's rate limit. Ownership: `to` must outlive the connections.
/// Thread safety: any thread.
class notice_log {
  public:
    notice_log(logger& to, std::string pool);

    /// Notice: anything with severity, code and text.
    template <class Notice>
    void operator()(const Notice& told) const noexcept {
        write(told.severity, told.code, told.text);
    }

  private:
    void write(std::string_view severity, std::string_view code,
               std::string_view text) const noexcept;

    logger* log_;
    std::string pool_;
};

}  // namespace ropeway
