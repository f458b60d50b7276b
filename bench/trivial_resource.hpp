// SPDX-License-Identifier: Apache-2.0
//
// A resource that costs nothing: what is measured is the pool around it. Its count of uses is plain
// memory: it comes out right only where no two threads ever hold the resource at once.
#pragma once

#include <cstdint>
#include <memory>

#include <ropeway/pool/resource_pool.hpp>

namespace ropeway::bench {

class trivial_resource final : public pooled_resource {
  public:
    resource_step begin(resource_task) noexcept override { return {}; }
    resource_step resume() noexcept override { return {}; }
    resource_health check() noexcept override { return resource_health::usable; }
    [[nodiscard]] int idle_fd() const noexcept override { return -1; }
    return_state on_return() noexcept override { return return_state::clean; }
    void drop() noexcept override {}
    [[nodiscard]] const resource_error& error() const noexcept override { return none_; }

    std::uint64_t uses = 0;

  private:
    inline static const resource_error none_{};
};

using trivial_pool = resource_pool<trivial_resource>;

/// Nothing retires its resources.
[[nodiscard]] inline resource_pool_params params_of(std::uint32_t size, std::uint32_t minimum) {
    return {.name = "bench", .min_size = minimum, .max_size = size, .max_uses = 0, .max_age = {}};
}

/// Not yet started.
[[nodiscard]] inline std::unique_ptr<trivial_pool> pool_of(std::uint32_t size,
                                                           std::uint32_t minimum) {
    return std::make_unique<trivial_pool>([] { return std::make_unique<trivial_resource>(); },
                                          params_of(size, minimum));
}

}  // namespace ropeway::bench
