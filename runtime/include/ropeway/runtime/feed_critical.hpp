// SPDX-License-Identifier: Apache-2.0
//
// No public file carries private executions, so this wraps any feed and puts synthesised execution
// reports and control events between its market events, at stated points. The caller owns the
// result, which owns the feed it wraps; one thread drives it.
#pragma once

#include <cstdint>
#include <memory>

#include <ropeway/runtime/feed.hpp>

namespace ropeway {

/// The stated points. Counting market events (all kinds that are not critical) and not time puts
/// most of them where most events are: inside the bursts.
struct critical_event_params {
    /// An execution report right after every so many market events; 0 = none. Default: 1 %.
    std::uint32_t execution_report_every = 100;
    /// A control event right after every so many market events, in turn command, ack and result of
    /// one order id; 0 = none. Default: a tenth of the reports.
    std::uint32_t control_every = 1000;
};

/// Wraps `market`. Inserted events carry the receive stamp of the market event before them, its
/// instrument and price (reports also its quantity, or one unit), and their own ascending `order`
/// and exchange_id. Where both are due, the report comes first. After n market events there were
/// n / execution_report_every reports and n / control_every control events, rounded down.
/// @throws feed_error (bad_value) when `market` is null.
[[nodiscard]] std::unique_ptr<feed> with_critical_events(std::unique_ptr<feed> market,
                                                         critical_event_params params = {});

}  // namespace ropeway
