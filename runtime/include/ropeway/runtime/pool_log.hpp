// SPDX-License-Identifier: Apache-2.0
//
// Words what happens in a pool of connections and hands it to the runtime's log. A pool calls it as
// its observer, on the pool's I/O thread; the log is asynchronous, so it never waits. Owned by
// whoever made it, copied by the pool.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <ropeway/pool/resource_event.hpp>
#include <ropeway/pool/resource_pool_params.hpp>
#include <ropeway/runtime/logging.hpp>

namespace ropeway {

/// The observer that logs. Each event becomes one record: level, message, and the fields `pool`,
/// `event`, and as they apply `connection_id`, `duration_seconds`, `held_duration_seconds`,
/// `reason`, `error`, `code`, `cause`, `site`, `thread` and `stack_trace`.
///
/// | level | events |
/// |---|---|
/// | error | connectivity lost, start failed, a connection closed after misuse of its lease |
/// | warning | failed opens, checks and acquires, reconnection attempts, leaks, quarantine, forced
/// closes | | info | initialized, recovered, recycled, shrunk, resized, changes of state, shutdown
/// | | debug | opened; acquired and released (with resource_pool_params::observe_leases) |
///
/// Leaks and forced closes are written each; other records have the log's rate limit, one for each
/// pool and kind of event. Passwords in a text are masked.
/// Thread safety: one caller at a time, as a pool calls its observer. Allocation: the record.
class pool_log {
  public:
    /// `to` must outlive the pool. `params` are the pool's: sizes for the texts, and the user's own
    /// observer, which is called before the record is written; what it throws is dropped.
    pool_log(logger& to, const resource_pool_params& params);

    void operator()(const resource_event& event) noexcept;

  private:
    void write(const resource_event& event);

    logger* log_;
    resource_observer own_;
    std::uint32_t min_size_;
    std::uint32_t max_size_;
};

/// `text` with the passwords of URLs (user:password@) and of key=value settings (password=...)
/// replaced by "***".
[[nodiscard]] std::string without_passwords(std::string_view text);

}  // namespace ropeway
