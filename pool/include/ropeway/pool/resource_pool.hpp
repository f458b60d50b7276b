// SPDX-License-Identifier: Apache-2.0
//
// resource_pool<R>: leases of anything that can be made, checked, reset and destroyed; the second
// recycled resource. Slots are taken by CAS with a hint of the thread's last one; who finds none
// waits in a fair queue with a deadline; opening, probing, resetting, closing, leak scan and
// reconnection run on one named thread whose poll loop waits for nothing but its poll.
#pragma once

#include <chrono>
#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ropeway/pool/lease.hpp>
#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/resource_core.hpp>
#include <ropeway/pool/resource_pool_params.hpp>
#include <ropeway/pool/resource_stats.hpp>
#include <ropeway/pool/site.hpp>

namespace ropeway {

/// What acquire() returns: a lease, or why there is none.
template <class R>
class [[nodiscard]] acquired {
  public:
    acquired(lease<R> got) noexcept : lease_(std::move(got)) {}
    acquired(std::unique_ptr<pool_error> why) noexcept : error_(std::move(why)) {}

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(lease_); }
    /// Requires success.
    [[nodiscard]] R& operator*() noexcept { return *lease_; }
    [[nodiscard]] R* operator->() noexcept { return lease_.operator->(); }
    /// The lease itself; empty on failure.
    [[nodiscard]] lease<R>& held() noexcept { return lease_; }
    [[nodiscard]] lease<R> take() noexcept { return std::move(lease_); }
    /// Requires failure.
    [[nodiscard]] const pool_error& error() const noexcept { return *error_; }

  private:
    lease<R> lease_{};
    std::unique_ptr<pool_error> error_{};
};

/// How one acquire() differs from the rest.
struct acquire_options {
    /// How long to wait at most, up to nanoseconds::max(): for ever. 0: the pool's acquire_timeout.
    /// Negative: the time is over already (`end - now()`, computed too late): one that is idle and
    /// needs no probe is lent, and otherwise acquire() fails at once.
    std::chrono::nanoseconds timeout{0};
    /// May use the reserve, and stands before those without in the queue.
    bool priority = false;
    site where = site::here();
};

/// Thread safety: every function from any thread, except start() and the destructor.
/// Allocation: at construction and start(), and where a resource itself allocates; acquire and
/// return allocate nothing unless they fail.
template <class R>
class resource_pool {
  public:
    /// `make` makes a resource that is not yet open; called on the I/O thread, up to max_size
    /// living at once. It must not block. Where it throws or returns null, that is a failed open of
    /// kind invalid, whose text holds the exception's what() (no place for a password): told as
    /// such, and tried again as reconnect says. @throws std::invalid_argument, see checked().
    explicit resource_pool(std::function<std::unique_ptr<R>()> make, resource_pool_params params)
        : core_([make = std::move(make)]() -> std::unique_ptr<pooled_resource> { return make(); },
                checked(std::move(params))) {
        static_assert(std::derived_from<R, pooled_resource>);
    }
    resource_pool(const resource_pool&) = delete;
    resource_pool& operator=(const resource_pool&) = delete;
    /// shutdown(1 s) if that was not called. No lease may be used afterwards.
    ~resource_pool() = default;

    /// Opens the minimum, in parallel; one of several on the calling thread, which waits anyway.
    /// Once, on one thread. @return why it failed, or nothing; see startup. Kind closed: shutdown()
    /// was called before or meanwhile, or start() was.
    [[nodiscard]] std::optional<pool_error> start() { return core_.start(); }

    /// A lease, validated; waits in turn to its deadline where none is idle. See acquire_options.
    [[nodiscard]] acquired<R> acquire(acquire_options how = {}) {
        return wrap(core_.acquire(how.timeout, how.priority, how.where));
    }
    [[nodiscard]] acquired<R> acquire(std::chrono::nanoseconds timeout, site where = site::here()) {
        return wrap(core_.acquire(timeout, false, where));
    }
    /// As acquire() without waiting: an idle one that passes check(), or an empty lease.
    [[nodiscard]] lease<R> try_acquire(site where = site::here()) noexcept {
        return to_lease(core_.try_acquire(where));
    }

    /// For code that cannot hold a lease: the lease's raw resource stays out until give_back().
    [[nodiscard]] std::pair<R*, lease_ticket> lend(lease<R>&& from) noexcept;
    /// Exact: of two calls with one ticket one succeeds, the other is a double_put.
    bool give_back(lease_ticket ticket, site where = site::here()) {
        return core_.give_back(ticket, where);
    }
    /// The resource of a ticket while it is out; null and a violation (stale_read) afterwards.
    [[nodiscard]] R* peek(lease_ticket ticket) noexcept {
        return static_cast<R*>(core_.peek(ticket));
    }

    [[nodiscard]] resource_snapshot snapshot() const noexcept { return core_.snapshot(); }
    [[nodiscard]] resource_times times() const { return core_.times(); }
    /// Longest held first.
    [[nodiscard]] std::vector<lease_holder> holders() const { return core_.holders(); }
    /// Leases that are out now, by the site that acquired them, most first: the report of the event
    /// pools. What is still out when the pool is destroyed is reported as violations of kind leak,
    /// one for each of the first sites. `lent` is not known of leases.
    [[nodiscard]] ropeway::leak_report leak_report() const { return core_.leak_report(); }
    [[nodiscard]] resource_error last_error() const { return core_.last_error(); }

    /// Changes the bounds; above a lowered maximum, idle ones close now, leased ones at return.
    /// @throws std::invalid_argument
    void resize(std::uint32_t min_size, std::uint32_t max_size) {
        core_.resize(min_size, max_size);
    }
    /// Closes idle ones now and leased ones at their return; the minimum is opened anew. For
    /// rotated credentials or a moved server.
    void soft_evict() noexcept { core_.soft_evict(); }
    /// New acquires fail with `suspended`; those that wait stay in the queue, unserved, until
    /// resume() or their deadline; leases go on.
    void suspend() noexcept { core_.suspend(); }
    void resume() noexcept { core_.resume(); }
    /// Refuses new acquires, ends waits, waits for leases until the deadline, closes, joins. What
    /// is held then is cut and listed; it ends at its return. Further calls return the same report.
    resource_shutdown_report shutdown(std::chrono::nanoseconds deadline) {
        return core_.shutdown(deadline);
    }

  private:
    [[nodiscard]] static lease<R> to_lease(const detail::core_lease& got) noexcept {
        return {static_cast<R*>(got.resource), got.from};
    }
    [[nodiscard]] acquired<R> wrap(detail::core_acquired got);

    detail::resource_core core_;
};

template <class R>
std::pair<R*, lease_ticket> resource_pool<R>::lend(lease<R>&& from) noexcept {
    const lease_ticket ticket = from.ticket();
    return {std::exchange(from.resource_, nullptr), ticket};
}

template <class R>
acquired<R> resource_pool<R>::wrap(detail::core_acquired got) {
    if (got.error != nullptr) [[unlikely]] {
        return acquired<R>(std::move(got.error));
    }
    return acquired<R>(to_lease(got.got));
}

}  // namespace ropeway
