// SPDX-License-Identifier: Apache-2.0
//
// Cancels the command that a session runs, from another thread. A copyable value of the lease that
// made it; may outlive the lease and the session, and is then without effect. Thread safety: any
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace ropeway::postgres {

namespace detail {
struct cancel_target;
}  // namespace detail

class cancel_token {
  public:
    cancel_token() noexcept = default;
    cancel_token(std::shared_ptr<detail::cancel_target> target, std::uint64_t lease) noexcept
        : target_(std::move(target)), lease_(lease) {}

    /// Asks the server to cancel what the session runs. Never blocks: what cannot be sent at once
    /// is sent by a thread of the settings, within postgres_params::cancel_timeout. The session's
    /// connection is dropped when its lease is returned, since nobody can tell when the request
    /// takes effect: it never reaches another holder's command.
    /// @return false if the lease was returned or the session has ended, or no request could be
    /// begun
    bool request() const noexcept;

  private:
    std::shared_ptr<detail::cancel_target> target_{};
    std::uint64_t lease_ = 0;
};

}  // namespace ropeway::postgres
