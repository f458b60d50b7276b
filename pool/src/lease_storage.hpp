// SPDX-License-Identifier: Apache-2.0
//
// The lease blocks of one pool: address space for the most a pool may have, of which only what is
// used becomes memory. A block never moves, so that a pool grows under its readers.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

#include <sys/mman.h>

#include "resource_slot.hpp"

namespace ropeway::detail {

inline constexpr std::uint32_t most_slots = 1000;

class lease_storage {
  public:
    /// @throws std::bad_alloc
    lease_storage() {
        void* const got = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (got == MAP_FAILED) {
            throw std::bad_alloc();
        }
        blocks_ = static_cast<lease_block*>(got);
    }
    lease_storage(const lease_storage&) = delete;
    lease_storage& operator=(const lease_storage&) = delete;
    ~lease_storage() { ::munmap(blocks_, bytes); }

    /// Makes blocks [made, n). By one thread; their readers learn of them by another way.
    void make(std::uint32_t n) noexcept {
        for (; made_ < n; ++made_) {
            std::construct_at(blocks_ + made_);
        }
    }
    [[nodiscard]] lease_block& operator[](std::uint32_t i) noexcept { return blocks_[i]; }
    [[nodiscard]] const lease_block& operator[](std::uint32_t i) const noexcept {
        return blocks_[i];
    }

  private:
    static constexpr std::size_t bytes = most_slots * sizeof(lease_block);
    lease_block* blocks_ = nullptr;
    std::uint32_t made_ = 0;
};

}  // namespace ropeway::detail
