// SPDX-License-Identifier: Apache-2.0
//
// All living slot_pools: what a thread that ends, a foreign pointer and a recycler's sums need.
// Process-wide, never destroyed. One lock, taken at a thread's first touch of a pool, at its end,
// by reports and by pools that come and go; never per event.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include <ropeway/pool/recycler.hpp>
#include <ropeway/pool/slot_pool.hpp>

namespace ropeway {

class pool_registry {
  public:
    [[nodiscard]] static pool_registry& instance() noexcept;

    void add(slot_pool& pool);
    /// Takes the pool out; its totals stay with its recycler.
    void remove(slot_pool& pool) noexcept;
    void bind(slot_pool& pool, recycler& to) noexcept;
    /// Keeps a pool whose slots are still out until the process ends.
    void keep(std::unique_ptr<slot_pool> pool) noexcept;

    /// The calling thread's cache in `pool`; nullptr if the thread is ending or the pool has no
    /// more.
    [[nodiscard]] thread_cache* attach(slot_pool& pool) noexcept;
    /// Gives back the caches that the thread kept in any pool.
    void thread_ends(std::uint64_t thread) noexcept;

    [[nodiscard]] recycler_stats stats(const recycler& of) noexcept;
    /// True if `payload` is a slot of a pool other than `but`.
    [[nodiscard]] bool owned_by_other(const void* payload, const slot_pool& but) noexcept;

    void name_holder(slot_pool& pool, std::uint16_t site, std::string_view holder);
    [[nodiscard]] std::string holder(const slot_pool& pool, std::uint16_t site);

  private:
    struct entry {
        slot_pool* pool;
        recycler* back;
    };
    static void sum(const entry& of, recycler_stats& into) noexcept;

    std::mutex lock_;
    std::vector<entry> pools_;                      ///< guarded by lock_
    std::vector<std::unique_ptr<slot_pool>> kept_;  ///< guarded by lock_
};

}  // namespace ropeway
