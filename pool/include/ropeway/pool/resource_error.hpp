// SPDX-License-Identifier: Apache-2.0
//
// Why a resource could not be made, used or leased. Plain values; any thread. Making one allocates
// (its text), so none is made on a path that succeeds.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ropeway {

/// What kind of failure; what a program decides by. The text is for people.
enum class resource_error_kind : std::uint8_t {
    none,            ///< no failure
    timeout,         ///< the caller's deadline passed
    unavailable,     ///< nothing answers there: refused, unreachable, stopped
    recovering,      ///< it answers that it is starting up, shutting down or in recovery
    authentication,  ///< it refuses who we say we are; trying again does not help
    too_many,        ///< it has no room for another connection
    invalid,         ///< what was asked is wrong: settings, SQL, a constraint
    transient,       ///< serialization failure, deadlock: the same work may be tried again
    broken,          ///< the connection ended while it was in use; the work did not commit
    commit_unknown,  ///< it ended during COMMIT: done or not done, nobody knows here
    canceled,        ///< canceled at its deadline or on request
    queue_full,      ///< as many callers wait as may wait
    suspended,       ///< the pool is suspended
    closed,          ///< the pool is shutting down or has ended
    quarantined,     ///< every resource there is failed too often lately
};
inline constexpr std::size_t resource_error_kinds = 15;

/// "timeout", "commit unknown"...; static storage.
[[nodiscard]] std::string_view to_string(resource_error_kind kind) noexcept;

/// True where the same request may succeed later without anybody changing anything. Never for
/// commit_unknown: only a caller who gave an idempotency key may repeat that.
[[nodiscard]] bool is_retryable(resource_error_kind kind) noexcept;

/// One failure. Never contains a password: adapters mask before they fill it.
struct resource_error {
    resource_error_kind kind = resource_error_kind::none;
    std::array<char, 6> code{};  ///< SQLSTATE or the like, 0-terminated; empty if there is none
    std::string text{};          ///< what happened and what to do, for a person

    [[nodiscard]] explicit operator bool() const noexcept {
        return kind != resource_error_kind::none;
    }
    [[nodiscard]] std::string_view code_text() const noexcept { return code.data(); }
};

}  // namespace ropeway
