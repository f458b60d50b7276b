// SPDX-License-Identifier: Apache-2.0
//
// lease<R>: the owner of one borrowed resource. Move-only; its destructor gives the resource back
// and never blocks or throws. Used by one thread at a time; may be moved to another.
#pragma once

#include <cstdint>
#include <utility>

#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slot.hpp>

namespace ropeway {

template <class R>
class resource_pool;

namespace detail {
class resource_core;
/// Where a lease came from.
struct lease_origin {
    resource_core* core = nullptr;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
};
/// Gives a lease back: the one way. @return false if the guard objected (already reported).
bool give_back(const lease_origin& lease, site_id where) noexcept;
void add_uses(const lease_origin& lease, std::uint64_t uses) noexcept;
void doom(const lease_origin& lease) noexcept;
/// Reports a use of a lease that is empty by now, as a violation; ends by std::terminate.
[[noreturn, gnu::cold]] void report_empty_use(const lease_origin& lease) noexcept;
}  // namespace detail

/// What identifies a lease beyond a C edge; compare resource_pool::lend and give_back.
struct lease_ticket {
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    bool operator==(const lease_ticket&) const = default;
};

/// Ownership: the resource, until it is given back or destroyed with the lease. A lease may outlive
/// its pool's shutdown (then its connection was cut, and every use of it fails as one whose other
/// end is gone) but not the pool object.
/// Allocation: none.
template <class R>
class [[nodiscard]] lease {
  public:
    lease() noexcept = default;
    lease(lease&& other) noexcept
        : resource_(std::exchange(other.resource_, nullptr)), from_(other.from_) {}
    lease& operator=(lease&& other) noexcept {
        if (this != &other) {
            reset();
            resource_ = std::exchange(other.resource_, nullptr);
            from_ = other.from_;
        }
        return *this;
    }
    lease(const lease&) = delete;
    lease& operator=(const lease&) = delete;
    ~lease() { reset(known_site::destructor); }

    /// Gives it back now; empty afterwards. Never blocks or throws.
    void reset(site_id where = known_site::destructor) noexcept {
        if (std::exchange(resource_, nullptr) != nullptr) {
            detail::give_back(from_, where);
        }
    }
    [[nodiscard]] explicit operator bool() const noexcept { return resource_ != nullptr; }
    /// Null when empty.
    [[nodiscard]] R* get() const noexcept { return resource_; }
    /// A use after return is a violation (stale_read) that names pool, slot, the last return and,
    /// by thread and stack, the use. Then std::terminate, since there is nothing to use: the
    /// current exception is the violation_error, whose text the default terminate handler prints.
    [[nodiscard]] R& operator*() const noexcept { return *use(); }
    [[nodiscard]] R* operator->() const noexcept { return use(); }

    [[nodiscard]] lease_ticket ticket() const noexcept { return {from_.slot, from_.generation}; }
    /// Counts so many more towards max_uses than the pool counts by itself: the statements that the
    /// resource counted, or one. For work that the resource does not see. Nothing on an empty
    /// lease.
    void add_uses(std::uint64_t uses) noexcept {
        if (resource_ != nullptr) {
            detail::add_uses(from_, uses);
        }
    }
    /// Marks it broken: it will be dropped when it comes back. Nothing on an empty lease, whose
    /// slot may be another holder's by now.
    void doom() noexcept {
        if (resource_ != nullptr) {
            detail::doom(from_);
        }
    }

  private:
    friend class resource_pool<R>;
    lease(R* resource, detail::lease_origin from) noexcept : resource_(resource), from_(from) {}
    R* use() const noexcept {
        if (resource_ == nullptr) [[unlikely]] {
            detail::report_empty_use(from_);
        }
        return resource_;
    }

    R* resource_ = nullptr;
    detail::lease_origin from_{};
};

}  // namespace ropeway
