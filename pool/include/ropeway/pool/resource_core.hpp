// SPDX-License-Identifier: Apache-2.0
//
// The part of resource_pool that does not depend on the resource's type. Not used directly.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <ropeway/pool/lease.hpp>
#include <ropeway/pool/pool_stats.hpp>
#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/resource_pool_params.hpp>
#include <ropeway/pool/resource_stats.hpp>

namespace ropeway::detail {

struct core_lease {
    pooled_resource* resource = nullptr;
    lease_origin from{};
};
struct core_acquired {
    core_lease got{};
    std::unique_ptr<pool_error> error{};
};
using make_resource = std::function<std::unique_ptr<pooled_resource>()>;

class resource_core {
  public:
    resource_core(make_resource make, resource_pool_params params);
    resource_core(const resource_core&) = delete;
    resource_core& operator=(const resource_core&) = delete;
    ~resource_core();

    std::optional<pool_error> start();
    core_acquired acquire(std::chrono::nanoseconds timeout, bool priority, site where);
    core_lease try_acquire(site where) noexcept;
    bool give_back(lease_ticket ticket, site where);
    pooled_resource* peek(lease_ticket ticket) noexcept;

    resource_snapshot snapshot() const noexcept;
    resource_times times() const;
    std::vector<lease_holder> holders() const;
    ropeway::leak_report leak_report() const;
    resource_error last_error() const;

    void resize(std::uint32_t min_size, std::uint32_t max_size);
    void soft_evict() noexcept;
    void suspend() noexcept;
    void resume() noexcept;
    resource_shutdown_report shutdown(std::chrono::nanoseconds deadline);

    // What a lease calls.
    bool give_back_lease(const lease_origin& lease, site_id where) noexcept;
    void add_lease_uses(const lease_origin& lease, std::uint64_t uses) noexcept;
    void doom_lease(const lease_origin& lease) noexcept;
    /// The violation of who uses a lease that is empty by now.
    [[nodiscard]] violation describe_empty_use(const lease_origin& lease) const noexcept;

  private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace ropeway::detail
