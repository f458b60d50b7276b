// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <memory>
#include <ropeway_test.hpp>
#include <utility>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>

using namespace ropeway;

namespace {

/// A resource that is ready at once.
class ready_resource final : public pooled_resource {
  public:
    resource_step begin(resource_task) noexcept override { return {}; }
    resource_step resume() noexcept override { return {}; }
    resource_health check() noexcept override { return resource_health::usable; }
    [[nodiscard]] int idle_fd() const noexcept override { return -1; }
    return_state on_return() noexcept override { return return_state::clean; }
    void drop() noexcept override {}
    [[nodiscard]] const resource_error& error() const noexcept override { return none_; }

  private:
    resource_error none_{};
};

struct taken {
    lease<ready_resource> held{};
    const void* called_from = nullptr;
};

[[gnu::noinline]] taken take_one(resource_pool<ready_resource>& pool) {
    taken out;
    out.held = pool.acquire(std::chrono::seconds{5}).take();
    out.called_from = __builtin_return_address(0);
    return out;
}

[[gnu::noinline]] taken take_deeper(resource_pool<ready_resource>& pool) {
    taken out = take_one(pool);
    out.called_from = __builtin_return_address(0);
    return out;
}

}  // namespace

TEST_CASE("a lease notes the calls that led to its acquire, the user's own in front") {
    resource_pool<ready_resource> pool{[] { return std::make_unique<ready_resource>(); },
                                       {.name = "stack", .min_size = 2, .max_size = 2}};
    REQUIRE_FALSE(pool.start());
    // Twice each: the first lease of a thread takes another way than those that follow.
    for (int round = 0; round < 2; ++round) {
        for (auto* const take : {&take_one, &take_deeper}) {
            const taken mine = take(pool);
            REQUIRE(mine.held);
            const std::vector<lease_holder> holders = pool.holders();
            REQUIRE(holders.size() == 1);
            const std::vector<const void*>& stack = holders.front().stack;
            CAPTURE(round, stack);
            const auto at = std::find(stack.begin(), stack.end(), mine.called_from);
            CHECK(at != stack.end());
        }
    }
}
