// SPDX-License-Identifier: Apache-2.0
//
// What a resource must be able to do to live in a resource_pool: be made, checked, reset and
// destroyed, in steps of which none waits. The base class of every adapter's connection.
//
//             begin(open)            lease            ~lease: on_return()
//   made ───► steps ───► idle ◄──────────────► active ─────► clean: idle
//                         │  check() in acquire              dirty: begin(reset) ─► steps ─► idle
//                         └──► begin(close) ─► steps ─► dropped        broken: drop()
//
// Ownership: the pool's slot owns it. Thread safety: one caller at a time, handed over by the pool:
// the pool's I/O thread, the thread that holds (or is acquiring) the lease, or for an open the one
// in start(). Nothing here blocks, throws, or writes to a stream.
#pragma once

#include <chrono>
#include <cstdint>

#include <ropeway/pool/resource_error.hpp>

namespace ropeway {

/// The pool's clock: nanoseconds since an origin of its own; only differences mean anything.
using resource_clock_point = std::chrono::time_point<std::chrono::steady_clock>;

/// What a resource is asked to do in steps.
enum class resource_task : std::uint8_t {
    open,   ///< connect, log in, prepare: from nothing to usable
    probe,  ///< one round trip that proves the other end answers
    reset,  ///< roll back, forget the session's state: as new for the next holder
    close,  ///< say goodbye; drop() follows in any case
};

/// What a step needs before the next can get on.
enum class step_state : std::uint8_t {
    done,          ///< the task is complete
    failed,        ///< error() says why; the pool drops the resource
    wants_read,    ///< call resume() when `fd` is readable
    wants_write,   ///< ... writable
    wants_either,  ///< ... readable or writable
};

/// The outcome of begin() or resume().
struct resource_step {
    step_state state = step_state::done;
    int fd = -1;  ///< what to poll; may differ from step to step. -1 where nothing is polled
    /// wants_*: call resume() once this long has passed since the step, ready or not; with fd -1
    /// that is all there is to wait for. Negative: there is no such time, only `fd` and the task's
    /// deadline.
    std::chrono::nanoseconds after{-1};
};

/// What a look without a round trip says.
enum class resource_health : std::uint8_t {
    usable,    ///< nothing speaks against it
    doubtful,  ///< unasked input is there, or something odd: worth a probe before it is lent
    dead,      ///< its other end is gone
};

/// What state a resource came back in.
enum class return_state : std::uint8_t {
    clean,   ///< may be lent again as it is
    dirty,   ///< needs the task `reset` first
    broken,  ///< must be dropped
};

class pooled_resource {
  public:
    pooled_resource() = default;
    pooled_resource(const pooled_resource&) = delete;
    pooled_resource& operator=(const pooled_resource&) = delete;
    /// Gives up what is left, as drop() does.
    virtual ~pooled_resource() = default;

    /// Begins a task; none is in progress. The pool gives each task a deadline and drops a resource
    /// whose task passes it: a step needs no clock of its own.
    virtual resource_step begin(resource_task task) noexcept = 0;
    /// Goes on with the task in progress. Spurious calls are allowed.
    virtual resource_step resume() noexcept = 0;
    /// Looks without waiting and without a round trip. Called by acquire() on an idle resource.
    virtual resource_health check() noexcept = 0;
    /// What to poll while the resource lies idle, so that its end is seen early; -1: nothing.
    [[nodiscard]] virtual int idle_fd() const noexcept = 0;
    /// Called by the lease's destructor on the holder's thread: clean, dirty or broken.
    virtual return_state on_return() noexcept = 0;
    /// Ends it at once, without a farewell; also out of any task. It may be opened again.
    virtual void drop() noexcept = 0;
    /// Why the latest task or use failed; kind none if nothing did. Valid until the next call.
    [[nodiscard]] virtual const resource_error& error() const noexcept = 0;

    /// What count_use() counted since the last call. The pool calls it at each return.
    std::uint64_t take_uses() noexcept {
        const std::uint64_t uses = uses_;
        if (uses != 0) {  // a resource that does not count is not written to
            uses_ = 0;
        }
        return uses;
    }

  protected:
    /// The holder had it do so many things that wear it out: statements, of a database. A lease
    /// counts towards resource_pool_params::max_uses as these, and as one if there were none.
    void count_use(std::uint64_t uses = 1) noexcept { uses_ += uses; }

  private:
    std::uint64_t uses_ = 0;  ///< of whoever may call the resource
};

}  // namespace ropeway
