// SPDX-License-Identifier: Apache-2.0
//
// Whether this process is the one that made an object, or a fork of it: one load, by a page that
// the kernel empties in a child. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace ropeway::detail {

class process_mark {
  public:
    process_mark() noexcept;
    [[nodiscard]] bool is_here() const noexcept {
        // relaxed: written before any object that asks was made, or by the kernel at a fork
        return page_->load(std::memory_order_relaxed) == home_;
    }

  private:
    const std::atomic<std::int32_t>* page_;
    std::int32_t home_;
};

}  // namespace ropeway::detail
