// SPDX-License-Identifier: Apache-2.0
//
// One run of a pool against its model: a random pool, a random scripted server, random operations
// on virtual time. Everything follows from the seed. One thread drives it; callers that wait are
// virtual callers, of which one runs at a time.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include "resource_model.hpp"

namespace ropeway_test {

/// What all seeds did together.
struct model_counts {
    std::uint64_t operations = 0;
    std::uint64_t leases = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t refused = 0;
    std::uint64_t kills = 0;
    std::uint64_t outages = 0;
    std::uint64_t leaks = 0;
    std::uint64_t forced = 0;
    std::uint64_t opened = 0;
};

class model_run {
  public:
    using pool_type = ropeway::resource_pool<ropeway::testing::fake_resource>;

    explicit model_run(std::uint64_t seed);
    model_run(const model_run&) = delete;
    model_run& operator=(const model_run&) = delete;
    ~model_run();

    /// `operations` of them, then a shutdown. @throws model_failure with the latest operations
    void go(unsigned operations);
    void add_to(model_counts& sum) const;

  private:
    struct held_one {
        ropeway::lease<ropeway::testing::fake_resource> lease{};
        ropeway::testing::fake_resource* raw = nullptr;  ///< of a lent one
        ropeway::lease_ticket ticket{};
        std::uint64_t number = 0;
    };

    // resource_model_run.cpp: the frame.
    [[nodiscard]] static ropeway::resource_pool_params random_params(std::mt19937_64& random);
    [[nodiscard]] std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    [[nodiscard]] bool one_in(std::uint64_t n) { return below(n) == 0; }
    [[nodiscard]] std::chrono::nanoseconds some_time();
    void note(std::string what);
    [[nodiscard]] std::string state_text() const;
    void operate();
    void check();
    void end();
    void end_well();
    void end_by_force();
    void drop_held();

    // resource_model_operations.cpp
    void acquire();
    void call_ended(std::uint64_t id, ropeway::acquired<ropeway::testing::fake_resource> got);
    void take(held_one one);
    void try_acquire();
    /// @return whether it got one.
    bool try_acquire_once();
    /// It may get none now.
    [[nodiscard]] bool try_acquire_excused() const;
    void give_back();
    void give_back(held_one one);
    void lend();
    void kill();
    void outage();
    void restore();
    void silence();
    void refuse();
    void say_something();
    void resize();
    void suspend_or_resume();
    void evict();
    void advance();
    void rest();

    std::mt19937_64 random_;
    ropeway::testing::virtual_time time_{};
    ropeway::testing::fake_server server_;
    ropeway::resource_pool_params params_;
    resource_model model_;
    bool calm_ = false;       ///< no connection of this run ever fails
    bool disturbed_ = false;  ///< one failed since the last rest
    std::string failure_{};   ///< found where nothing may be thrown
    std::vector<held_one> held_{};
    std::vector<ropeway::testing::virtual_caller> callers_{};
    std::deque<std::string> latest_{};
    std::uint64_t next_call_ = 1;
    std::uint64_t violations_before_ = 0;
    model_counts counts_{};
    std::unique_ptr<pool_type> pool_{};
};

}  // namespace ropeway_test
