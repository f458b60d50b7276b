// SPDX-License-Identifier: Apache-2.0
//
// Time, waiting and the I/O thread of a resource pool, behind one seam: the real one uses the
// steady clock, ppoll, a futex and a named thread; ropeway::testing has one whose clock stands
// still until a test moves it and which needs no thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include <poll.h>

#include <ropeway/pool/pooled_resource.hpp>

namespace ropeway {

/// What the I/O thread runs: one turn of a poll loop.
class resource_loop {
  public:
    virtual ~resource_loop() = default;
    /// Does all that is due; waits for nothing. @return what to poll until the next turn. The span
    /// is valid until the next turn. A turn is due at `next` at the latest, and after wake().
    struct interest {
        std::span<pollfd> fds;
        resource_clock_point next;
    };
    /// `fds` of the turn before, with their revents, are read in this one.
    virtual interest turn() noexcept = 0;
};

/// Thread safety: all functions from any thread. Must outlive every pool that uses it.
class resource_time {
  public:
    virtual ~resource_time() = default;
    [[nodiscard]] virtual resource_clock_point now() noexcept = 0;

    /// Runs turns of `loop` on a thread named `name` until stop(). @throws std::system_error
    virtual void start(resource_loop& loop, std::string_view name) = 0;
    /// Ends it and joins; no turn runs afterwards. Does nothing if it was not started.
    virtual void stop(resource_loop& loop) noexcept = 0;
    /// Makes a turn due at once. From any thread; never blocks; no allocation.
    virtual void wake(resource_loop& loop) noexcept = 0;

    /// Waits until `word` is not `expected` or `until` has come; may return early. On a thread that
    /// is not the loop's. Returns at once where word differs.
    virtual void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                      resource_clock_point until) noexcept = 0;
    /// Ends the waits on `word`, after the caller changed it.
    virtual void notify(std::atomic<std::uint32_t>& word) noexcept = 0;
    /// Waits until `fd` is ready for `events` or `until` has come. @return its revents, 0 at the
    /// deadline. For a probe on the caller's thread.
    virtual short poll(int fd, short events, resource_clock_point until) noexcept = 0;
};

/// The real one, process-wide; never ends.
[[nodiscard]] resource_time& real_resource_time() noexcept;

}  // namespace ropeway
