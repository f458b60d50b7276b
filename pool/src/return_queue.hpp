// SPDX-License-Identifier: Apache-2.0
//
// Slots on their way to the I/O thread, and leases it is to tell its observer of. Any thread puts,
// one thread takes. The one place where the pool sees moodycamel.
#pragma once

#include <cstddef>
#include <cstdint>

#include <concurrentqueue/concurrentqueue.h>

namespace ropeway::detail {

/// Allocates at construction: room for every slot that a pool may have. An enqueue beyond that may
/// allocate.
template <class T>
class return_queue {
  public:
    return_queue() : queue_(room, 0, 64) {}

    /// @return false if there was no memory.
    bool push(const T& what) noexcept { return queue_.enqueue(what); }
    [[nodiscard]] bool pop(T& what) noexcept { return queue_.try_dequeue(what); }

  private:
    static constexpr std::size_t room = 1024;
    moodycamel::ConcurrentQueue<T> queue_;
};

}  // namespace ropeway::detail
