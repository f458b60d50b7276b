// SPDX-License-Identifier: Apache-2.0
//
// What the dispatcher tells its operator while it runs. Plain values, made on the supervising
// thread; the names are valid during the call only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ropeway {

enum class alert_kind : std::uint8_t {
    stalled,               ///< a handler holds its worker for longer than stall_limit
    recovered,             ///< a stalled handler returned; `lasted` is how long it took
    replaced,              ///< a worker held by a handler was replaced
    no_more_replacements,  ///< one should be, and worker_params::replacements are in use
    losing,                ///< a subscription began to lose market data: none of this publisher was
                           ///< lost for 100 ms before; `count`: lost so far
    disconnected,          ///< overflow::disconnect ended its market data; `count`: missed so far
    backlogged,            ///< critical events wait outside the ring of `publisher`; `count`: now
    quarantined,           ///< a consumer failed too often in a row; `count`: so far
    critical_unwanted,     ///< nobody wants a critical event of `publisher`; `count`: so far
};

/// One alert. Fields that a kind does not speak of are empty or 0.
struct alert {
    alert_kind kind = alert_kind::stalled;
    std::string_view subscription{};
    std::string_view group{};
    std::string_view publisher{};
    std::chrono::nanoseconds lasted{};
    std::uint64_t count = 0;           ///< events, or workers replaced
    std::uint64_t first_sequence = 0;  ///< of what this episode lost
};

/// The words used in messages.
[[nodiscard]] std::string_view to_string(alert_kind kind) noexcept;
/// One line for a log.
[[nodiscard]] std::string to_string(const alert& what);

}  // namespace ropeway
